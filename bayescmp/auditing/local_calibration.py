"""Local calibration: in which contexts is a predictor off, in which direction, and how much?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax
import numpy as np
import xarray as xr
from jaxtyping import Float

from bayescmp._types import Key
from bayescmp.auditing.contexts import Groups, describe_contexts, group_contexts
from bayescmp.auditing.judged import Judged
from bayescmp.auditing.lens_laws import read_lens_laws
from bayescmp.measures.joint_sums import CellSums, check_jointly, flip_signs
from bayescmp.measures.residuals import (
    Laws,
    Weights,
    one_hot,
    residual_scores,
    shown_before,
    sum_by_context,
)
from bayescmp.results.tree import make_dataset

SURENESS, REPEATED, LAST = "sureness", "shown before", "shown last"
"""Names of the aspects that are no single outcome."""

MOST_OUTCOMES = 32
"""Outcomes up to which each is looked at; with more, only the other aspects are."""

LEAST_SEQUENCES = 20
"""Sequences that are needed."""

LEVEL = 0.05
"""Chance of any false place."""

Z_LEVEL = 1.959964
"""Standard deviations of a 95 % interval."""

Table = Float[np.ndarray, "context aspect"]
Signs = Float[np.ndarray, "flip sequence"]


@dataclass(frozen=True)
class LocalCalibration:
    """Where one predictor is off.

    A gap is a mean over the questions of a context. For ``sureness`` it is the probability that
    the predictor gave to what came, minus what it expected of itself: negative where it is too
    sure. For an outcome, or outcomes that the sequence had shown before, it is how often they came,
    minus their mean probability.

    Example:
        >>> oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=3))
        >>> judged = bc.auditing.judge(oracle, oracle, key=jax.random.key(0), num_sequences=200)
        >>> found = locate_miscalibration(judged, key=jax.random.key(1))
        >>> found.places(), found.contexts[:2]
        ((), ('all questions', 'position 0'))
    """

    contexts: tuple[str, ...]
    """Names of the groups of questions."""
    aspects: tuple[str, ...]
    """``sureness``; outcomes shown before and last, where outcomes are shown; single outcomes."""
    gap: Table
    """Mean of what came minus what was predicted [1]; NaN where a group is empty."""
    gap_low: Table
    """Lower end of its pointwise 95 % interval, sequences being the units."""
    gap_high: Table
    """Upper end of that interval."""
    exact_gap: Table
    """The gap under the exact law on the same questions, without labels."""
    p_value: Table
    """P-value adjusted for all contexts and aspects; NaN where events are too rare."""
    num_questions: Float[np.ndarray, " context"]
    """Questions in each group."""
    map_p_value: float
    """Chance of a largest gap as large anywhere, if calibrated."""
    features_p_value: float
    """Chance of residuals that go with features of the context as much, if calibrated."""
    num_impossible: int
    """How often something came that the predictor held impossible: once refutes it."""
    stream_names: tuple[str, ...] = ()
    """Names of the places in the stream; none where nothing can be traced."""
    by_stream: tuple["LocalCalibration", ...] = ()
    """The same of what would be answered at each place, in the same groups; tested by itself."""

    def places(self, level: float = LEVEL) -> tuple[tuple[str, str, float, float], ...]:
        """Return where the predictor is off.

        Args:
            level: Chance of any place where there is none.

        Returns:
            Context, aspect, gap and exact gap, the clearest first.
        """
        ranked = np.where(np.isnan(self.p_value), np.inf, self.p_value)
        order = np.lexsort((-np.abs(self._in_errors()).ravel(), ranked.ravel()))
        at = [np.unravel_index(k, ranked.shape) for k in order if ranked.flat[k] <= level]
        return tuple(
            (self.contexts[c], self.aspects[a], float(self.gap[c, a]), float(self.exact_gap[c, a]))
            for c, a in at
        )

    @property
    def agreement(self) -> float:
        """Correlation of gaps with exact gaps over all that is tested; NaN where none differ."""
        tested = np.isfinite(self.p_value)
        gap, exact = self.gap[tested], self.exact_gap[tested]
        if exact.size < 3 or np.ptp(exact) < 1e-9 or np.ptp(gap) < 1e-9:
            return float("nan")
        return float(np.corrcoef(gap, exact)[0, 1])

    def _in_errors(self) -> Table:
        """Return gaps in units of their standard error; zero where there is none."""
        width = self.gap_high - self.gap_low
        return np.where(width > 0.0, self.gap / np.where(width > 0.0, width, 1.0), 0.0)


def locate_miscalibration(judged: Judged, *, key: Key) -> LocalCalibration:
    """Find the contexts in which a predictor is off.

    Two tests, both with sequences as the units, so that any dependence between the questions of
    one is allowed for. The map looks at groups of contexts (position, entropy of the
    predictor's own law, last token), and its p-values hold for all of them together. The other
    asks whether residuals go with any of many features of the context, and says not where.
    Networks that can be traced are judged at each place of their stream, too, through the logit
    lens, in the groups that their own answers make.

    Args:
        judged: A predictor on drawn sequences.
        key: Typed key of the tests.

    Returns:
        The map, beside what the exact law says of the same questions.

    Raises:
        ValueError: If there are fewer than 20 sequences.
    """
    num = len(judged.outcomes)
    if num < LEAST_SEQUENCES:
        raise ValueError(f"judged: expected at least {LEAST_SEQUENCES} sequences, got {num}")
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
    signs, groups = flip_signs(num, rng), group_contexts(judged)
    found, lenses = _locate(judged, groups, signs), read_lens_laws(judged)
    if lenses is None:
        return found
    places = (replace(judged, log_q=log_q) for log_q in lenses.log_q)
    by_stream = tuple(_locate(place, groups, signs) for place in places)
    return replace(found, stream_names=lenses.stream_names, by_stream=by_stream)


def _locate(judged: Judged, groups: Groups, signs: Signs) -> LocalCalibration:
    """Judge laws in given groups of questions."""
    sides = _compare(judged)
    features = np.where(judged.counts[..., None], describe_contexts(judged), 0.0)
    spread = check_jointly(sum_by_context(features, sides.laws, sides.came), signs).p_sum
    possible = (sides.laws > 0.0) | (sides.came == 0.0)
    impossible = int(np.sum(judged.counts & ~possible.all(axis=-1)))
    return _draw_map(groups, sides, signs, 0.0 if impossible else spread, impossible)


@dataclass(frozen=True)
class _Sides:
    """What was said, what came, and what was to be expected."""

    laws: Laws
    came: Laws
    exact: Laws
    weights: Weights
    aspects: tuple[str, ...]


def _compare(judged: Judged) -> _Sides:
    """Lay laws and outcomes side by side; what nobody counts is uniform."""
    counts, num_outcomes = judged.counts[..., None], judged.log_q.shape[-1]
    laws = np.where(counts, np.exp(judged.log_q), 1.0 / num_outcomes)
    exact = np.where(counts, np.exp(judged.log_p), laws)
    came = one_hot(judged.outcomes, num_outcomes)
    weights, aspects = (laws,), (SURENESS,)
    if judged.evaluation.model.layout.reveal:
        weights, aspects = (laws, *shown_before(came)), (SURENESS, REPEATED, LAST)
    if num_outcomes <= MOST_OUTCOMES:
        aspects = (*aspects, *(f"outcome {k}" for k in range(num_outcomes)))
    return _Sides(laws, came, exact, weights, aspects)


def _draw_map(
    groups: Groups,
    sides: _Sides,
    signs: Signs,
    spread: float,
    impossible: int,
) -> LocalCalibration:
    """Test all groups together, and lay gaps out beside the exact ones."""
    sums = sum_by_context(groups.members, sides.laws, sides.came, sides.weights)
    shape = (len(groups.names), len(sides.weights) + sides.laws.shape[-1])
    shown = np.broadcast_to(np.arange(shape[1]) < len(sides.aspects), shape).ravel()
    kept = CellSums(sums.scores[:, shown], sums.variance[shown], sums.third_moment[shown])
    tested, num = check_jointly(kept, signs), groups.members.sum(axis=(0, 1)).astype(float)
    size = np.where(num > 0.0, num, np.nan)[:, None]
    gap, scale, p_value = (
        cells.reshape(len(groups.names), -1)
        for cells in (kept.scores.sum(axis=0), tested.scale, tested.adjusted)
    )
    return LocalCalibration(
        contexts=groups.names,
        aspects=sides.aspects,
        gap=gap / size,
        gap_low=(gap - Z_LEVEL * scale) / size,
        gap_high=(gap + Z_LEVEL * scale) / size,
        exact_gap=_exact_sums(groups, sides)[:, : len(sides.aspects)] / size,
        p_value=np.where(np.isnan(size), np.nan, p_value),
        num_questions=num,
        map_p_value=0.0 if impossible else tested.p_value,
        features_p_value=spread,
        num_impossible=impossible,
    )


def _exact_sums(groups: Groups, sides: _Sides) -> Table:
    """Return the sums that exact probabilities lead to expect."""
    scores = residual_scores(sides.laws, sides.exact, sides.weights)
    members = groups.members.reshape(-1, len(groups.names)).astype(np.float64)
    return members.T @ scores.reshape(len(members), -1)


def local_calibration_group(results: Sequence[LocalCalibration]) -> xr.Dataset:
    """Gather where some predictors are off.

    Args:
        results: One for each seed, on the same sequences.

    Returns:
        The group ``/local_calibration``; contexts that are not in all of the records are left out.
    """
    common = [n for n in results[0].contexts if all(n in one.contexts for one in results)]
    rows = [[one.contexts.index(name) for name in common] for one in results]
    tables = ("gap", "gap_low", "gap_high", "exact_gap", "p_value", "num_questions")
    arrays: dict[str, object] = {
        name: np.stack([getattr(one, name)[at] for one, at in zip(results, rows, strict=True)])
        for name in tables
    }
    arrays |= {name: np.array([getattr(one, name) for one in results]) for name in SINGLES}
    coords = {"context": common, "aspect": results[0].aspects}
    if all(one.by_stream for one in results):
        arrays |= _stack_streams(results, rows)
        coords["stream"] = results[0].stream_names
    return make_dataset("/local_calibration", arrays, coords, {"level": LEVEL})


SINGLES = ("map_p_value", "features_p_value", "num_impossible", "agreement")
"""Single numbers of one predictor."""


def _stack_streams(
    results: Sequence[LocalCalibration], rows: Sequence[Sequence[int]]
) -> dict[str, object]:
    """Stack what was found at each place of the stream."""
    arrays: dict[str, object] = {
        f"{name}_by_stream": np.array(
            [
                [getattr(place, name)[at] for place in one.by_stream]
                for one, at in zip(results, rows, strict=True)
            ]
        )
        for name in ("gap", "exact_gap", "p_value")
    }
    for name in ("map_p_value", "features_p_value"):
        values = [[getattr(place, name) for place in one.by_stream] for one in results]
        arrays[f"{name}_by_stream"] = np.array(values)
    return arrays
