"""What a posterior says of latents: tables, draws, or places under closed laws."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Num

from bayescmp._types import Key
from bayescmp.model import AbstractGenerativeModel
from bayescmp.records import Batch


@dataclass(frozen=True)
class LatentTable:
    """Probabilities of a discrete latent's values, from the smallest on.

    Example:
        >>> bc.auditing.LatentTable(np.array([[0.2, 0.8]])).probs.shape  # one replicate, two values
        (1, 2)
    """

    probs: Float[np.ndarray, "replicate *element state"]
    """Of each element by itself; rows sum to one."""

    def element(self, at: tuple[int, ...]) -> "LatentTable":
        """Return what is said of one element."""
        return LatentTable(self.probs[(slice(None), *at)])


@dataclass(frozen=True)
class LatentDraws:
    """Draws of a latent, nearly independent of each other, jointly with those of other latents.

    Example:
        >>> draws = np.zeros((3, 100))  # of one number, in three replicates
        >>> bc.auditing.LatentDraws(draws).values.shape
        (3, 100)
    """

    values: Num[np.ndarray, "replicate draw *element"]
    """Values in the latent's own unit."""

    def element(self, at: tuple[int, ...]) -> "LatentDraws":
        """Return what is said of one element."""
        return LatentDraws(self.values[(slice(None), slice(None), *at)])


@dataclass(frozen=True)
class Placed:
    """Where the truth stands under a law whose distribution function is known."""

    places: Float[np.ndarray, "replicate *element"]
    """``F(truth)``, in [0, 1]."""

    def element(self, at: tuple[int, ...]) -> "Placed":
        """Return what is said of one element."""
        return Placed(self.places[(slice(None), *at)])


Law = LatentTable | LatentDraws | Placed
"""What is known of one latent in all replicates."""

Posterior = Callable[[Batch, Key], Mapping[str, LatentTable | LatentDraws]]
"""An amortised posterior: from sequences and a key to laws of latents, by name. It conditions
at least on all that is shown when the question is asked."""


@dataclass(frozen=True)
class Beliefs:
    """What a posterior says of all latents in all replicates."""

    laws: Mapping[str, Law]
    """By name of the latent."""
    truth: Mapping[str, Num[np.ndarray, "replicate ..."]]
    """What each law is about: true values, or of tables the indices of true states."""
    predictive: Float[np.ndarray, "replicate outcome"] | None = None
    """Law of the next outcome, where the posterior comes with one."""
    knows_next: bool = True
    """Whether it may have been told the next outcome, so that it cannot be asked for it."""
    how: str = "a given posterior"
    """Where it comes from, in a few words."""
    thinning: int = 1
    """Every how many draws of a chain one was kept."""
    least_ess: float = np.nan
    """Effective number of draws that 95 % of replicates exceed, before thinning."""
    worst_r_hat: float = np.nan
    """Split R-hat that 5 % of replicates exceed."""

    @property
    def num_draws(self) -> int:
        """Draws behind each rank; 0 where all laws are exact."""
        sizes = {x.values.shape[1] for x in self.laws.values() if isinstance(x, LatentDraws)}
        if len(sizes) > 1:
            raise ValueError(f"subject: expected as many draws of each latent, got {sorted(sizes)}")
        return sizes.pop() if sizes else 0


def ask_posterior(
    posterior: Posterior, model: AbstractGenerativeModel, batch: Batch, position: int, *, key: Key
) -> Beliefs:
    """Ask an amortised posterior about all replicates at once.

    Args:
        posterior: From sequences and a key to laws of latents.
        model: Model that the replicates are drawn from.
        batch: Replicates.
        position: Question at which it is asked.
        key: Typed key.

    Returns:
        What it said, beside what is true.

    Raises:
        TypeError: If it answers something else than laws by name.
        ValueError: If it answers about something that is no latent, or in the wrong shape.
    """
    laws = posterior(batch, key)
    if not isinstance(laws, Mapping):
        raise TypeError(f"subject: expected laws by name, got {type(laws).__name__}")
    for name, law in laws.items():
        if not isinstance(law, LatentDraws | LatentTable):
            raise TypeError(
                f"subject: expected LatentDraws or a LatentTable of {name!r}, got "
                f"{type(law).__name__}"
            )
    unknown = sorted(set(laws) - set(batch.latents))
    if unknown or not laws:
        raise ValueError(f"subject: expected laws of {sorted(batch.latents)}, got {unknown or {}}")
    truth = {
        name: (
            true_states(model, batch, name, law.probs, position)
            if isinstance(law, LatentTable)
            else np.asarray(batch.latents[name])
        )
        for name, law in laws.items()
    }
    for name, law in laws.items():
        values = law.probs[..., 0] if isinstance(law, LatentTable) else law.values[:, 0]
        if values.shape != truth[name].shape:
            raise ValueError(
                f"subject: expected one law of {name!r} for each of {truth[name].shape}, got "
                f"{values.shape}"
            )
    return Beliefs(laws=laws, truth=truth)


def true_states(
    model: AbstractGenerativeModel,
    batch: Batch,
    name: str,
    probs: Float[np.ndarray, "replicate ..."],
    position: int,
) -> Num[np.ndarray, "replicate ..."]:
    """Return the indices of a discrete latent's true states.

    Args:
        model: Generative model.
        batch: Replicates.
        name: Name of the latent.
        probs: LatentTable that the indices are looked up in; one without the axis of steps that the
            latent has is about the step of the question.
        position: Question at which a posterior is asked.

    Returns:
        Indices, with the table's axes.
    """
    site = model.sites[name]
    indices = np.asarray(batch.latents[name]) - site.lowest
    is_by_step = probs.ndim == indices.ndim and site.shape[:1] == (model.length,)
    return indices[:, position] if is_by_step else indices
