"""The probability integral transform of a predictor: are its laws uniformly right?

Every curve stands on independent questions: those at one position, or one random question of
each sequence. Questions of one sequence depend on each other, and a band over all of them would
be too narrow.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float

from bayescmp._types import Key
from bayescmp.auditing.judged import Judged
from bayescmp.auditing.lens_laws import LensLaws, read_lens_laws
from bayescmp.auditing.questions import (
    NUM_ENTROPY_LEVELS,
    EntropyLevels,
    Picked,
    entropy_levels,
    numpy_generator,
    pick_one_each,
    pick_position,
)
from bayescmp.comparison.tally import BITS, LogLaws
from bayescmp.inspection.effect import Effect, select
from bayescmp.measures.bands import band_p_value, count_below, even_levels, simultaneous_bands
from bayescmp.measures.pit import (
    Dependence,
    exact_pit_distribution,
    pit_dependence,
    randomised_pit,
)
from bayescmp.results.tree import make_dataset

LEVELS = even_levels(100)
"""Where distributions of transforms are looked at."""

COVERAGE = 0.95
"""Chance that the whole curve of a calibrated predictor stays inside its band."""

Curve = Float[np.ndarray, " level"]
Table = Float[np.ndarray, "sequence position"]


@dataclass(frozen=True)
class PitCurve:
    """The distribution of transforms of independent questions, minus the uniform one.

    Without any question everything is NaN.
    """

    num: int
    """Questions, each of another sequence."""
    difference: Curve
    """Share of transforms at most as large as each level, minus the level."""
    low: Curve
    """Lower limit of the band that holds at all levels together."""
    high: Curve
    p_value: float
    """Exact; at most 0.05 where the curve leaves its band."""
    exact: Curve
    """What the difference is on average over outcomes, from exact laws; NaN where densities are
    judged."""

    @property
    def distance(self) -> float:
        """Greatest distance from uniform: how bad, in probability."""
        return float(np.abs(self.difference).max())

    @property
    def exact_distance(self) -> float:
        """Greatest distance of the exact curve: the same without any outcome drawn."""
        return float(np.abs(self.exact).max())


@dataclass(frozen=True)
class Pit:
    """Transforms of one predictor's outcomes."""

    overall: PitCurve
    """One random question of each sequence."""
    by_position: tuple[PitCurve, ...]
    by_entropy: tuple[PitCurve, ...]
    """One random question of each sequence that has any at that level of exact entropy."""
    by_stream: tuple[PitCurve, ...]
    """The questions of ``overall`` through the logit lens; none where nothing can be traced."""
    stream_names: tuple[str, ...]
    entropy_edges: Float[np.ndarray, " limit"]
    """Limits of the levels of exact entropy, in nats."""
    dependence: Dependence | None
    """Of successive transforms; None where outcomes are not shown, for then an exact predictor's
    depend on each other too."""

    def off(self, level: float = 0.05) -> tuple[int, ...]:
        """Return the positions where transforms are not uniform, looked at together (Holm).

        Args:
            level: Chance of any such position where there is none.

        Returns:
            Positions, from 0, the clearest first.
        """
        curves = {str(place): curve for place, curve in enumerate(self.by_position) if curve.num}
        found = [Effect(name, one.distance, 0.0, one.p_value) for name, one in curves.items()]
        return tuple(int(effect.where) for effect in select(found, level))


def check_pit(judged: Judged, *, key: Key, cdf: Table | None = None) -> Pit:
    """Hold the transforms of outcomes against the uniform distribution.

    ``F(y - 1) + u q(y)`` for finite outcomes and bins. For a density give its distribution at
    the outcomes themselves: ``density_of(network, inputs).cdf(y)`` where questions are asked,
    if a network answers with one. The band and p-value of each curve are exact for independent
    questions: :mod:`bayescmp.measures.bands`. ArviZ simulates the same band, one draw at a
    time, and has no p-value for it.

    Args:
        judged: A predictor on drawn sequences.
        key: Typed key of the randomised shares and of which questions are picked.
        cdf: Predicted distribution at each continuous outcome [1], in place of bins.

    Returns:
        Curves over all, by position, by exact entropy and by place in the stream.

    Raises:
        ValueError: If the distribution has another shape, or numbers outside [0, 1].

    Example:
        >>> oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=4))
        >>> judged = bc.auditing.judge(oracle, oracle, key=jax.random.key(0), num_sequences=256)
        >>> pit = check_pit(judged, key=jax.random.key(1))
        >>> pit.overall.p_value > 0.05, round(pit.overall.exact_distance, 9), pit.off()
        (True, 0.0, ())
    """
    rng = numpy_generator(key)
    uniforms = rng.random(judged.counts.shape)
    picked, levels = pick_one_each(judged.counts, rng), entropy_levels(judged)
    source = _Source(judged, judged.log_q, uniforms, cdf)
    places = range(judged.counts.shape[1])
    lenses = read_lens_laws(judged) if cdf is None else None
    return Pit(
        overall=source.curve(picked),
        by_position=tuple(source.curve(pick_position(judged.counts, t)) for t in places),
        by_entropy=_by_entropy(source, levels, rng),
        by_stream=_by_stream(judged, lenses, uniforms, picked),
        stream_names=() if lenses is None else lenses.stream_names,
        entropy_edges=levels.edges,
        dependence=_dependence(source),
    )


@dataclass(frozen=True)
class _Source:
    """Laws whose transforms are taken, with the uniform numbers that fill jumps."""

    judged: Judged
    log_q: LogLaws
    uniforms: Table
    cdf: Table | None = None

    def __post_init__(self) -> None:
        """Check the distribution of continuous outcomes."""
        if self.cdf is None:
            return
        counts = self.judged.counts
        if self.cdf.shape != counts.shape:
            raise ValueError(f"cdf: expected shape {counts.shape}, got {self.cdf.shape}")
        if not ((self.cdf[counts] >= 0.0) & (self.cdf[counts] <= 1.0)).all():
            raise ValueError("cdf: expected numbers from 0 to 1, got others")

    def transform(self, picked: Picked) -> Float[np.ndarray, " row"]:
        """Return the transforms of some questions."""
        if self.cdf is not None:
            return picked.of(self.cdf)
        return randomised_pit(
            picked.of(self.log_q), picked.of(self.judged.outcomes), picked.of(self.uniforms)
        )

    def curve(self, picked: Picked) -> PitCurve:
        """Return the distribution of the transforms of independent questions."""
        nothing = np.full(LEVELS.size, np.nan)
        if not picked.num:
            return PitCurve(0, nothing, nothing, nothing, np.nan, nothing)
        below = count_below(self.transform(picked), LEVELS)
        low, high = simultaneous_bands(picked.num, LEVELS, COVERAGE)
        exact = nothing
        if self.cdf is None:
            laws = (picked.of(self.judged.log_p), picked.of(self.log_q))
            exact = exact_pit_distribution(*laws, LEVELS) - LEVELS
        difference = below / picked.num - LEVELS
        p_value = band_p_value(below, picked.num, LEVELS)
        return PitCurve(picked.num, difference, low - LEVELS, high - LEVELS, p_value, exact)


def _by_entropy(
    source: _Source, levels: EntropyLevels, rng: np.random.Generator
) -> tuple[PitCurve, ...]:
    """Return a curve for each level of exact entropy."""
    return tuple(source.curve(levels.pick(one, rng)) for one in range(NUM_ENTROPY_LEVELS))


def _by_stream(
    judged: Judged, lenses: LensLaws | None, uniforms: Table, picked: Picked
) -> tuple[PitCurve, ...]:
    """Return a curve for each place in the residual stream."""
    if lenses is None:
        return ()
    return tuple(_Source(judged, log_q, uniforms).curve(picked) for log_q in lenses.log_q)


def _dependence(source: _Source) -> Dependence | None:
    """Test successive transforms, where an exact predictor's are independent."""
    judged = source.judged
    if not judged.evaluation.model.layout.reveal:
        return None
    every = Picked(*np.nonzero(judged.counts))
    pit = np.full(judged.counts.shape, np.nan)
    pit[judged.counts] = source.transform(every)
    return pit_dependence(pit, judged.counts)


def pit_group(results: Sequence[Pit]) -> xr.Dataset:
    """Gather the transforms of some predictors.

    Args:
        results: One for each seed, on as many positions, of networks of the same depth.

    Returns:
        The group ``/pit``.
    """
    first = results[0]
    arrays: dict[str, object] = {
        **_stack("", [(one.overall,) for one in results], single=True),
        **_stack("_by_position", [one.by_position for one in results]),
        **_stack("_by_entropy", [one.by_entropy for one in results]),
        "entropy_low": np.stack([one.entropy_edges[:-1] for one in results]) * BITS,
        "entropy_high": np.stack([one.entropy_edges[1:] for one in results]) * BITS,
        "off_by_position": np.array(
            [[t in one.off() for t in range(len(one.by_position))] for one in results]
        ),
    }
    if first.stream_names:
        arrays |= _stack("_by_stream", [one.by_stream for one in results])
    dependence = [one.dependence for one in results if one.dependence is not None]
    if len(dependence) == len(results):
        arrays["dependence"] = np.array([one.correlation for one in dependence])
        arrays["dependence_p_value"] = np.array([one.p_value for one in dependence])
    coords = {"stream": first.stream_names}
    return make_dataset("/pit", arrays, coords, {"coverage": COVERAGE})


def _stack(
    suffix: str, rows: Sequence[tuple[PitCurve, ...]], *, single: bool = False
) -> dict[str, object]:
    """Stack the curves of each seed under names with a suffix."""
    fields = {
        "difference": "difference",
        "band_low": "low",
        "band_high": "high",
        "exact_difference": "exact",
        "distance": "distance",
        "exact_distance": "exact_distance",
        "p_value": "p_value",
        "num": "num",
    }
    arrays = {
        f"{name}{suffix}": np.array([[getattr(one, field) for one in row] for row in rows])
        for name, field in fields.items()
    }
    return {name: values[:, 0] for name, values in arrays.items()} if single else dict(arrays)
