"""A comparison in a few lines of plain text, for the end of a run in the terminal."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from bayescmp.measures.interval import mean_interval

_HEADLINES = {
    "mean_kl": "KL from exact",
    "entropy_mae_a": "entropy MAE (A)",
    "mean_total_variation": "total variation",
    "mean_impossible_mass": "impossible mass",
    "mean_excess_log_loss": "excess log loss",
    "mean_argmax_agreement": "argmax agreement",
}
_HIGHER_IS_BETTER = {"mean_argmax_agreement"}
_LEVEL = 0.95


def summarise(tree: xr.DataTree) -> str:
    """Set the claims with their verdicts, and the headline measures, in two tables.

    Args:
        tree: A complete comparison.

    Returns:
        Lines of text: each claim with verdict, mean over seeds, interval and threshold;
        each measure of the network beside the rung that does best in it.

    Example:
        >>> print(summarise(tree))
        verdict       claim                            mean over seeds [95% interval]  threshold
        ...
        supported     Entropy MAE is below 0.005 bits  0.00036 [0.000333, 0.000387]    below 0.005
        ...
    """
    tables = [_lay_out(_measure_rows(tree))]
    if "claims" in tree and tree["claims"].sizes["claim"]:
        tables.insert(0, _lay_out(_claim_rows(tree["claims"].to_dataset())))
    return "\n\n".join(tables)


def _claim_rows(claims: xr.Dataset) -> list[tuple[str, ...]]:
    """Return a heading and a row for each claim."""
    level = float(claims["level"][0])
    rows = [("verdict", "claim", f"mean over seeds [{level:.0%} interval]", "threshold")]
    for index in range(claims.sizes["claim"]):
        row = claims.isel(claim=index)
        rows.append(
            (
                row["verdict"].item(),
                row["statement"].item(),
                _with_interval(row["mean"].item(), row["low"].item(), row["high"].item()),
                f"{row['direction'].item()} {_number(row['threshold'].item())}",
            )
        )
        if row["verdict"].item() == "inconclusive":
            rows.append(("", f"  {row['reason'].item()}", "", ""))
    return rows


def _measure_rows(tree: xr.DataTree) -> list[tuple[str, ...]]:
    """Return a heading and a row for each headline measure that the tree has."""
    network, ladder = tree["divergence"].to_dataset(), tree["ladder"].to_dataset()
    rows = [("measure", f"network [{_LEVEL:.0%} interval]", "best rung")]
    for name, label in _HEADLINES.items():
        interval = mean_interval(network[name].to_numpy(), _LEVEL)
        units = network[name].attrs["units"]
        rows.append(
            (
                label if units == "1" else f"{label} ({units})",
                _with_interval(float(interval.mean), float(interval.low), float(interval.high)),
                _best_rung(ladder[name], higher=name in _HIGHER_IS_BETTER),
            )
        )
    return rows


def _best_rung(values: xr.DataArray, *, higher: bool) -> str:
    """Name the rung that does best in a measure, with its value."""
    known = values.dropna("rung")
    numbers = known.to_numpy()
    if numbers.size == 0:
        return "none"
    best = known.isel(rung=int(numbers.argmax() if higher else numbers.argmin()))
    return f"{_number(best.item())} ({best['rung'].item()})"


def _with_interval(mean: float, low: float, high: float) -> str:
    """Write a mean and its interval; an infinite one is one that nobody knows."""
    if not (np.isfinite(low) and np.isfinite(high)):
        return _number(mean)
    return f"{_number(mean)} [{_number(low)}, {_number(high)}]"


def _number(value: float) -> str:
    """Write a number with three significant digits."""
    return f"{value:.3g}"


def _lay_out(rows: Sequence[tuple[str, ...]]) -> str:
    """Align the columns of a table whose first row is the heading."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])
