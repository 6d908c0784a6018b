"""What probes found in several networks, as a group of the results."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from bayescmp.comparison.tally import BITS
from bayescmp.inspection.probe_controlled import Controlled
from bayescmp.inspection.probe_controls import CONTROLS, INITIAL
from bayescmp.inspection.probe_results import ALL_PLACES, ProbeResult, Probes
from bayescmp.layers.decoding import FLOOR
from bayescmp.results.tree import make_dataset

Table = Callable[[Sequence[object]], np.ndarray]
"""Lays out one entry for each seed, target and place."""


def probes_group(results: Sequence[Probes]) -> xr.Dataset:
    """Gather the probes of several networks of one shape, one for each seed.

    Args:
        results: Probes of each network, with the same targets and places.

    Returns:
        The group ``/probes``, divergences in bits.

    Raises:
        ValueError: If there is none, or they differ in targets, places or draws.
    """
    shapes = {(*p.targets, p.places, p.head_names, _num_draws(p)) for p in results}
    if len(shapes) != 1:
        raise ValueError(
            "results: expected probes of the same targets, places and draws, got "
            f"{len(shapes)} kinds of them"
        )
    first, num = results[0], len(results)
    targets, places = tuple(first.targets), first.places
    every = [result for probes in results for result in probes.results]
    arrays = _tables(every, (num, len(targets), len(places)))
    arrays |= {
        "rank": np.array([r.rank for r in every]).reshape(num, len(targets), -1)[:, 0],
        "meaning": np.array([first.targets[name] for name in targets]),
        "num_columns": np.array([first.num_columns[name] for name in targets]),
        "num_features": np.array([first.result(targets[0], p).num_features for p in places]),
    }
    if {tuple(dict.fromkeys(r.target for r in p.heads)) for p in results} == {targets}:
        heads = [result for probes in results for result in probes.heads]
        depth = len([place for place in places if place != ALL_PLACES]) // 2
        by_head = _tables(heads, (num, len(targets), depth, -1))
        arrays |= {f"head_{name}": array for name, array in by_head.items()}
    coords = {"probe_target": targets, "probe_place": places, "probe_control": CONTROLS}
    attrs = {
        "judged": first.judged,
        "wrong_prior": first.wrong_prior or "none",
        "floor": FLOOR,
        "notes": sorted({note for probes in results for note in probes.notes}),
    }
    return make_dataset("/probes", arrays, coords, attrs)


def _num_draws(probes: Probes) -> int:
    """Return how many networks that nobody trained stand beside one."""
    return probes.results[0].r_squared.initial.size


def _tables(results: Sequence[ProbeResult], shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Lay out what is known of every target at every place, seed by seed."""

    def table(values: Sequence[object]) -> np.ndarray:
        array = np.array(values, np.float64)
        return array.reshape(*shape, *array.shape[1:])

    p_values = [np.nan if r.place == ALL_PLACES else r.p_value() for r in results]
    return {
        "penalty": table([r.penalty for r in results]),
        "p_value": table(p_values),
        **_score_tables("r_squared", [r.r_squared for r in results], 1.0, table),
        **_score_tables("kl", [r.kl for r in results], BITS, table),
    }


def _score_tables(
    name: str, scores: Sequence[Controlled | None], scale: float, table: Table
) -> dict[str, np.ndarray]:
    """Lay one kind of score and its controls out, NaN where there is none."""
    like = next((one for one in scores if one is not None), None)
    if like is None:
        return {}
    none = Controlled(
        like.name, np.nan, np.nan, np.nan, np.full(like.initial.size, np.nan), like.controls
    )
    none = replace(none, controls=dict.fromkeys(like.controls, np.nan))
    given = [none if one is None else one for one in scores]
    means = [{INITIAL: float(one.initial.mean()), **one.controls} for one in given]
    controls = table([[mean[control] for control in CONTROLS] for mean in means])
    initial = table([one.initial for one in given])
    return {
        name: scale * table([one.value for one in given]),
        f"{name}_low": scale * table([one.low for one in given]),
        f"{name}_high": scale * table([one.high for one in given]),
        f"control_{name}": scale * np.moveaxis(controls, -1, 2),
        f"initial_{name}": scale * np.moveaxis(initial, -1, 2),
    }
