"""Expected coverage: how often does what comes lie in the sets a predictor would have named?

A predictor that orders the outcomes (by their probability, or by their distance from a reference)
names for every level ``a`` the set of first outcomes that holds the mass ``a``. If outcomes
follow its law, such sets hold what comes with chance ``a``. Outcomes are few, so that a set rarely
holds exactly ``a``: the outcome at the boundary belongs to it with the chance that makes it so,
and outcomes that are ordered alike enter together. In symbols, with ``q`` the law, ``B`` the mass
before the outcome ``y`` and ``M`` the mass of all that are ordered like ``y``, itself included,
the set of level ``a`` holds ``y`` with chance ``clip((a - B) / M, 0, 1)``, whose mean under ``q``
is ``a``, whatever ``q``. With ``u`` uniform, ``B + u M`` is uniform.

Source: Hermans et al., A trust crisis in simulation-based inference?, 2022, Transactions on Machine
Learning Research, section 2 (expected coverage of highest-density sets of a posterior); Czado,
Gneiting and Held, Predictive model assessment for count data, 2009, Biometrics 65 (averaging
over the randomisation).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from bayescmp.measures.joint_sums import CellSums

LEVELS: Float[np.ndarray, " level"] = np.arange(1, 20) / 20.0
"""Levels at which coverage is looked at: 0.05, 0.10, ..., 0.95."""

Laws = Float[np.ndarray, "*question outcome"]
"""Probabilities of outcomes."""


@dataclass(frozen=True)
class Standing:
    """Where outcomes stand in an order of all outcomes.

    Example:
        >>> from bayescmp.measures.coverage import stand
        >>> law = np.array([0.5, 0.25, 0.25])
        >>> place = stand(law, law)  # the likeliest first; outcomes 1 and 2 are tied
        >>> place.before, place.tied
        (array([0. , 0.5, 0.5]), array([0.5, 0.5, 0.5]))
    """

    before: Float[np.ndarray, "*question"]
    """Mass of the outcomes that come earlier."""
    tied: Float[np.ndarray, "*question"]
    """Mass of the outcomes ordered alike, itself included."""

    def of(self, outcomes: Int[np.ndarray, "*question"]) -> "Standing":
        """Keep the standing of one outcome of each question.

        Args:
            outcomes: Which outcome, where the last axis counts outcomes.

        Returns:
            Its standing.
        """
        pick = outcomes[..., None]
        before = np.take_along_axis(self.before, pick, axis=-1)[..., 0]
        return Standing(before, np.take_along_axis(self.tied, pick, axis=-1)[..., 0])

    def share_covered(self, level: float) -> Float[np.ndarray, "*question"]:
        """Return the chance that the set of some level holds the outcome.

        Args:
            level: Mass of the set.

        Returns:
            Chance over the randomisation at the boundary [1].
        """
        # What has no mass of its own is inside or outside as a whole.
        return np.clip((level - self.before) / np.maximum(self.tied, 1e-300), 0.0, 1.0)

    def randomise(self, uniforms: Float[np.ndarray, "*question"]) -> Float[np.ndarray, "*question"]:
        """Return the smallest level whose set holds the outcome: uniform under calibration.

        Args:
            uniforms: Independent uniform numbers.

        Returns:
            Levels [1].
        """
        return self.before + uniforms * self.tied

    @property
    def middle(self) -> Float[np.ndarray, "*question"]:
        """Mean of the smallest level over the randomisation; 1/2 on average if calibrated."""
        return self.before + 0.5 * self.tied


def stand(laws: Laws, scores: Laws) -> Standing:
    """Find where every outcome stands when outcomes with high scores come first.

    Args:
        laws: Probabilities of the outcomes.
        scores: By what they are ordered; the laws themselves for highest-density sets.

    Returns:
        Standing of every outcome of every question.

    Raises:
        ValueError: If the shapes differ or a score is NaN.
    """
    if scores.shape != laws.shape:
        raise ValueError(f"scores: expected the shape of laws, {laws.shape}, got {scores.shape}")
    if np.isnan(scores).any():
        raise ValueError("scores: expected numbers, got NaN")
    order = np.argsort(-scores, axis=-1, kind="stable")
    mass = np.take_along_axis(laws, order, axis=-1)
    ranked = np.take_along_axis(scores, order, axis=-1)
    total = np.cumsum(mass, axis=-1)
    step = ranked[..., 1:] != ranked[..., :-1]
    edge = np.ones((*laws.shape[:-1], 1), dtype=bool)
    first, last = np.concatenate([edge, step], axis=-1), np.concatenate([step, edge], axis=-1)
    start = np.maximum.accumulate(np.where(first, total - mass, 0.0), axis=-1)
    backwards = np.where(last, total, np.inf)[..., ::-1]
    end = np.minimum.accumulate(backwards, axis=-1)[..., ::-1]
    before, tied = np.empty(laws.shape), np.empty(laws.shape)
    np.put_along_axis(before, order, start, axis=-1)
    np.put_along_axis(tied, order, np.maximum(end - start, 0.0), axis=-1)
    return Standing(before, tied)


def coverage_sums(
    laws: Laws,
    standing: Standing,
    outcomes: Int[np.ndarray, "*question"],
    counts: Bool[np.ndarray, "*question"],
    levels: Float[np.ndarray, " level"] = LEVELS,
) -> CellSums:
    """Sum up coverage beyond the level by position, with the moments that the laws imply.

    Args:
        laws: The predictor's, axes sequence, position, outcome.
        standing: Standing of every outcome.
        outcomes: What came.
        counts: Which questions count.
        levels: Levels of the sets.

    Returns:
        Scores with one cell for each position and level, positions slow.
    """
    came = standing.of(outcomes)
    scores, variances, thirds = [], [], []
    for level in levels:
        scores.append(np.where(counts, came.share_covered(level) - level, 0.0))
        excess = standing.share_covered(level) - level
        product = laws * excess
        for rows in (variances, thirds):
            product *= excess
            rows.append(np.where(counts, product.sum(axis=-1), 0.0).sum(axis=0))
    cells = np.stack(scores, axis=-1).reshape(len(outcomes), -1)
    return CellSums(cells, *(np.stack(rows, axis=-1).ravel() for rows in (variances, thirds)))


def merge_positions(sums: CellSums, num_positions: int) -> CellSums:
    """Add up cells over positions, which stand first in their order.

    Args:
        sums: Cells of each position.
        num_positions: How many positions.

    Returns:
        One cell for what was one at each position.
    """
    scores = sums.scores.reshape(len(sums.scores), num_positions, -1).sum(axis=1)
    moments = (sums.variance, sums.third_moment)
    return CellSums(scores, *(one.reshape(num_positions, -1).sum(axis=0) for one in moments))


def expected_coverage(
    standing: Standing, exact: Laws, level: float
) -> Float[np.ndarray, "*question"]:
    """Return the chance that a predictor's set holds what comes, without labels.

    Args:
        standing: Standing of every outcome in the predictor's order.
        exact: Exact probabilities.
        level: Mass that the predictor gives the set.

    Returns:
        Coverage of each question [1].
    """
    return np.sum(exact * standing.share_covered(level), axis=-1)


def density_levels(
    log_density: Float[np.ndarray, "*question draw"],
    log_density_true: Float[np.ndarray, "*question"],
    uniforms: Float[np.ndarray, "*question"],
) -> Float[np.ndarray, "*question"]:
    """Return the level of the smallest highest-density set of draws that holds the truth.

    ``(#{draws of higher density} + u (#{draws of equal density} + 1)) / (#draws + 1)``: uniform
    where truth and draws come from one law, in any dimension and with ties.

    Args:
        log_density: Log density of each posterior draw under the posterior that is judged.
        log_density_true: Log density of the truth under it.
        uniforms: Independent uniform numbers.

    Returns:
        Levels [1]: small where the truth lies in the densest part.

    Example:
        >>> from bayescmp.measures.coverage import density_levels
        >>> density_levels(np.array([[-1.0, -2.0, -3.0]]), np.array([-2.5]), np.array([0.5]))
        array([0.625])
    """
    return rank_among(-log_density, -log_density_true, uniforms)


def rank_among(
    draws: Float[np.ndarray, "*question draw"],
    truth: Float[np.ndarray, "*question"],
    uniforms: Float[np.ndarray, "*question"],
) -> Float[np.ndarray, "*question"]:
    """Return the rank of the truth among draws, as a share, ties and its own place randomised.

    Args:
        draws: A number for each draw.
        truth: The same number for the truth.
        uniforms: Independent uniform numbers.

    Returns:
        ``(#{draws < truth} + u (#{draws = truth} + 1)) / (#draws + 1)``; uniform where the
        truth is one more draw.

    Raises:
        ValueError: If a number is NaN.
    """
    if np.isnan(draws).any() or np.isnan(truth).any():
        raise ValueError("draws: expected numbers, got NaN among draws or truth")
    below = (draws < truth[..., None]).sum(axis=-1)
    equal = (draws == truth[..., None]).sum(axis=-1)
    return (below + uniforms * (equal + 1)) / (draws.shape[-1] + 1)
