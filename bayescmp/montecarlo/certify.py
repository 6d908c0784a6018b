"""Hold an exact engine against long chains, where enumeration cannot go."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from tqdm.auto import tqdm

from bayescmp.engine import AbstractEngine
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.montecarlo.nuts import NutsSettings
from bayescmp.montecarlo.records import Verdict
from bayescmp.montecarlo.sampler import Settings, sample_predictive
from bayescmp.montecarlo.target import build_target

MOST_ERRORS = 4.0
"""Standard errors within which an answer counts as the same."""

LEAST_SHARE = 0.99
"""Share of answers that must be the same. Normal errors leave 0.006 % outside, those of 16 runs,
which follow Student's law with 15 degrees of freedom, 0.12 %."""

ROUNDING = 1e-10
"""Smallest deviation of a probability that counts, as in certification by enumeration."""


@dataclass(frozen=True)
class SamplingCertification:
    """The outcome of holding an engine against sampled answers.

    Example:
        >>> verdict = Verdict(error=1e-3, worst_r_hat=1.001, least_ess=900.0)
        >>> SamplingCertification("coin", "conjugate", "NUTS", 8, 48, 0.0, 2.9, verdict).passed
        True
    """

    model_name: str
    engine: str
    sampler: str
    num_sequences: int
    num_entries: int
    """Number of predictive probabilities that were compared."""
    share_beyond: float
    """Share of them further apart than four standard errors."""
    largest_deviation: float
    """Largest deviation in standard errors."""
    verdict: Verdict
    """Whether the sampled answers can be relied on."""

    @property
    def passed(self) -> bool:
        """Whether the sampler can be relied on, and agrees within its error."""
        return self.verdict.is_reliable and self.share_beyond <= 1.0 - LEAST_SHARE

    def __str__(self) -> str:
        """Return one line for people."""
        outcome = "passed" if self.passed else "FAILED"
        return (
            f"{self.model_name}: {self.engine} against {self.sampler} on {self.num_sequences} "
            f"sequences: {self.share_beyond:.2%} of {self.num_entries:,} probabilities beyond "
            f"{MOST_ERRORS:g} standard errors (at most {1.0 - LEAST_SHARE:.0%} allowed), largest "
            f"{self.largest_deviation:.1f}; {self.verdict}: {outcome}"
        )


def certify_by_sampling(
    model: AbstractGenerativeModel,
    engine: AbstractEngine,
    *,
    name: str = "exact engine",
    settings: Settings | None = None,
    positions: tuple[int, ...] | None = None,
    num_sequences: int = 8,
    seed: int = 0,
    progress: bool = True,
) -> SamplingCertification:
    """Compare an engine's predictives with sampled ones on sequences drawn from the model.

    Args:
        model: Model with a continuous latent.
        engine: Engine that is judged.
        name: Its name, for people.
        settings: Sampler and how much work it does; ``NutsSettings()`` by default.
        positions: Questions to compare; by default the second, the middle and the last.
        num_sequences: Sequences to draw.
        seed: Seed of the draws.
        progress: Whether to show progress on a terminal.

    Returns:
        How many answers differ by more than four standard errors.

    Raises:
        ValueError: If the model's latents cannot be sampled, or a position is not in it.
    """
    settings = NutsSettings() if settings is None else settings
    length, key = model.length, jax.random.key(seed)
    chosen = positions or tuple(sorted({min(1, length - 1), length // 2, length - 1}))
    if not set(chosen) <= set(range(length)):
        raise ValueError(f"positions: expected numbers from 0 to {length - 1}, got {chosen}")
    target = build_target(model)
    ratios, verdicts = [], []
    with jax.enable_x64(True):
        batch = model.sample(num_sequences, key=jax.random.fold_in(key, 0))
        every = target.in_64_bits(model.engine_sites(batch))
        laws = jax.jit(jax.vmap(lambda sites: jnp.exp(engine(sites).log_predictive)))(every)
        for number in tqdm(range(num_sequences), "sampling", disable=None if progress else True):
            own = jax.random.fold_in(key, number + 1)
            sites = {site: values[number] for site, values in every.items()}
            answers = sample_predictive(target, settings, sites, np.array(chosen), key=own)
            exact = np.asarray(laws[number])[list(chosen)]
            ratios.append(_in_standard_errors(answers.mean - exact, answers.standard_error))
            verdicts.append(answers.verdict)
    deviations = np.stack(ratios)
    return SamplingCertification(
        model_name=model.title(),
        engine=name,
        sampler=settings.describe(),
        num_sequences=num_sequences,
        num_entries=deviations.size,
        share_beyond=float(np.mean(~(deviations <= MOST_ERRORS))),
        largest_deviation=float(np.max(deviations)),
        verdict=Verdict.worst(verdicts),
    )


def _in_standard_errors(
    difference: Float[np.ndarray, "*rest"], error: Float[np.ndarray, "*rest"]
) -> Float[np.ndarray, "*rest"]:
    """Divide by standard errors, which may be zero where nothing but rounding differs."""
    return np.abs(difference) / np.maximum(error, ROUNDING / MOST_ERRORS)
