"""Reliability: what a predictor's probabilities turn out to mean, against outcomes and exactly.

Everything stands on independent questions: those at one position, or one random question of each
sequence. Questions of one sequence depend on each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float

from bayescmp._types import Key
from bayescmp.auditing.judged import Judged
from bayescmp.auditing.lens_laws import read_lens_laws
from bayescmp.auditing.questions import (
    NUM_ENTROPY_LEVELS,
    Picked,
    entropy_levels,
    numpy_generator,
    pick_one_each,
    pick_position,
)
from bayescmp.auditing.reliability_curves import (
    COVERAGE,
    CURVES,
    ReliabilityCurve,
    fit_curves,
)
from bayescmp.auditing.reliability_rows import (
    AGAINST,
    ESTIMATORS,
    KINDS,
    Rows,
    RowsReliability,
    measure_rows,
)
from bayescmp.comparison.tally import BITS, LogLaws
from bayescmp.measures.debiased import NUM_BINS
from bayescmp.measures.score_decomposition import PARTS
from bayescmp.results.tree import make_dataset

NUM_DRAWS = 199
"""Sets of outcomes drawn from the predictor's own laws, for bands and tests over all questions."""

NUM_PLACE_DRAWS = 99
"""The same for each position and each level of entropy: p-values there are hundredths, and say
something of one place at a time."""


@dataclass(frozen=True)
class ReliabilityFit:
    """How reliable one predictor's probabilities are."""

    curves: tuple[ReliabilityCurve, ReliabilityCurve]
    """Over all outcomes, and over the likeliest ones."""
    overall: RowsReliability
    """One random question of each sequence."""
    by_position: tuple[RowsReliability, ...]
    by_entropy: tuple[RowsReliability, ...]
    """One random question of each sequence that has any at that level of exact entropy."""
    by_stream: tuple[RowsReliability, ...]
    """The questions of ``overall`` through the logit lens; none where nothing can be traced."""
    stream_names: tuple[str, ...]
    entropy_edges: Float[np.ndarray, " limit"]
    """Limits of the levels of exact entropy, in nats."""


def fit_reliability(judged: Judged, *, key: Key) -> ReliabilityFit:
    """Recalibrate a predictor by isotonic regression, and see what that gains.

    Miscalibration ``S(q) - S(c)`` is the gain in the mean score, for the Brier and the log score
    of each outcome against the rest, summed. Its p-value asks how often outcomes drawn from the
    laws themselves show as much; that is right because each question stands for another
    sequence. Beside it stand calibration errors of three kinds, and, since the exact law is
    known, what each of them estimates.

    Args:
        judged: A predictor on drawn sequences.
        key: Typed key of the questions that are picked and of the outcomes that are drawn.

    Returns:
        Curves, decomposed scores and errors.

    Raises:
        ValueError: If no question counts.

    Example:
        >>> oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=4))
        >>> judged = bc.auditing.judge(oracle, oracle, key=jax.random.key(0), num_sequences=256)
        >>> fit = fit_reliability(judged, key=jax.random.key(1))
        >>> bool(fit.overall.p_value[0] > 0.05), float(fit.overall.exact_errors.max().round(9))
        (True, 0.0)
    """
    if not judged.counts.any():
        raise ValueError("judged: expected at least one question that counts, got none")
    rng = numpy_generator(key)
    picked, levels = pick_one_each(judged.counts, rng), entropy_levels(judged)
    own = _rows(judged, judged.log_q, picked)
    positions = [pick_position(judged.counts, t) for t in range(judged.counts.shape[1])]
    entropies = [levels.pick(one, rng) for one in range(NUM_ENTROPY_LEVELS)]
    by_position, by_entropy = (
        tuple(measure_rows(_rows(judged, judged.log_q, one), NUM_PLACE_DRAWS, rng) for one in some)
        for some in (positions, entropies)
    )
    lenses = read_lens_laws(judged)
    laws = () if lenses is None else lenses.log_q
    return ReliabilityFit(
        curves=fit_curves(own, NUM_DRAWS, rng),
        overall=measure_rows(own, NUM_DRAWS, rng),
        by_position=by_position,
        by_entropy=by_entropy,
        by_stream=tuple(measure_rows(_rows(judged, log_q, picked), 0, rng) for log_q in laws),
        stream_names=() if lenses is None else lenses.stream_names,
        entropy_edges=levels.edges,
    )


def _rows(judged: Judged, log_q: LogLaws, picked: Picked) -> Rows:
    """Return what was predicted, what came and what is exact at some questions."""
    q, p = (np.exp(picked.of(log_laws)) for log_laws in (log_q, judged.log_p))
    return Rows(q, p, picked.of(judged.outcomes))


def reliability_group(results: Sequence[ReliabilityFit]) -> xr.Dataset:
    """Gather the reliability of some predictors.

    Args:
        results: One for each seed, on as many positions, of networks of the same depth.

    Returns:
        The group ``/reliability``; information in bits.
    """
    first = results[0]
    arrays: dict[str, object] = {
        **_stack_curves(results),
        **_stack("", [(one.overall,) for one in results], single=True),
        **_stack("_by_position", [one.by_position for one in results]),
        **_stack("_by_entropy", [one.by_entropy for one in results]),
        "entropy_low": np.stack([one.entropy_edges[:-1] for one in results]) * BITS,
        "entropy_high": np.stack([one.entropy_edges[1:] for one in results]) * BITS,
    }
    if first.stream_names:
        arrays |= _stack("_by_stream", [one.by_stream for one in results], tested=False)
    coords = {
        "reliability_curve": CURVES,
        "against": AGAINST,
        "score_part": PARTS,
        "calibration_kind": KINDS,
        "calibration_estimator": ESTIMATORS,
        "stream": first.stream_names,
    }
    attrs = {"coverage": COVERAGE, "num_bins": NUM_BINS, "num_draws": NUM_DRAWS}
    return make_dataset("/reliability", arrays, coords, attrs)


def _stack_curves(results: Sequence[ReliabilityFit]) -> dict[str, object]:
    """Stack the curves of each seed."""
    fields = {"curve": "drawn", "exact_curve": "exact", "curve_low": "low", "curve_high": "high"}
    return {
        name: np.array([[getattr(curve, field) for curve in one.curves] for one in results])
        for name, field in fields.items()
    }


def _stack(
    suffix: str,
    rows: Sequence[tuple[RowsReliability, ...]],
    *,
    single: bool = False,
    tested: bool = True,
) -> dict[str, object]:
    """Stack what is said of questions of one kind, under names with a suffix.

    Places come last in the tree.
    """

    def gather(field: str) -> np.ndarray:
        values = np.array([[getattr(one, field) for one in row] for row in rows])
        return values[:, 0] if single else np.moveaxis(values, 1, -1)

    parts = gather("parts")
    arrays: dict[str, object] = {
        "brier": parts[:, 0],
        "log": parts[:, 1] * BITS,
        "error": gather("errors"),
        "exact_error": gather("exact_errors"),
        "error_gap": gather("errors") - gather("exact_errors"),
        "squared": gather("squared"),
        "exact_squared": gather("exact_squared"),
        "num": gather("num"),
    }
    if tested:
        null, p_value = gather("null_miscalibration"), gather("p_value")
        arrays |= {"brier_null": null[:, 0], "log_null": null[:, 1] * BITS}
        arrays |= {"brier_p_value": p_value[:, 0], "log_p_value": p_value[:, 1]}
    return {f"{name}{suffix}": values for name, values in arrays.items()}
