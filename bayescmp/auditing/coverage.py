"""Coverage: how often what comes lies in the sets that a predictor would have named."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from bayescmp._types import Key
from bayescmp.auditing.contexts import describe_contexts
from bayescmp.auditing.judged import Judged
from bayescmp.comparison.sequence_means import over_questions, over_sequences
from bayescmp.measures.coverage import (
    LEVELS,
    coverage_sums,
    expected_coverage,
    merge_positions,
    stand,
)
from bayescmp.measures.interval import Interval
from bayescmp.measures.joint_sums import JointTest, check_jointly, flip_signs
from bayescmp.measures.residuals import one_hot
from bayescmp.measures.tarp import learn_reference
from bayescmp.results.tree import make_dataset

REGIONS = ("highest density", "learnt reference", "blind reference")
"""Orders in which sets take outcomes in: the likeliest first; what the predictor misses most by
what was learnt on other sequences first (TARP with a reference that knows the context); in an order
drawn at random (TARP with a reference that does not)."""

POINTS = 100.0
"""Percentage points in one."""

LEAST_SEQUENCES = 20
"""Sequences that are needed: half of them are learnt from."""

Positions = Float[np.ndarray, " position"]


@dataclass(frozen=True)
class RegionCoverage:
    """Coverage of one kind of set; errors are in percentage points.

    An error is the mean over all levels of coverage minus level. For highest-density sets it is
    negative where a predictor is too sure, and positive where it is not sure enough. For sets
    around a reference it is positive where what comes is nearer to the reference than predicted.
    """

    coverage: Float[np.ndarray, " level"]
    """Share of questions whose outcome lies in the set of each level."""
    band: Float[np.ndarray, " level"]
    """Half the width of the simultaneous 95 % band of a calibrated predictor around the level."""
    exact_coverage: Float[np.ndarray, " level"]
    """Chance of that on the same questions, without labels."""
    p_value: float
    """Chance of a coverage as far out at any level, if calibrated; sequences are the units."""
    error: Interval
    """Coverage error, with its interval over sequences."""
    exact_error: float
    """The same without labels."""
    error_by_position: Positions
    """Coverage error at each position."""
    exact_error_by_position: Positions
    """The same without labels."""
    p_by_position: Positions
    """P-value of each position, adjusted for all of them; NaN where nothing could be tested."""
    num_sequences: int
    """How many sequences it was judged on."""


@dataclass(frozen=True)
class Coverage:
    """Coverage of the sets of one predictor.

    Example:
        >>> oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=3))
        >>> judged = bc.auditing.judge(oracle, oracle, key=jax.random.key(0), num_sequences=200)
        >>> found = check_coverage(judged, key=jax.random.key(1))
        >>> found.regions[0].p_value > 0.05, abs(found.regions[0].exact_error) < 1e-9
        (True, True)
    """

    regions: tuple[RegionCoverage, ...]
    """One for each of ``REGIONS``."""


def check_coverage(judged: Judged, *, key: Key) -> Coverage:
    """Check how often what comes lies in the sets that a predictor would have named.

    The test pools the questions of a sequence and treats sequences as the units, so any
    dependence between questions is allowed for. The learnt reference learns on the first half
    of the sequences and is judged on the second.

    Args:
        judged: A predictor on drawn sequences.
        key: Typed key of random orders and of the test.

    Returns:
        Coverage of each kind of set, at levels from 5 % to 95 %.

    Raises:
        ValueError: If there are fewer than 20 sequences.
    """
    num = len(judged.outcomes)
    if num < LEAST_SEQUENCES:
        raise ValueError(f"judged: expected at least {LEAST_SEQUENCES} sequences, got {num}")
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
    signs = flip_signs(num, rng)
    scores = (_laws(judged), _learn_order(judged), rng.random(judged.log_q.shape))
    starts = (0, num // 2, 0)
    regions = (
        _judge_region(judged, one, slice(start, num), signs[:, start:])
        for one, start in zip(scores, starts, strict=True)
    )
    return Coverage(tuple(regions))


def _laws(judged: Judged) -> Float[np.ndarray, "sequence position outcome"]:
    """Return the predictor's probabilities; what nobody counts is uniform."""
    counts = judged.counts[..., None]
    return np.where(counts, np.exp(judged.log_q), 1.0 / judged.log_q.shape[-1])


def _learn_order(judged: Judged) -> Float[np.ndarray, "sequence position outcome"]:
    """Learn on the first half of the sequences which outcomes the predictor misses in a context.

    Features are centred and scaled anew by the first half, so that nothing of the second half
    but its own context enters a reference.
    """
    laws, features = _laws(judged), describe_contexts(judged)
    half, counts = len(laws) // 2, judged.counts
    missed = one_hot(judged.outcomes, laws.shape[-1]) - laws
    learnt = counts[:half]
    flat = features.reshape(-1, features.shape[-1])
    expected = learn_reference(features[:half][learnt], missed[:half][learnt], flat)
    return expected.reshape(laws.shape)


def _judge_region(
    judged: Judged,
    scores: Float[np.ndarray, "sequence position outcome"],
    part: slice,
    signs: Float[np.ndarray, "flip judged_sequence"],
) -> RegionCoverage:
    """Judge one kind of set on some of the sequences."""
    laws, counts, outcomes = _laws(judged)[part], judged.counts[part], judged.outcomes[part]
    exact = np.where(counts[..., None], np.exp(judged.log_p[part]), laws)
    standing = stand(laws, scores[part])
    sums = coverage_sums(laws, standing, outcomes, counts)
    pooled = merge_positions(sums, counts.shape[1])
    tested, num = check_jointly(pooled, signs), counts.sum()
    error = np.where(counts, 0.5 - standing.of(outcomes).middle, np.nan) * POINTS
    without = np.where(counts, 0.5 - (exact * standing.middle).sum(-1), np.nan) * POINTS
    return RegionCoverage(
        coverage=LEVELS + pooled.scores.sum(axis=0) / num,
        band=tested.bound * tested.scale / num,
        exact_coverage=np.array(
            [expected_coverage(standing, exact, a)[counts].mean() for a in LEVELS]
        ),
        p_value=tested.p_value,
        error=over_questions(error),
        exact_error=float(over_questions(without).mean),
        error_by_position=np.asarray(over_sequences(error).mean),
        exact_error_by_position=np.asarray(over_sequences(without).mean),
        p_by_position=_by_position(check_jointly(sums, signs), counts),
        num_sequences=len(counts),
    )


def _by_position(tested: JointTest, counts: Bool[np.ndarray, "sequence position"]) -> Positions:
    """Return the smallest adjusted p-value of any level at each position that counts."""
    rows = tested.adjusted.reshape(counts.shape[1], -1)
    smallest = np.where(np.isnan(rows), np.inf, rows).min(axis=1)
    return np.where(np.isinf(smallest) | ~counts.any(axis=0), np.nan, smallest)


def coverage_group(results: Sequence[Coverage]) -> xr.Dataset:
    """Gather the coverage of some predictors.

    Args:
        results: One for each seed.

    Returns:
        The group ``/coverage``.
    """

    def stack(name: str) -> np.ndarray:
        return np.array([[getattr(one, name) for one in seed.regions] for seed in results])

    error = np.array(
        [[(r.error.mean, r.error.low, r.error.high) for r in seed.regions] for seed in results]
    )
    names = ("coverage", "band", "exact_coverage", "p_value", "exact_error", "error_by_position")
    names += ("exact_error_by_position", "p_by_position", "num_sequences")
    arrays = {name: stack(name) for name in names}
    ends = dict(zip(("error", "error_low", "error_high"), np.moveaxis(error, -1, 0), strict=True))
    coords = {"region": REGIONS, "nominal": np.round(100 * LEVELS).astype(int)}
    return make_dataset("/coverage", {**arrays, **ends}, coords)
