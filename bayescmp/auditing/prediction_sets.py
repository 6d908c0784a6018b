"""Prediction sets on drawn sequences: conformal ones, the predictor's own, and exact ones."""

from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float

from bayescmp._types import Key
from bayescmp.auditing.judged import Judged
from bayescmp.measures.conformal import (
    conformal_scores,
    conformal_threshold,
    coverage_p_value,
    density_set_size,
    set_coverage,
)

LEVEL = 0.9
"""Coverage that sets are asked for."""

SETS = ("own", "conformal", "exact")
"""The predictor's likeliest outcomes up to the level; the same up to a threshold that held-out
outcomes chose; the smallest that cover by the exact law, at every question. Conformal sets cover on
average only, and may be smaller than exact ones for that reason."""


@dataclass(frozen=True)
class PredictionSets:
    """Coverage and size of sets, on sequences that chose no threshold.

    Coverage is a probability under the exact law, so that no drawn outcome blurs it.
    """

    coverage: Float[np.ndarray, " set"]
    """Mean coverage over questions, in the order of :data:`SETS`."""
    coverage_error: Float[np.ndarray, " set"]
    """Standard error over sequences; for conformal sets with the threshold's own, by which coverage
    is a Beta variable of variance ``level (1 - level) / (n + 2)`` or so."""
    size: Float[np.ndarray, " set"]
    """Mean number of outcomes."""
    coverage_by_position: Float[np.ndarray, "set position"]
    """Mean coverage at each position."""
    threshold: float
    """Threshold of the conformal sets; the level itself for a calibrated predictor."""
    p_value: float
    """Chance of a coverage as far from the level, were the predictor calibrated."""


def measure_sets(judged: Judged, *, key: Key, level: float = LEVEL) -> PredictionSets:
    """Fit conformal sets on one half of the sequences and measure all sets on the other.

    One random question of each sequence of the first half chooses the threshold: these are
    exchangeable with a random question of a further sequence. The p-value is that of the
    predictor's own sets on all sequences, with one sequence as one trial.

    Args:
        judged: Predictor on drawn sequences.
        key: Typed key of questions and random shares.
        level: Coverage asked for, between 0 and 1.

    Returns:
        Coverage and sizes.

    Raises:
        ValueError: If the level is not inside (0, 1).

    Example:
        >>> oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=4))
        >>> judged = bc.auditing.judge(oracle, oracle, key=jax.random.key(0), num_sequences=256)
        >>> sets = measure_sets(judged, key=jax.random.key(1))
        >>> bool(abs(sets.coverage[0] - 0.9) < 4 * sets.coverage_error[0])
        True
    """
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    shape, half = judged.log_q.shape, len(judged.log_q) // 2
    order, share = rng.random(shape), rng.random(shape[:-1])
    scores = conformal_scores(judged.log_q, order, share)
    came = np.take_along_axis(scores, judged.outcomes[..., None], axis=-1)[..., 0]
    asked = np.argmax(np.where(judged.counts, rng.random(shape[:-1]), -1.0), axis=1)
    fitting = np.arange(half)[judged.counts[:half].any(axis=1)]
    threshold = conformal_threshold(came[fitting, asked[fitting]], level)
    exact = conformal_scores(judged.log_p, order, share)[half:]
    log_p, counts = judged.log_p[half:], judged.counts[half:]
    inside = [scores[half:] <= level, scores[half:] <= threshold, exact <= level]
    coverage = np.stack([set_coverage(each, log_p) for each in inside])
    sizes = np.stack([*(each.sum(axis=-1) for each in inside[:2]), density_set_size(log_p, level)])
    mean, error = _over_sequences(coverage, counts)
    error[1] = np.hypot(error[1], np.sqrt(level * (1.0 - level) / (fitting.size + 2)))
    with np.errstate(invalid="ignore"):  # a position where nothing counts
        by_position = np.where(counts, coverage, 0.0).sum(axis=1) / counts.sum(axis=0)
    return PredictionSets(
        coverage=mean,
        coverage_error=error,
        size=_over_sequences(sizes, counts)[0],
        coverage_by_position=by_position,
        threshold=threshold,
        p_value=coverage_p_value(came, judged.counts, level),
    )


def _over_sequences(
    values: Float[np.ndarray, "set sequence position"], counts: np.ndarray
) -> tuple[Float[np.ndarray, " set"], Float[np.ndarray, " set"]]:
    """Average over questions, with the standard error of that ratio over sequences."""
    total = counts.sum()
    mean = np.where(counts, values, 0.0).sum(axis=(1, 2)) / total
    rest = np.where(counts, values - mean[:, None, None], 0.0).sum(axis=2)
    num = counts.shape[0]
    return mean, np.sqrt(num / (num - 1) * (rest**2).sum(axis=1)) / total
