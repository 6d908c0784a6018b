"""Rows by level of exact entropy, as several audits list them."""

import numpy as np
import xarray as xr
from jaxtyping import Float

from bayescmp.plots.numbers import format_count
from bayescmp.plots.series import read_values
from bayescmp.report.blocks import Cell
from bayescmp.report.tables import Column, label_column


def level_columns(
    tree: xr.DataTree, group: str, num: Float[np.ndarray, " entropy_level"]
) -> list[Column]:
    """Name the levels of the first seed, and say how many sequences have any question there.

    Args:
        tree: A comparison.
        group: Path of the audit's group, such as ``/pit``.
        num: Sequences at each level.

    Returns:
        Two columns.
    """
    low, high = (
        read_values(tree, f"{group}/entropy_{end}", "seed", "entropy_level")[0]
        for end in ("low", "high")
    )
    levels = [f"{a:.3g} – {b:.3g} bit" for a, b in zip(low, high, strict=True)]
    counts = [Cell(format_count(float(value))) for value in num]
    return [label_column("exact entropy", levels), (Cell("sequences"), counts)]
