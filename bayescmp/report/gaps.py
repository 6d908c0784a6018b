"""Numbers behind a figure that are not finite, counted so that no drawing hides them."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from bayescmp.plots.series import has_variable, read_array, supervised_positions
from bayescmp.report.words import join_words, plural

NAMED_TARGETS = ("probe_target", "forecast", "arm")
"""Axes of which some entries have no such number at all: a target that is not a law has no KL, a
forecast that was never made came true neither often nor seldom, and an arm may have no start."""


def describe_gaps(tree: xr.DataTree, paths: Sequence[str]) -> str:
    """Say which of the variables behind a figure hold NaN or infinities.

    Positions that are not supervised do not count, nor do bins that nothing fell into and the
    logarithm of zero.

    Args:
        tree: A comparison.
        paths: Paths of the variables that a figure shows.

    Returns:
        A sentence or two; the empty text where every number is finite.

    Example:
        >>> describe_gaps(tree, ["/divergence/kl"])
        ''
    """
    found = [text for path in paths if (text := _count(tree, path))]
    if not found:
        return ""
    return (
        f"Not every number behind this figure is finite: {join_words(found)}. NaN, a number that "
        "does not exist, is left out of the drawing; infinity stands at its edge or is left out."
    )


def _count(tree: xr.DataTree, path: str) -> str:
    """Count what is not finite in one variable."""
    if not has_variable(tree, path):
        return ""
    variable = read_array(tree, path)
    if variable.dtype.kind != "f":
        return ""
    variable = variable.copy(data=np.where(_is_empty(tree, path, variable), 0.0, variable.values))
    for dim in set(NAMED_TARGETS) & set(variable.dims):
        variable = variable.dropna(dim, how="all")
    values = np.asarray(variable.values)
    if "position" in variable.dims and has_variable(tree, "/divergence/supervised"):
        values = np.compress(supervised_positions(tree), values, variable.dims.index("position"))
    missing, infinite = np.isnan(values), np.isinf(values)
    if path.rpartition("/")[2].startswith("log_"):
        infinite = np.isposinf(values)
    counts = [
        f"{int(count.sum()):,} {word}"
        for count, word in ((missing, "NaN"), (infinite, "infinite"))
        if count.any()
    ]
    return f"{path} holds {join_words(counts)} of {plural(values.size, 'value')}" if counts else ""


def _is_empty(tree: xr.DataTree, path: str, variable: xr.DataArray) -> np.ndarray:
    """Say which entries nothing fell into, by the counts beside them, where there are some."""
    counts = f"{path.rpartition('/')[0]}/count"
    if not has_variable(tree, counts) or read_array(tree, counts).dims != variable.dims:
        return np.zeros(variable.shape, bool)
    return np.asarray(read_array(tree, counts).values) == 0
