"""A process with a closed form, and predictors with one stated defect each.

Tosses of a three-sided die: theta ~ Dirichlet(1, 1, 1), ten tosses, each predicted from those
before. Every diagnostic's size and power are stated on it, so that they can be compared.
"""

from dataclasses import dataclass

import numpy as np

NUM_OUTCOMES = 3
NUM_TOSSES = 10
DEFECTS = (
    "none",
    "temperature 0.8",
    "temperature 1.25",
    "prior shifted",
    "dropped observation",
    "swapped classes",
)
"""``temperature t`` raises the exact law to the power 1/t (0.8: too sure, 1.25: not sure
enough); the shifted prior is Dirichlet(3, 1, 1/3); the dropped observation is the last one;
swapped classes are the laws of outcomes 0 and 1, exchanged."""


@dataclass(frozen=True)
class Draws:
    """Sequences with exact and given laws; the first axis numbers sequences."""

    theta: np.ndarray
    """The die, [sequence outcome]."""
    outcomes: np.ndarray
    """[sequence position]"""
    log_p: np.ndarray
    """Exact predictive before each toss [nat], [sequence position outcome]."""
    log_q: np.ndarray
    """The given predictor's [nat]."""
    alpha_p: np.ndarray
    """Concentration of the exact posterior after all tosses, [sequence outcome]."""
    alpha_q: np.ndarray
    """Concentration of the given posterior after all tosses; tempered as a Dirichlet law,
    ``(alpha - 1) / t + 1``."""


def draw(defect: str, num_sequences: int, rng: np.random.Generator) -> Draws:
    """Draw sequences, and predict them with a defect."""
    if defect not in DEFECTS:
        raise ValueError(f"defect: expected one of {DEFECTS}, got {defect!r}")
    theta = rng.dirichlet(np.ones(NUM_OUTCOMES), num_sequences)
    uniform = rng.random((num_sequences, NUM_TOSSES, 1))
    outcomes = (uniform > theta.cumsum(-1)[:, None, :-1]).sum(-1)
    hits = np.eye(NUM_OUTCOMES)[outcomes]
    before = np.concatenate([np.zeros_like(hits[:, :1]), hits.cumsum(1)], axis=1)
    log_p = _log_predictive(before[:, :-1], np.ones(NUM_OUTCOMES))
    alpha_p = 1.0 + before[:, -1]
    log_q, alpha_q = _predict(defect, before, log_p, alpha_p)
    return Draws(theta, outcomes, log_p, log_q, alpha_p, alpha_q)


def _predict(
    defect: str, before: np.ndarray, log_p: np.ndarray, alpha_p: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the defective predictive and the defective posterior."""
    ones = np.ones(NUM_OUTCOMES)
    if defect.startswith("temperature"):
        temperature = float(defect.split()[1])
        powers = log_p / temperature
        log_q = powers - np.log(np.exp(powers).sum(-1, keepdims=True))
        return log_q, (alpha_p - 1.0) / temperature + 1.0
    if defect == "prior shifted":
        prior = np.array([3.0, 1.0, 1.0 / 3.0])
        return _log_predictive(before[:, :-1], prior), prior + before[:, -1]
    if defect == "dropped observation":
        late = np.concatenate([np.zeros_like(before[:, :1]), before[:, :-1]], axis=1)
        return _log_predictive(late[:, :-1], ones), ones + late[:, -1]
    if defect == "swapped classes":
        swap = [1, 0, 2]
        return log_p[..., swap], alpha_p[..., swap]
    return log_p, alpha_p


def _log_predictive(counts: np.ndarray, prior: np.ndarray) -> np.ndarray:
    alpha = counts + prior
    return np.log(alpha / alpha.sum(-1, keepdims=True))
