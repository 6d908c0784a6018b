"""How far exact Bayes, the network's own answer and every rival are from what a lens answers."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bayescmp import measures
from bayescmp.comparison.sequence_means import over_questions, over_sequences
from bayescmp.comparison.tally import BITS, LogLaws
from bayescmp.inspection.recording import Recording

EQUAL = 1e-9
"""Divergences that differ by less, in bits, are equal but for rounding."""


@dataclass(frozen=True)
class Rivals:
    """Laws that a lens is held against, on the same questions."""

    names: tuple[str, ...]
    """Of the laws but the first two."""
    log_laws: Float[np.ndarray, "law sequence position outcome"]
    """The exact predictive, the network's answer, then each rival; in nats."""

    @property
    def candidates(self) -> tuple[int, ...]:
        """Laws that a place can be nearest to: all but the network's own."""
        return (0, *range(2, 2 + len(self.names)))

    def name(self, law: int) -> str:
        """Name a law."""
        return ("exact Bayes", "the network's output", *self.names)[law]


@dataclass(frozen=True)
class Distances:
    """How far each law is from a lens at one place, in bits."""

    by_position: Float[np.ndarray, "law position"]
    """Mean over sequences, NaN where no question counts."""
    mean: Float[np.ndarray, " law"]
    """Mean over all questions."""
    low: Float[np.ndarray, " law"]
    """Lower end of its interval over sequences."""
    high: Float[np.ndarray, " law"]
    nearest: str
    """Which law is the least far, the network's own answer aside."""
    tied: str
    """Others that may be as near: the interval over sequences of the difference holds zero."""


def measure_distances(judged: Recording, rivals: Rivals, log_lens: LogLaws) -> Distances:
    """Measure how far laws are from what a lens answers.

    Args:
        judged: Recording of the questions.
        rivals: The laws.
        log_lens: Answers of the lens, in nats.

    Returns:
        ``KL(law || lens)`` for each law, and which of them is nearest.
    """
    with jax.enable_x64(True):
        kl = _kl_from_each(jnp.asarray(rivals.log_laws), jnp.asarray(log_lens))
        values = np.where(judged.counts, np.asarray(kl) * BITS, np.nan)
    weights = judged.evaluation.weights
    interval = over_questions(values, weights)
    mean = np.asarray(interval.mean)
    nearest = min(rivals.candidates, key=lambda law: mean[law])
    with np.errstate(invalid="ignore"):  # infinitely far from both: no difference is known
        gaps = over_questions(values - values[nearest], weights)
    tied = [
        law for law in rivals.candidates if law != nearest and np.asarray(gaps.low)[law] < EQUAL
    ]
    return Distances(
        by_position=np.asarray(over_sequences(values, weights).mean),
        mean=mean,
        low=np.asarray(interval.low),
        high=np.asarray(interval.high),
        nearest=rivals.name(nearest),
        tied=", ".join(rivals.name(law) for law in tied),
    )


@jax.jit
def _kl_from_each(log_laws: Array, log_lens: Array) -> Array:
    return jax.vmap(measures.kl, in_axes=(0, None))(log_laws, log_lens)


def mean_kl(judged: Recording, log_lens: LogLaws) -> float:
    """Return the mean KL from the exact predictive to a lens over all questions, in bits."""
    log_p, log_q = judged.rows(judged.evaluation.log_p), judged.rows(log_lens)
    law = np.exp(log_p)
    terms = np.where(law > 0, law * (np.where(law > 0, log_p, 0.0) - log_q), 0.0)
    return float(judged.row_weights @ terms.sum(axis=-1)) * BITS
