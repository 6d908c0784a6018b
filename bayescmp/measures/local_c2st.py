"""L-C2ST: can a classifier tell posterior draws from the truth, and for which observations?

One draw ``theta_q ~ q(. | x)`` stands beside the truth ``theta`` of every observation ``x``. A
classifier learns to tell pairs ``(theta, x)`` from pairs ``(theta_q, x)``; at an observation
``x_o`` it is asked about draws of ``q(. | x_o)``. If ``q`` is the posterior there, it should answer
1/2: the statistic is the mean of its squared distance from that. Where it is large, ``q`` is off,
and the sign of its answer says on which draws.

The null is exact. If ``q`` is the posterior, truth and draw of one observation can be exchanged,
so each trial exchanges the labels of every pair with chance 1/2 and learns anew; the p-value is
the rank of the statistic among the trials. Linhart et al. permute labels over all pairs, which
is not the same: it also exchanges what belongs to different observations.

The classifier is a logistic regression on all products of two coordinates, fitted with Böhning
and Lindsay's bound on the curvature, for which all trials share one matrix. So it sees errors of
mean and covariance that depend on the observation linearly. A classifier is a lower bound: what
it misses may still be wrong.

Source: Linhart, Gramfort and Rodrigues, L-C2ST: local diagnostics for posterior approximations in
simulation-based inference, 2023, NeurIPS (algorithms 1 and 2); Böhning and Lindsay, Monotonicity
of quadratic-approximation algorithms, 1988, Annals of the Institute of Statistical Mathematics 40.
"""

from dataclasses import dataclass

import numpy as np
import scipy.special
from jaxtyping import Float

NUM_TRIALS = 199
"""Exchanges of labels: p-values are multiples of 1/200."""

PENALTY = 1.0
"""Ridge penalty on the summed loss, on features of unit variance."""

NUM_STEPS = 30
"""Steps of the fit; each costs two products of matrices for all trials together."""


@dataclass(frozen=True)
class LocalC2ST:
    """Whether a posterior is off at some observations.

    Example:
        >>> from bayescmp.measures.local_c2st import local_c2st
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(300, 1))
        >>> truth, drawn = x + rng.normal(size=(300, 1)), x + 1.0 + rng.normal(size=(300, 1))
        >>> local_c2st(truth, drawn, x, drawn[:2, None], x[:2], rng=rng).p_value < 0.05
        True
    """

    statistic: Float[np.ndarray, " place"]
    """Mean squared distance of the classifier's answer from 1/2 at each observation."""
    lean: Float[np.ndarray, "place draw"]
    """Answer at each draw minus 1/2: positive where the truth is more common than ``q`` says."""
    p_values: Float[np.ndarray, " place"]
    """P-value of each observation by itself."""
    adjusted: Float[np.ndarray, " place"]
    """P-value of each observation among all, by the largest of a trial's standardised places."""
    p_value: float
    """P-value of the mean statistic over all observations."""


def local_c2st(
    truth: Float[np.ndarray, "pair dim"],
    drawn: Float[np.ndarray, "pair dim"],
    observed: Float[np.ndarray, "pair observation"],
    place_draws: Float[np.ndarray, "place draw dim"],
    places: Float[np.ndarray, "place observation"],
    *,
    rng: np.random.Generator,
    num_trials: int = NUM_TRIALS,
) -> LocalC2ST:
    """Test a posterior at some observations.

    Args:
        truth: Parameters behind each observation.
        drawn: One draw from the judged posterior of each observation.
        observed: Features of the observations; one pair for each sequence, so that pairs are
            independent.
        place_draws: Draws from the judged posterior at the observations that are asked about,
            which must not be among the pairs.
        places: Features of these observations.
        rng: Where exchanges come from.
        num_trials: How many exchanges.

    Returns:
        Statistics and p-values.

    Raises:
        ValueError: If shapes do not fit each other, or a number is not finite.
    """
    _require(truth, drawn, observed, place_draws, places)
    pairs = [np.concatenate([one, observed], axis=1) for one in (truth, drawn)]
    basis = Quadratics.fit(np.concatenate(pairs))
    labels = _exchange(len(truth), num_trials, rng)
    weights = fit_logistic(basis(np.concatenate(pairs)), labels)
    repeated = np.broadcast_to(places[:, None], (*place_draws.shape[:2], places.shape[1]))
    asked = basis(np.concatenate([place_draws, repeated], axis=-1))
    statistic, lean = np.empty((len(places), num_trials + 1)), []
    for row, at in enumerate(asked):
        answer = scipy.special.expit(at @ weights) - 0.5
        statistic[row] = np.mean(answer**2, axis=0)
        lean.append(answer[:, 0])
    # Each place in units of what is usual for it: the rank of a place stays what it is.
    usual = statistic / statistic.mean(axis=1, keepdims=True)
    largest = usual.max(axis=0)
    return LocalC2ST(
        statistic=statistic[:, 0],
        lean=np.stack(lean),
        p_values=_rank(statistic, statistic[:, :1]),
        adjusted=_rank(np.broadcast_to(largest, statistic.shape), usual[:, :1]),
        p_value=float(_rank(statistic.mean(axis=0)[None], statistic.mean(axis=0)[None, :1])[0]),
    )


@dataclass(frozen=True)
class Quadratics:
    """A constant, coordinates, and all products of two of them, each standardised."""

    centre: Float[np.ndarray, " coordinate"]
    spread: Float[np.ndarray, " coordinate"]
    mean: Float[np.ndarray, " term"]
    deviation: Float[np.ndarray, " term"]

    @staticmethod
    def fit(rows: Float[np.ndarray, "row coordinate"]) -> "Quadratics":
        """Standardise by some rows.

        Args:
            rows: Coordinates.

        Returns:
            The map; terms that never vary become zero.
        """
        centre, spread = rows.mean(axis=0), _positive(rows.std(axis=0))
        terms = _products((rows - centre) / spread)
        return Quadratics(centre, spread, terms.mean(axis=0), _positive(terms.std(axis=0)))

    def __call__(
        self, rows: Float[np.ndarray, "*row coordinate"]
    ) -> Float[np.ndarray, "*row feature"]:
        """Return the features of some rows, the constant first.

        Args:
            rows: Coordinates.

        Returns:
            Features.
        """
        terms = (_products((rows - self.centre) / self.spread) - self.mean) / self.deviation
        return np.concatenate([np.ones((*terms.shape[:-1], 1)), terms], axis=-1)


def fit_logistic(
    features: Float[np.ndarray, "row feature"], labels: Float[np.ndarray, "row trial"]
) -> Float[np.ndarray, "feature trial"]:
    """Fit logistic regressions to several labellings of the same rows.

    Minimises ``sum log loss + penalty |w|^2 / 2``, the constant unpenalised. The curvature of the
    log loss is at most 1/4, so that each step, which solves with that bound, lowers the loss.

    Args:
        features: Rows, the constant first.
        labels: Zeros and ones, one column for each trial.

    Returns:
        Weights of each trial.
    """
    penalty = np.full(features.shape[1], PENALTY)
    penalty[0] = 1e-9  # the constant is free; this only keeps the matrix regular
    solve = np.linalg.inv(0.25 * features.T @ features + np.diag(penalty))
    weights = np.zeros((features.shape[1], labels.shape[1]))
    for _ in range(NUM_STEPS):
        missed = labels - scipy.special.expit(features @ weights)
        weights = weights + solve @ (features.T @ missed - penalty[:, None] * weights)
    return weights


def _products(rows: Float[np.ndarray, "*row coordinate"]) -> Float[np.ndarray, "*row term"]:
    """Return coordinates, then products of two of them."""
    first, second = np.triu_indices(rows.shape[-1])
    return np.concatenate([rows, rows[..., first] * rows[..., second]], axis=-1)


def _positive(spread: Float[np.ndarray, " coordinate"]) -> Float[np.ndarray, " coordinate"]:
    """Replace the spread of what never varies by infinity, so that it has no part."""
    return np.where(spread > 1e-9, spread, np.inf)


def _exchange(
    num_pairs: int, num_trials: int, rng: np.random.Generator
) -> Float[np.ndarray, "row trial"]:
    """Return the true labels, then those of trials with some pairs exchanged."""
    first = np.ones((num_pairs, num_trials + 1))
    first[:, 1:] = rng.integers(0, 2, size=(num_pairs, num_trials))
    return np.concatenate([first, 1.0 - first])


def _rank(
    null: Float[np.ndarray, "place trial"], value: Float[np.ndarray, "place one"]
) -> Float[np.ndarray, " place"]:
    """Return the share of trials as large; the first of them is the data."""
    return np.mean(null >= value * (1.0 - 1e-9), axis=1)


def _require(
    truth: Float[np.ndarray, "pair dim"],
    drawn: Float[np.ndarray, "pair dim"],
    observed: Float[np.ndarray, "pair observation"],
    place_draws: Float[np.ndarray, "place draw dim"],
    places: Float[np.ndarray, "place observation"],
) -> None:
    """Raise a ValueError for arrays that do not fit each other."""
    if drawn.shape != truth.shape:
        raise ValueError(f"drawn: expected the shape of truth, {truth.shape}, got {drawn.shape}")
    if len(observed) != len(truth):
        raise ValueError(f"observed: expected {len(truth)} rows, got {len(observed)}")
    if place_draws.shape[-1] != truth.shape[1] or len(place_draws) != len(places):
        raise ValueError(
            f"place_draws: expected {len(places)} places of {truth.shape[1]} coordinates, got "
            f"shape {place_draws.shape}"
        )
    for name, array in (("truth", truth), ("drawn", drawn), ("place_draws", place_draws)):
        if not np.isfinite(array).all():
            raise ValueError(f"{name}: expected finite numbers, got others")
