"""Figures of a group that are one number for each seed: those that claims are about."""

import numpy as np
import xarray as xr

from bayescmp.plots.series import read_values
from bayescmp.report.blocks import Fact, FactList
from bayescmp.report.words import over_seeds, with_unit
from bayescmp.results.schema import SCHEMA


def list_totals(
    tree: xr.DataTree, group: str, title: str, prefixes: tuple[str, ...] = ("",)
) -> tuple[FactList, ...]:
    """List what a group has for each seed and along no other axis.

    Args:
        tree: A comparison.
        group: Path of the group.
        title: Heading of the list.
        prefixes: How names begin that are listed.

    Returns:
        One list of meanings, up to a semicolon, with means over seeds and their intervals;
        without what no seed has, and none where that leaves nothing.
    """
    rows = {
        f"{group}/{name}": row
        for name, row in SCHEMA[group].variables.items()
        if row.dims == ("seed",) and name.startswith(prefixes)
    }
    facts = [
        Fact(row.long_name.partition(";")[0], tell_total(tree, path, row.units))
        for path, row in rows.items()
        if not np.isnan(read_values(tree, path, "seed")).all()
    ]
    return (FactList(title, tuple(facts)),) if facts else ()


def tell_total(tree: xr.DataTree, path: str, units: str) -> str:
    """Write the mean of a figure over seeds, with its interval where it has one.

    Args:
        tree: A comparison.
        path: Path of a variable that has seeds alone.
        units: Its unit.

    Returns:
        Text such as ``0.031 bit [0.028, 0.035]``.
    """
    value, interval = over_seeds(tree, read_values(tree, path, "seed"), units)
    value = with_unit(value, units)
    return f"{value} {interval}" if interval.startswith("[") else value
