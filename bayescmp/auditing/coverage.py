"""Coverage: how often what comes lies in the sets that a predictor would have named."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int

from bayescmp._types import Key
from bayescmp.auditing.coverage_sets import (
    Groups,
    Sets,
    Signs,
    StreamCoverage,
    cover_streams,
    learn_order,
    make_sets,
    smallest,
    stated_laws,
)
from bayescmp.auditing.judged import Judged
from bayescmp.auditing.lens_laws import read_lens_laws
from bayescmp.auditing.questions import NUM_ENTROPY_LEVELS, entropy_levels
from bayescmp.comparison.sequence_means import over_questions, over_sequences
from bayescmp.comparison.tally import BITS
from bayescmp.measures.coverage import LEVELS, merge_positions
from bayescmp.measures.interval import Interval
from bayescmp.measures.joint_sums import check_jointly, flip_signs
from bayescmp.results.tree import make_dataset

REGIONS = ("highest density", "learnt reference", "blind reference")
"""Orders in which sets take outcomes in: the likeliest first; what the predictor misses most by
what was learnt on other sequences first (TARP with a reference that knows the context); in an order
drawn at random (TARP with a reference that does not)."""

LEAST_SEQUENCES = 20
"""Sequences that are needed: half of them are learnt from."""

Positions = Float[np.ndarray, " position"]
Entropies = Float[np.ndarray, " entropy_level"]


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
    error_by_entropy: Entropies
    """Coverage error at each level of exact entropy; NaN where no question has it."""
    exact_error_by_entropy: Entropies
    """The same without labels."""
    p_by_entropy: Entropies
    """P-value of each of these levels, adjusted for all of them; NaN where nothing was tested."""
    num_by_entropy: Entropies
    """Sequences that have any question there."""
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
    entropy_edges: Float[np.ndarray, " limit"]
    """Limits of the levels of exact entropy, in nats."""
    by_stream: StreamCoverage | None
    """The first two kinds of sets through the logit lens; None where nothing can be traced."""


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
    signs, levels = flip_signs(num, rng), entropy_levels(judged)
    scores = (stated_laws(judged), learn_order(judged), rng.random(judged.log_q.shape))
    parts = (slice(0, num), slice(num // 2, num), slice(0, num))
    regions = (
        _judge_region(make_sets(judged, one, part), levels.level[part], signs[:, part])
        for one, part in zip(scores, parts, strict=True)
    )
    lenses = read_lens_laws(judged)
    streams = None if lenses is None else cover_streams(judged, lenses, signs)
    return Coverage(tuple(regions), levels.edges, streams)


def _judge_region(
    sets: Sets, level: Int[np.ndarray, "sequence position"], signs: Signs
) -> RegionCoverage:
    """Judge one kind of set."""
    counts, sums = sets.counts, sets.by_position()
    pooled = merge_positions(sums, counts.shape[1])
    tested, num = check_jointly(pooled, signs), counts.sum()
    groups = tuple(level == one for one in range(NUM_ENTROPY_LEVELS))
    sizes = np.array([group.any(axis=1).sum() for group in groups], dtype=float)
    errors, without = sets.errors, sets.exact_errors
    return RegionCoverage(
        coverage=LEVELS + pooled.scores.sum(axis=0) / num,
        band=tested.bound * tested.scale / num,
        exact_coverage=sets.exact_coverage,
        p_value=tested.p_value,
        error=over_questions(errors),
        exact_error=float(over_questions(without).mean),
        error_by_position=np.asarray(over_sequences(errors).mean),
        exact_error_by_position=np.asarray(over_sequences(without).mean),
        p_by_position=smallest(check_jointly(sums, signs), counts.any(axis=0)),
        error_by_entropy=_means(errors, groups),
        exact_error_by_entropy=_means(without, groups),
        p_by_entropy=smallest(check_jointly(sets.by_group(groups), signs), sizes > 0.0),
        num_by_entropy=sizes,
        num_sequences=len(counts),
    )


def _means(
    values: Float[np.ndarray, "sequence position"],
    groups: tuple[Bool[np.ndarray, "sequence position"], ...],
) -> Groups:
    """Average over the questions of each group; NaN where it has none."""
    return np.array([values[group].mean() if group.any() else np.nan for group in groups])


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
    places = [f"{name}_by_{by}" for by in ("position", "entropy") for name in BY]
    names = ("coverage", "band", "exact_coverage", "p_value", "exact_error", *places)
    arrays = {name: stack(name) for name in (*names, "num_by_entropy", "num_sequences")}
    ends = dict(zip(("error", "error_low", "error_high"), np.moveaxis(error, -1, 0), strict=True))
    edges = np.stack([one.entropy_edges for one in results]) * BITS
    arrays |= ends | {"entropy_low": edges[:, :-1], "entropy_high": edges[:, 1:]}
    coords = {"region": REGIONS, "nominal": np.round(100 * LEVELS).astype(int)}
    streams = [one.by_stream for one in results if one.by_stream is not None]
    if len(streams) == len(results):
        arrays |= {f"{name}_by_stream": _stack_streams(name, streams) for name in STREAMED}
        coords["stream"] = streams[0].names
    return make_dataset("/coverage", arrays, coords)


BY = ("error", "exact_error", "p")
"""What is said of each position and level of entropy."""

STREAMED = ("error", "exact_error", "p_value")
"""What is said of each place in the stream."""


def _stack_streams(
    name: str, streams: Sequence[StreamCoverage]
) -> Float[np.ndarray, "seed region stream"]:
    """Stack seeds; the blind reference, which is no matter of a place, has no numbers."""
    table = np.stack([getattr(one, name) for one in streams])
    return np.concatenate([table, np.full_like(table[:, :1], np.nan)], axis=1)
