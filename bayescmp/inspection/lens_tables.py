"""What lenses saw of some networks, as a group of the results."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Bool

from bayescmp.inspection.effect import LEVEL, Effect
from bayescmp.inspection.lens_record import LENSES, Lenses
from bayescmp.results.tree import make_dataset


def lenses_group(results: Sequence[Lenses]) -> xr.Dataset:
    """Gather what lenses saw of some networks.

    Args:
        results: One for each seed, of networks of the same depth, beside the same rivals.

    Returns:
        The group ``/lenses``; without a control where any network has none.
    """
    first = results[0]
    mean, by_position = (
        np.stack([np.moveaxis(one.stack(name), 2, 0) for one in results], axis=1)
        for name in ("mean", "by_position")
    )
    arrays: dict[str, object] = {
        "kl": by_position[0],
        "kl_to_output": by_position[1],
        "rung_kl": np.moveaxis(by_position[2:], 0, 2),
        "mean_kl": mean[0],
        "mean_kl_low": np.stack([one.stack("low")[..., 0] for one in results]),
        "mean_kl_high": np.stack([one.stack("high")[..., 0] for one in results]),
        "mean_kl_to_output": mean[1],
        "mean_rung_kl": np.moveaxis(mean[2:], 0, 2),
        "nearest": np.stack([one.names("nearest") for one in results]),
        "tied": np.stack([one.names("tied") for one in results]),
        "penalty": np.stack([one.penalty for one in results]),
        "constant_kl": np.array([one.constant_kl for one in results]),
    }
    if all(len(one.untrained.streams) for one in results):
        names = first.stream_names
        arrays["control_kl"] = np.stack([one.untrained.streams for one in results])
        arrays["rises"] = np.stack([_named(names, one.effects()) for one in results])
        arrays["decodable"] = np.stack([_named(names, one.decodable()) for one in results])
    if first.head_names:
        arrays |= _head_arrays(results)
    coords = {"lens": LENSES, "stream": first.stream_names, "rung": first.rungs}
    return make_dataset("/lenses", arrays, coords, {"fitting": first.fitting, "level": LEVEL})


def _head_arrays(results: Sequence[Lenses]) -> dict[str, object]:
    """Lay out what was read from heads, block by block."""
    depth, names = len(results[0].stream_names) // 2, results[0].head_names
    arrays = {"head_kl": np.stack([one.head_kl for one in results])}
    if all(len(one.untrained.heads) for one in results):
        arrays["head_control_kl"] = np.stack([one.untrained.heads for one in results])
        arrays["head_adds"] = np.stack([_named(names, one.effects()) for one in results])
    return {name: a.reshape(*a.shape[:-1], depth, -1) for name, a in arrays.items()}


def _named(names: Sequence[str], effects: Sequence[Effect]) -> Bool[np.ndarray, " place"]:
    """Say of each place, or head, whether it is among some effects."""
    found = {effect.where for effect in effects}
    return np.array([name in found for name in names])
