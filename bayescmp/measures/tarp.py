"""Tests of accuracy with random points: sets of what lies nearest to a reference.

Instead of highest density, a reference orders what may come: the nearest first. Coverage of such
sets is nominal under calibration whatever the reference, provided that it was chosen without a
look at the truth, and if it is nominal for *every* reference that is a function of the
observation, the posterior is the right one (Lemos et al., theorem 3).

The trap is in "function of the observation". If the reference is drawn without a look at the
observation, the prior in place of the posterior passes: its sets are the same whatever was
observed, and the truth lies in them as often as the prior says. In general, the right posterior
given a part of the observation has nominal coverage for every reference that is a function of
that part: nobody who knows no more can tell. So a posterior that ignores its data, or drops some
of it, is hidden from a blind reference, and seen by one that depends on all of the observation,
such as an estimate of the truth. :func:`learn_reference` makes one: it learns on one half of the
sequences where the truth is to be expected, and is used on the other half. A reference that was
fitted to the truth it is used on would make a right posterior look wrong.

Source: Lemos, Coogan, Hezaveh and Perreault-Levasseur, Sampling-based accuracy testing of
posterior estimators for general inference, 2023, ICML (theorems 2 and 3, algorithm 2).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayescmp.measures.coverage import LEVELS, rank_among

PENALTY = 0.01
"""Ridge penalty, as a share of the number of rows, on features of unit variance."""


@dataclass(frozen=True)
class Tarp:
    """How often the truth lies among what is nearest to a reference.

    Example:
        >>> from bayescmp.measures.tarp import check_ranks
        >>> check_ranks(np.linspace(0.0, 1.0, 101)).p_value
        1.0
    """

    levels: Float[np.ndarray, " level"]
    """Mass of the sets."""
    coverage: Float[np.ndarray, " level"]
    """Share of sequences whose truth lies in the set."""
    area: float
    """Mean of coverage minus level: positive where the truth lies nearer to the reference than
    the draws do."""
    p_value: float
    """Kolmogorov and Smirnov's, that the ranks are uniform; one rank for each sequence."""


def tarp_ranks(
    draws: Float[np.ndarray, "sequence draw dim"],
    truth: Float[np.ndarray, "sequence dim"],
    references: Float[np.ndarray, "sequence dim"],
    uniforms: Float[np.ndarray, " sequence"],
) -> Float[np.ndarray, " sequence"]:
    """Rank the truth among posterior draws by the distance from a reference.

    The distance is Euclidean after each coordinate is divided by the standard deviation of all
    draws. Ties, which discrete draws have, are broken at random.

    Args:
        draws: Draws from the posterior of each sequence.
        truth: What was behind each sequence.
        references: Reference of each sequence.
        uniforms: Independent uniform numbers.

    Returns:
        Ranks [1], uniform where truth and draws come from one law: small where the truth is near.

    Raises:
        ValueError: If a coordinate of the draws never varies or is not finite, or shapes differ.

    Example:
        >>> from bayescmp.measures.tarp import tarp_ranks
        >>> draws, truth = np.array([[[0.0], [1.0], [2.0]]]), np.array([[0.9]])
        >>> tarp_ranks(draws, truth, np.array([[0.0]]), np.array([0.5]))
        array([0.375])
    """
    shape = (draws.shape[0], draws.shape[2])
    for name, array in (("truth", truth), ("references", references)):
        if array.shape != shape:
            raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")
    scale = draws.std(axis=(0, 1))
    if not (np.isfinite(scale).all() and (scale > 0.0).all()):
        raise ValueError("draws: expected finite coordinates that vary, got others")
    distances = np.sum(((draws - references[:, None]) / scale) ** 2, axis=-1)
    own = np.sum(((truth - references) / scale) ** 2, axis=-1)
    return rank_among(distances, own, uniforms)


def check_ranks(
    ranks: Float[np.ndarray, " sequence"], levels: Float[np.ndarray, " level"] = LEVELS
) -> Tarp:
    """Test whether ranks are uniform.

    Args:
        ranks: One randomised rank of each sequence, in [0, 1]; they must be independent.
        levels: Levels at which coverage is returned.

    Returns:
        Coverage, signed area and p-value.

    Raises:
        ValueError: If a rank lies outside [0, 1].
    """
    from scipy.stats import kstest  # 0.5 s to import, and only needed here

    if not ((ranks >= 0.0) & (ranks <= 1.0)).all():
        raise ValueError("ranks: expected numbers in [0, 1], got others")
    coverage = np.searchsorted(np.sort(ranks), levels, side="right") / len(ranks)
    area = 0.5 - float(ranks.mean())  # the integral of coverage minus level over all levels
    return Tarp(levels, coverage, area, float(kstest(ranks, "uniform").pvalue))


def blind_references(
    truth: Float[np.ndarray, "sequence dim"], uniforms: Float[np.ndarray, "sequence dim"]
) -> Float[np.ndarray, "sequence dim"]:
    """Draw references evenly over the range of the truth, whatever the observation.

    The naive choice: it hides a posterior that ignores its data. Kept to show just that.

    Args:
        truth: What was behind each sequence.
        uniforms: Independent uniform numbers.

    Returns:
        References.
    """
    low, high = truth.min(axis=0), truth.max(axis=0)
    return low + uniforms * (high - low)


def learn_reference(
    features: Float[np.ndarray, "row feature"],
    targets: Float[np.ndarray, "row column"],
    new_features: Float[np.ndarray, "new_row feature"],
) -> Float[np.ndarray, "new_row column"]:
    """Learn from some observations where to expect the truth of others.

    Ridge regression with the penalty ``0.01`` times the number of rows, on features scaled to
    unit variance.

    Args:
        features: Features of the observations that are learnt from.
        targets: The truth behind them, or what a predictor missed.
        new_features: Features of the observations that the reference is for.

    Returns:
        What is expected there: a function of the observation alone, given the first rows.

    Example:
        >>> from bayescmp.measures.tarp import learn_reference
        >>> x = np.array([[-1.0], [0.0], [1.0]])
        >>> learn_reference(x, 2.0 * x, np.array([[2.0]])).round(2)
        array([[3.96]])
    """
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    scale = np.where(deviation > 1e-9, deviation, np.inf)  # what never varies has no part
    rows, centre = (features - mean) / scale, targets.mean(axis=0)
    gram = rows.T @ rows + PENALTY * len(rows) * np.eye(rows.shape[1])
    coefficients = np.linalg.solve(gram, rows.T @ (targets - centre))
    return centre + (new_features - mean) / scale @ coefficients
