"""The Bayes lens: what an affine map of the residual stream can tell of the exact predictive."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.special
from jaxtyping import Float

PENALTIES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
"""Ridge penalties that are tried, from the strongest on, until one does not help."""

NUM_STEPS = 20
"""Steps of L-BFGS at each penalty, begun where the one before ended."""

SMALLEST_VARIANCE = 1e-10
"""Directions with less of the largest variance are left out: 1e-5 of the largest deviation is a
hundred times the rounding of 32 bits."""

SMALLEST_MEAN = 1e-9
"""Stands for zero where an outcome never has any probability."""

Vector = Float[np.ndarray, " parameter"]


@dataclass(frozen=True)
class Questions:
    """Questions that a lens is fitted to or judged on, one in each row."""

    stream: Float[np.ndarray, "row feature"]
    """Residual stream at one place."""
    law: Float[np.ndarray, "row outcome"]
    """The law that the lens should give."""
    weights: Float[np.ndarray, " row"]
    """How much each counts; they sum to one."""


@dataclass(frozen=True)
class Whitening:
    """Directions of a residual stream in which it is uncorrelated and varies by one."""

    mean: Float[np.ndarray, " feature"]
    """Mean of the stream."""
    directions: Float[np.ndarray, "feature component"]
    """``(x - mean) @ directions`` has unit covariance; there are as many as the stream's rank."""

    def __call__(self, stream: Float[np.ndarray, "row feature"]) -> np.ndarray:
        """Return the components of each row, and a one after them."""
        components = (stream - self.mean) @ self.directions
        return np.concatenate([components, np.ones((len(stream), 1))], axis=1)


def whiten(
    stream: Float[np.ndarray, "row feature"], weights: Float[np.ndarray, " row"]
) -> Whitening:
    """Find the directions in which a residual stream is uncorrelated and varies by one.

    A ridge penalty on the coefficients of these components is a penalty on the variance of what
    an affine map gives, so that it does not depend on the basis and scale of the stream.

    Args:
        stream: Residual stream.
        weights: How much each row counts; they sum to one.

    Returns:
        The directions; those that do not vary but for rounding are left out.

    Example:
        >>> stream = np.array([[0.0, 5.0], [2.0, 5.0]])  # the second feature does not vary
        >>> np.abs(whiten(stream, np.array([0.5, 0.5]))(stream)).tolist()
        [[1.0, 1.0], [1.0, 1.0]]
    """
    mean = weights @ stream
    centred = (stream - mean) * np.sqrt(weights)[:, None]
    variances, axes = np.linalg.eigh(centred.T @ centred)
    kept = variances > SMALLEST_VARIANCE * max(float(variances[-1]), np.finfo(float).tiny)
    return Whitening(mean, axes[:, kept] / np.sqrt(variances[kept]))


@dataclass(frozen=True)
class BayesLens:
    """An affine map from a residual stream to a law: ``softmax(x @ weight + bias)``."""

    weight: Float[np.ndarray, "feature outcome"]
    bias: Float[np.ndarray, " outcome"]
    penalty: float
    """The ridge penalty that was chosen; infinite where no weight at all is best."""

    def log_law(self, stream: Float[np.ndarray, "row feature"]) -> np.ndarray:
        """Return log probabilities in nats."""
        return scipy.special.log_softmax(stream @ self.weight + self.bias, axis=-1)


def fit_bayes_lens(
    fitting: Questions,
    choosing: Questions,
    *,
    penalties: tuple[float, ...] = PENALTIES,
    num_steps: int = NUM_STEPS,
) -> BayesLens:
    """Fit a softmax regression from the residual stream to the exact predictive.

    Minimised is ``E[-sum_y p(y) log q(y)] + penalty / 2 sum_y Var[logit_y]``, which is convex;
    the penalty is the one with the least cross-entropy on questions that were not fitted to.
    Outcomes that are impossible add nothing to the sum.

    Args:
        fitting: Questions to fit to.
        choosing: Questions on which the penalty is chosen.
        penalties: Those that are tried, from the strongest on.
        num_steps: Steps of L-BFGS at each of them.

    Returns:
        The lens.

    Raises:
        ValueError: If there are no questions, or numbers that are not finite.

    Example:
        >>> stream = np.linspace(-1.0, 1.0, 9)[:, None]
        >>> law = scipy.special.softmax(np.hstack([2.0 * stream, 0.0 * stream]), axis=1)
        >>> rows = Questions(stream, law, np.full(9, 1 / 9))
        >>> lens = fit_bayes_lens(rows, rows)
        >>> (lens.weight[:, 0] - lens.weight[:, 1]).round(2).tolist()
        [2.0]
    """
    _check(fitting)
    whitening = whiten(fitting.stream, fitting.weights)
    design, num_outcomes = whitening(fitting.stream), fitting.law.shape[1]
    held_out = whitening(choosing.stream)

    def judge(flat: Vector) -> float:
        logits = held_out @ flat.reshape(-1, num_outcomes)
        return float(choosing.weights @ _cross_entropy(logits, choosing.law)[0])

    def loss(flat: Vector, penalty: float) -> tuple[float, Vector]:
        return _loss(flat, design, fitting, penalty)

    start = np.zeros((design.shape[1], num_outcomes))
    start[-1] = np.log(np.maximum(fitting.weights @ fitting.law, SMALLEST_MEAN))
    found, penalty = follow_path(loss, judge, start.ravel(), penalties, num_steps)
    table = found.reshape(-1, num_outcomes)
    weight = whitening.directions @ table[:-1]
    return BayesLens(weight, table[-1] - whitening.mean @ weight, penalty)


def follow_path(
    loss: Callable[[Vector, float], tuple[float, Vector]],
    judge: Callable[[Vector], float],
    start: Vector,
    penalties: tuple[float, ...],
    num_steps: int,
) -> tuple[Vector, float]:
    """Fit with weaker and weaker penalties until what was not fitted to gets no nearer.

    Args:
        loss: Penalised loss of the parameters at a penalty, and its gradient.
        judge: Loss of the parameters on questions that were not fitted to.
        start: Parameters to begin with, the best ones at an infinite penalty.
        penalties: From the strongest on.
        num_steps: Steps of L-BFGS at each of them.

    Returns:
        The parameters that are judged best, and their penalty.
    """
    from scipy.optimize import minimize  # 0.1 s to import, and only needed here

    best, chosen, least = start, np.inf, judge(start)
    for penalty in penalties:
        options = {"maxiter": num_steps, "maxfun": 2 * num_steps, "ftol": 1e-9, "gtol": 1e-7}
        found = minimize(loss, best, (penalty,), method="L-BFGS-B", jac=True, options=options).x
        score = judge(found)
        if not score < least:
            break
        best, chosen, least = found, penalty, score
    return best, chosen


def _loss(
    flat: Vector, design: np.ndarray, fitting: Questions, penalty: float
) -> tuple[float, Vector]:
    """Return the penalised cross-entropy and its gradient."""
    table = flat.reshape(design.shape[1], -1)
    losses, law = _cross_entropy(design @ table, fitting.law)
    law -= fitting.law
    law *= fitting.weights[:, None]
    gradient = design.T @ law
    gradient[:-1] += penalty * table[:-1]
    ridge = 0.5 * penalty * float(np.sum(np.square(table[:-1])))
    return float(fitting.weights @ losses) + ridge, gradient.ravel()


def _cross_entropy(logits: np.ndarray, law: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each row's cross-entropy, and the law of the logits, which are overwritten."""
    logits -= logits.max(axis=1, keepdims=True)
    fitted = np.einsum("ro,ro->r", law, logits)
    np.exp(logits, out=logits)
    total = logits.sum(axis=1, keepdims=True)
    logits /= total
    return np.log(total[:, 0]) - fitted, logits


def _check(fitting: Questions) -> None:
    if not len(fitting.stream):
        raise ValueError("fitting: expected at least one question, got none")
    for name in ("stream", "law", "weights"):
        if not np.isfinite(getattr(fitting, name)).all():
            raise ValueError(f"fitting: expected finite numbers, got others in {name}")
