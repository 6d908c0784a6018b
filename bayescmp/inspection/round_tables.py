"""What was found of blocks and rounds in some networks, as a group of the results."""

from collections.abc import Sequence

import xarray as xr

from bayescmp.inspection.rounds import Rounds
from bayescmp.results.tree import make_dataset


def rounds_group(results: Sequence[Rounds]) -> xr.Dataset:
    """Lay out what was found for several networks as the group ``/rounds``.

    Args:
        results: One for each seed, of networks of the same depth on the same sequences.

    Returns:
        The group.
    """
    first = results[0]
    arrays = {
        "kl": [one.kl for one in results],
        "exact_kl": [one.exact_kl for one in results],
        "round_exact_kl": first.round_exact_kl,
        "closest": [one.closest for one in results],
        "own_round_kl": [one.own_round_kl for one in results],
        "own_exact_kl": [one.own_exact_kl for one in results],
        "progress": [one.progress for one in results],
        "misfit": [one.misfit for one in results],
    }
    attrs = {"num_told_apart": len(first.told_apart), "fitting": first.fitting}
    return make_dataset("/rounds", arrays, {"round_lens": first.lenses}, attrs)
