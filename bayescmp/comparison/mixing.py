"""The fixed mixture of some laws that comes nearest to another law."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

TOLERANCE = 1e-10
"""Duality gap in nats at which the search ends: float64 sums of probabilities that amount
to one round to about 1e-13."""

MAX_STEPS = 200
"""Newton steps; ten are usual."""

EM_STEPS = 20
"""Steps of expectation maximisation that begin the search."""

RIDGE = 1e-13
"""Added to the curvature, relative to its mean, for candidates that answer alike."""


@dataclass(frozen=True)
class MixtureWeights:
    """The weights of the best mixture, with a proof of how good they are."""

    weights: Float[np.ndarray, " candidate"]
    """Not negative, sum to one. NaN where every mixture is infinitely far away. Candidates that
    answer alike can share a weight in many ways, of which this is one."""
    gap: float
    """The divergence is at most this much larger than the least possible, in nats."""


def mix(
    log_p: Float[np.ndarray, "question outcome"],
    log_laws: Float[np.ndarray, "candidate question outcome"],
    shares: Float[np.ndarray, " question"],
) -> MixtureWeights:
    """Find the mixture of laws that is nearest to a law.

    Minimised over the simplex is ``sum_j shares_j KL(p_j || sum_i w_i law_ij)``, which is
    convex in ``w`` and equals, up to a constant, minus the expected log score of the
    mixture when outcomes follow ``p``. After a few steps of expectation maximisation come
    Newton steps, each a quadratic programme with ``w >= 0`` (its solution sums to one by
    itself). With ``g_i = E[law_i / mixture]`` the divergence exceeds the least possible one
    by at most ``max_i g_i - 1``, since it is convex: this gap ends the search.

    Args:
        log_p: Log probabilities to come near to, in nats.
        log_laws: Log probabilities of the candidates.
        shares: How much each question counts; they sum to one.

    Returns:
        Weights and gap.

    Source: Kim, Carbonetto, Stephens and Anitescu, "A Fast Algorithm for Maximum Likelihood
    Estimation of Mixture Proportions Using Sequential Quadratic Programming",
    arXiv 1806.01412.

    Example:
        >>> fair, bent = np.log([[0.5, 0.5]]), np.log([[0.9, 0.1]])
        >>> found = mix(np.log([[0.8, 0.2]]), np.stack([fair, bent]), np.ones(1))
        >>> found.weights.round(6), found.gap <= TOLERANCE
        (array([0.25, 0.75]), True)
    """
    mass = (np.exp(log_p) * shares[:, None]).ravel()
    counts = mass > 0
    cells = log_laws.reshape(len(log_laws), -1)[:, counts]
    highest = cells.max(axis=0)
    if np.isneginf(highest).any():
        return MixtureWeights(np.full(len(log_laws), np.nan), np.inf)
    mass, laws = mass[counts] / mass.sum(), np.exp(cells - highest)
    weights = np.full(len(laws), 1.0 / len(laws))
    for _ in range(EM_STEPS):
        weights = weights * (laws @ (mass / (weights @ laws)))
    best, gap = weights, _gap(weights, laws, mass)
    for _ in range(MAX_STEPS):
        if gap <= TOLERANCE:
            break
        weights = _newton(weights, laws, mass)
        if (now := _gap(weights, laws, mass)) < gap:
            best, gap = weights, now
    return MixtureWeights(best / best.sum(), gap)


def _gap(weights: np.ndarray, laws: np.ndarray, mass: np.ndarray) -> float:
    return max(float((laws @ (mass / (weights @ laws))).max()) - 1.0, 0.0)


def _newton(weights: np.ndarray, laws: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """Take a Newton step, shortened until it helps; a step of EM where none does."""
    from scipy.optimize import nnls  # 0.1 s to import, and only needed here

    ratio = laws / (weights @ laws)
    gradient = ratio @ mass
    curvature = (ratio * mass) @ ratio.T
    curvature += RIDGE * np.trace(curvature) / len(weights) * np.eye(len(weights))
    lower = np.linalg.cholesky(curvature)
    target, _ = nnls(lower.T, np.linalg.solve(lower, 2.0 * gradient - 1.0))
    before = _score(weights, laws, mass)
    for halving in range(30):
        trial = weights + 0.5**halving * (target - weights)
        if _score(trial, laws, mass) > before:
            return trial / trial.sum()
    return weights * gradient


def _score(weights: np.ndarray, laws: np.ndarray, mass: np.ndarray) -> float:
    """Return the expected log score minus the sum of the weights, largest where they sum to one."""
    mixture = weights @ laws
    return -np.inf if (mixture <= 0).any() else float(mass @ np.log(mixture) - weights.sum())
