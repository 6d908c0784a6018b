"""Nested sets of outcomes that a predictor would have named, with what came and what was exact."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from bayescmp.auditing.contexts import describe_contexts
from bayescmp.auditing.judged import Judged
from bayescmp.auditing.lens_laws import LensLaws
from bayescmp.measures.coverage import (
    LEVELS,
    Standing,
    coverage_sums,
    expected_coverage,
    merge_positions,
    stand,
)
from bayescmp.measures.joint_sums import CellSums, JointTest, check_jointly
from bayescmp.measures.residuals import one_hot
from bayescmp.measures.tarp import learn_reference

POINTS = 100.0
"""Percentage points in one."""

Laws = Float[np.ndarray, "sequence position outcome"]
Signs = Float[np.ndarray, "flip sequence"]
Questions = Bool[np.ndarray, "sequence position"]
Errors = Float[np.ndarray, "sequence position"]
Groups = Float[np.ndarray, " group"]


@dataclass(frozen=True)
class Sets:
    """One kind of set on some sequences."""

    laws: Laws
    """The predictor's; what nobody counts is uniform."""
    exact: Laws
    standing: Standing
    """Of every outcome in the order in which sets take outcomes in."""
    outcomes: Int[np.ndarray, "sequence position"]
    counts: Questions

    @property
    def errors(self) -> Errors:
        """Mean over levels of coverage minus level, in points; NaN where nobody counts."""
        middle = self.standing.of(self.outcomes).middle
        return np.where(self.counts, 0.5 - middle, np.nan) * POINTS

    @property
    def exact_errors(self) -> Errors:
        """The same under the exact law, without labels."""
        middle = (self.exact * self.standing.middle).sum(axis=-1)
        return np.where(self.counts, 0.5 - middle, np.nan) * POINTS

    @property
    def exact_coverage(self) -> Float[np.ndarray, " level"]:
        """Chance under the exact law that the set of each level holds what comes."""
        rows = [expected_coverage(self.standing, self.exact, a)[self.counts] for a in LEVELS]
        return np.array([row.mean() for row in rows])

    def by_position(self) -> CellSums:
        """Sum up coverage beyond each level, position by position."""
        return coverage_sums(self.laws, self.standing, self.outcomes, self.counts)

    def pooled(self, questions: Questions) -> CellSums:
        """Sum up coverage beyond each level over the questions of each sequence.

        Args:
            questions: Which of the questions that count.

        Returns:
            One cell for each level.
        """
        chosen = self.counts & questions
        sums = coverage_sums(self.laws, self.standing, self.outcomes, chosen)
        return merge_positions(sums, chosen.shape[1])

    def by_group(self, groups: tuple[Questions, ...]) -> CellSums:
        """Sum up coverage beyond each level in several groups of questions.

        Args:
            groups: Which questions are in each.

        Returns:
            Cells of the first group, then those of the second, and so on.
        """
        parts = [self.pooled(group) for group in groups]
        return CellSums(
            np.concatenate([part.scores for part in parts], axis=1),
            np.concatenate([part.variance for part in parts]),
            np.concatenate([part.third_moment for part in parts]),
        )


def make_sets(judged: Judged, scores: Laws, part: slice) -> Sets:
    """Order the outcomes of some sequences.

    Args:
        judged: A predictor on drawn sequences.
        scores: By what outcomes are ordered; high ones come first.
        part: Which sequences.

    Returns:
        The sets.
    """
    laws, counts = stated_laws(judged)[part], judged.counts[part]
    exact = np.where(counts[..., None], np.exp(judged.log_p[part]), laws)
    return Sets(laws, exact, stand(laws, scores[part]), judged.outcomes[part], counts)


def stated_laws(judged: Judged) -> Laws:
    """Return the predictor's probabilities; what nobody counts is uniform.

    Args:
        judged: A predictor on drawn sequences.
    """
    counts = judged.counts[..., None]
    return np.where(counts, np.exp(judged.log_q), 1.0 / judged.log_q.shape[-1])


def learn_order(judged: Judged) -> Laws:
    """Learn on the first half of the sequences which outcomes the predictor misses in a context.

    Features are centred and scaled anew by the first half, so that nothing of the second half
    but its own context enters a reference.

    Args:
        judged: A predictor on drawn sequences.

    Returns:
        A score for every outcome of every question; a reference for the second half only.
    """
    laws, features = stated_laws(judged), describe_contexts(judged)
    half, counts = len(laws) // 2, judged.counts
    missed = one_hot(judged.outcomes, laws.shape[-1]) - laws
    learnt = counts[:half]
    flat = features.reshape(-1, features.shape[-1])
    expected = learn_reference(features[:half][learnt], missed[:half][learnt], flat)
    return expected.reshape(laws.shape)


def smallest(tested: JointTest, there: Bool[np.ndarray, " group"]) -> Groups:
    """Return the smallest adjusted p-value of any level in each group.

    Args:
        tested: Cells of all groups, groups slow.
        there: Which groups have any question.

    Returns:
        P-values; NaN where nothing could be tested.
    """
    rows = tested.adjusted.reshape(there.size, -1)
    least = np.where(np.isnan(rows), np.inf, rows).min(axis=1)
    return np.where(np.isinf(least) | ~there, np.nan, least)


@dataclass(frozen=True)
class StreamCoverage:
    """Coverage through the logit lens at each place; each place is tested by itself."""

    names: tuple[str, ...]
    """Names of the places."""
    error: Float[np.ndarray, "region stream"]
    """Mean over levels of coverage minus level, in points."""
    exact_error: Float[np.ndarray, "region stream"]
    """The same without labels."""
    p_value: Float[np.ndarray, "region stream"]
    """Chance of a coverage as far out at any level, if the place's laws were calibrated."""


def cover_streams(judged: Judged, lenses: LensLaws, signs: Signs) -> StreamCoverage:
    """Check highest-density sets, and those of the learnt reference, at every place.

    Args:
        judged: A predictor on drawn sequences.
        lenses: What it would answer at each place.
        signs: Random signs of the sequences.

    Returns:
        Errors and p-values, the two kinds of sets in this order.
    """
    num, found = len(judged.outcomes), []
    for log_q in lenses.log_q:
        place = replace(judged, log_q=log_q)
        for scores, start in ((stated_laws(place), 0), (learn_order(place), num // 2)):
            sets = make_sets(place, scores, slice(start, num))
            tested = check_jointly(sets.pooled(sets.counts), signs[:, start:])
            found.append((np.nanmean(sets.errors), np.nanmean(sets.exact_errors), tested.p_value))
    table = np.array(found).reshape(len(lenses.stream_names), 2, 3)
    return StreamCoverage(lenses.stream_names, *table.T)
