"""What a predictor gets wrong, as sums over sequences that add up over parts of them."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from bayescmp import measures
from bayescmp._types import Outcomes, Supervised

BITS = 1.0 / np.log(2.0)
"""Bits in a nat."""

AVERAGED = ("kl", "total_variation", "impossible_mass", "argmax_agreement", "excess_log_loss")
"""Measures that are averaged over positions too."""

LogLaws = Float[np.ndarray, "sequence position outcome"]
PerPositionSums = Float[np.ndarray, " position"]


@dataclass(frozen=True)
class Measured:
    """A predictor against the exact answer; information in bits.

    Per position: means over the sequences that count there, NaN where none does.
    """

    kl: PerPositionSums
    kl_standard_error: PerPositionSums
    """Over drawn sequences; exactly zero where every sequence was looked at."""
    total_variation: PerPositionSums
    impossible_mass: PerPositionSums
    argmax_agreement: PerPositionSums
    excess_log_loss: PerPositionSums
    """On the outcomes of the sequences; ``kl`` is its conditional expectation, and equal to it
    but for rounding where every sequence was looked at."""
    entropy: PerPositionSums
    """Of the predictor."""
    exact_entropy: PerPositionSums
    entropy_gap_abs: PerPositionSums
    entropy_gap_of_means: PerPositionSums
    means: dict[str, float]
    """Over sequences and positions: ``mean_kl`` and its like, both entropy MAEs."""


@dataclass(frozen=True)
class Tally:
    """Sums over sequences of every measure; tallies of two parts add up to that of both.

    Example:
        >>> law, answer = np.log([[[0.5, 0.5]]] * 4), np.zeros((4, 1), int)
        >>> part = tally(law, law, answer, np.ones((4, 1), bool))
        >>> (part + part).weight, (part + part).measured().kl
        (array([8.]), array([0.]))
    """

    weight: PerPositionSums
    """Sum of the weights of the sequences that count; their number where they were drawn."""
    sums: dict[str, PerPositionSums]
    """Sums of weight times measure; information in bits."""
    kl_squares: PerPositionSums
    """Sum of the squared deviations of the KL from its mean."""
    is_exact: bool
    """Whether weights are exact probabilities and the sequences all there are."""

    def __add__(self, other: "Tally") -> "Tally":
        """Add the tally of other sequences (Chan, Golub and LeVeque for the squares)."""
        with np.errstate(invalid="ignore"):  # without a sequence a mean is NaN
            gap = other.sums["kl"] / other.weight - self.sums["kl"] / self.weight
            weight = self.weight + other.weight
            between = gap**2 * self.weight * other.weight / weight
        both = (self.weight > 0) & (other.weight > 0)
        return Tally(
            weight=weight,
            sums={name: self.sums[name] + other.sums[name] for name in self.sums},
            kl_squares=self.kl_squares + other.kl_squares + np.where(both, between, 0.0),
            is_exact=self.is_exact,
        )

    def measured(self) -> Measured:
        """Return means in place of sums.

        Returns:
            Every measure, per position and over all.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            rows = {name: values / self.weight for name, values in self.sums.items()}
            total = self.weight.sum()
            means = {f"mean_{name}": float(self.sums[name].sum() / total) for name in AVERAGED}
            means["entropy_mae_a"] = float(self.sums["entropy_gap_abs"].sum() / total)
        gap_of_means = np.abs(rows["entropy"] - rows["exact_entropy"])
        counted = gap_of_means[self.weight > 0]
        means["entropy_mae_b"] = float(counted.mean()) if counted.size else np.nan
        return Measured(
            **rows,
            kl_standard_error=self._standard_error(),
            entropy_gap_of_means=gap_of_means,
            means=means,
        )

    def _standard_error(self) -> PerPositionSums:
        if self.is_exact:
            return np.where(self.weight > 0, 0.0, np.nan)
        variance = self.kl_squares / np.maximum(self.weight - 1, 1)
        return np.where(self.weight > 1, np.sqrt(variance / np.maximum(self.weight, 1)), np.nan)


def tally(
    log_p: LogLaws,
    log_q: LogLaws,
    outcomes: np.ndarray | Outcomes | None,
    supervised: np.ndarray | Supervised,
    weights: Float[np.ndarray, " sequence"] | None = None,
) -> Tally:
    """Sum up every measure over sequences.

    Args:
        log_p: Log exact probabilities [nat].
        log_q: Judged log probabilities [nat].
        outcomes: Outcomes of the sequences, indices from 0; None where they follow the exact
            law, so that the excess log loss is its expectation, the KL divergence.
        supervised: True where a question counts.
        weights: Probability of each sequence where they are all there are; none where they
            were drawn.

    Returns:
        The sums.

    Example:
        >>> log_p, log_q = np.log([[[0.5, 0.5]]]), np.log([[[0.25, 0.75]]])
        >>> found = tally(log_p, log_q, None, np.ones((1, 1), bool), np.ones(1)).measured()
        >>> found.kl.round(3), found.kl_standard_error
        (array([0.208]), array([0.]))
    """
    counts = np.asarray(supervised)
    with jax.enable_x64(True):
        drawn = None if outcomes is None else jnp.asarray(outcomes)
        values = _measure(jnp.asarray(log_p), jnp.asarray(log_q), drawn)
    rows = {name: np.where(counts, np.asarray(row), 0.0) for name, row in values.items()}
    add = _adder(counts, weights)
    sums = {name: add(row) for name, row in rows.items()}
    weight = add(np.ones(counts.shape))
    with np.errstate(invalid="ignore"):  # nothing counts: NaN; infinitely far: NaN too
        squares = add(np.where(counts, (rows["kl"] - sums["kl"] / weight) ** 2, 0.0))
    return Tally(weight, sums, squares, weights is not None)


def _adder(
    counts: Bool[np.ndarray, "sequence position"], weights: Float[np.ndarray, " sequence"] | None
) -> Callable[[np.ndarray], PerPositionSums]:
    """Return a function that sums values of the sequences that count, weighted."""
    scale = np.ones(len(counts)) if weights is None else weights
    return lambda values: np.sum(np.where(counts, values * scale[:, None], 0.0), axis=0)


@jax.jit
def _measure(log_p: Array, log_q: Array, outcomes: Array | None) -> dict[str, Array]:
    """Return every measure at every question, in bits."""
    kl = measures.kl(log_p, log_q)
    excess = kl
    if outcomes is not None:
        excess = measures.log_loss(log_q, outcomes) - measures.log_loss(log_p, outcomes)
    entropy, exact_entropy = measures.entropy(log_q), measures.entropy(log_p)
    return {
        "kl": kl * BITS,
        "total_variation": measures.total_variation(log_p, log_q),
        "impossible_mass": measures.impossible_mass(log_p, log_q),
        "argmax_agreement": measures.argmax_agreement(log_p, log_q),
        "excess_log_loss": excess * BITS,
        "entropy": entropy * BITS,
        "exact_entropy": exact_entropy * BITS,
        "entropy_gap_abs": jnp.abs(entropy - exact_entropy) * BITS,
    }
