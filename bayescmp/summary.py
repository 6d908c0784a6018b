"""A comparison in a few lines of plain text, for the end of a run in the terminal."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from bayescmp.measures.interval import mean_interval
from bayescmp.plots.numbers import format_given, format_interval, format_number
from bayescmp.report.verdicts import give_reason
from bayescmp.report.words import resolution

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
        each measure of the network beside the rung that does best in it. No digit below
        the error of an oracle that is not exact.

    Example:
        >>> print(summarise(tree))
        verdict       claim                            mean over seeds [95% interval]  threshold
        ...
        supported     Entropy MAE is below 0.005 bits  0.00036 [0.000333, 0.000387]    below 0.005
        ...
    """
    tables = [_lay_out(_measure_rows(tree))]
    if "claims" in tree and tree["claims"].sizes["claim"]:
        tables.insert(0, _lay_out(_claim_rows(tree)))
    return "\n\n".join(tables)


def _claim_rows(tree: xr.DataTree) -> list[tuple[str, ...]]:
    """Return a heading and a row for each claim."""
    claims = tree["claims"].to_dataset()
    level = float(claims["level"][0])
    rows = [("verdict", "claim", f"mean over seeds [{level:.0%} interval]", "threshold")]
    for index in range(claims.sizes["claim"]):
        row = claims.isel(claim=index)
        error = resolution(tree, row["metric_units"].item())
        limit = row["threshold"].item()
        written = _number(limit, error) if row["rung"].item() else _given(limit, error)
        rows.append(
            (
                row["verdict"].item(),
                row["statement"].item(),
                _with_interval(row["mean"].item(), row["low"].item(), row["high"].item(), error),
                f"{row['direction'].item()} {written}",
            )
        )
        if row["verdict"].item() == "inconclusive":
            reason = give_reason(tree, index) if error > 0.0 else row["reason"].item()
            rows.append(("", f"  {reason}", "", ""))
    return rows


def _measure_rows(tree: xr.DataTree) -> list[tuple[str, ...]]:
    """Return a heading and a row for each headline measure that the tree has."""
    network, ladder = tree["divergence"].to_dataset(), tree["ladder"].to_dataset()
    rows = [("measure", f"network [{_LEVEL:.0%} interval]", "best rung")]
    for name, label in _HEADLINES.items():
        interval = mean_interval(network[name].to_numpy(), _LEVEL)
        units = network[name].attrs["units"]
        error = resolution(tree, units)
        rows.append(
            (
                label if units == "1" else f"{label} ({units})",
                _with_interval(
                    float(interval.mean), float(interval.low), float(interval.high), error
                ),
                _best_rung(ladder[name], error, higher=name in _HIGHER_IS_BETTER),
            )
        )
    return rows


def _best_rung(values: xr.DataArray, error: float, *, higher: bool) -> str:
    """Name the rung that does best in a measure, with its value."""
    known = values.dropna("rung")
    numbers = known.to_numpy()
    if numbers.size == 0:
        return "none"
    best = known.isel(rung=int(numbers.argmax() if higher else numbers.argmin()))
    return f"{_number(best.item(), error)} ({best['rung'].item()})"


def _with_interval(mean: float, low: float, high: float, error: float) -> str:
    """Write a mean and its interval; an infinite one is one that nobody knows."""
    if error > 0.0:
        return " ".join(format_interval(mean, low, high, resolution=error)).rstrip()
    if not (np.isfinite(low) and np.isfinite(high)):
        return _number(mean, error)
    return f"{_number(mean, error)} [{_number(low, error)}, {_number(high, error)}]"


def _number(value: float, error: float) -> str:
    """Write a number with three significant digits, none of them below its error."""
    return f"{value:.3g}" if error == 0.0 else format_number(value, resolution=error)


def _given(value: float, error: float) -> str:
    """Write a number that somebody chose, which has no error."""
    return f"{value:.3g}" if error == 0.0 else format_given(value)


def _lay_out(rows: Sequence[tuple[str, ...]]) -> str:
    """Align the columns of a table whose first row is the heading."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])
