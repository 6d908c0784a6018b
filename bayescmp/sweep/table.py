"""One row for each configuration of a sweep: how near to exact it came, and at what cost."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import xarray as xr

from bayescmp.measures.interval import mean_interval
from bayescmp.plots.numbers import format_count, format_duration, format_interval
from bayescmp.report.words import resolution
from bayescmp.results.tree import read_attribute

LEVEL = 0.95
"""Confidence level of the intervals over seeds."""

MEASURES: Mapping[str, str] = {
    "mean_kl": "KL from exact (bit)",
    "entropy_mae_a": "entropy MAE (A) (bit)",
    "mean_total_variation": "total variation",
}
"""Variables of ``/divergence`` that a row has, with their headings."""

COSTS: Mapping[str, str] = {
    "steps": "steps",
    "tokens": "tokens",
    "operations": "operations",
    "seconds": "time",
}
"""What the training of one seed took, with the headings."""


@dataclass(frozen=True)
class Row:
    """One configuration in the table of a sweep.

    Example:
        >>> row = make_row("two layers", {"num_layers": 2}, 5, tree, "two-layers-0123456789")
        >>> row.seeds_done, row.claims, row.costs["steps"]
        (5, 4, 2000.0)
    """

    configuration: str
    """Name of the configuration."""
    fields: Mapping[str, object]
    """The fields in which the configurations differ."""
    seeds_asked: int
    """Number of seeds that the sweep asks for."""
    folder: str
    """Folder of the merged results inside the sweep's."""
    seeds_done: int = 0
    """Number of seeds that are complete."""
    measures: Mapping[str, tuple[float, float, float]] | None = None
    """Mean over seeds and both ends of its interval, by variable; an end may be infinite."""
    costs: Mapping[str, float] | None = None
    """Steps, tokens, operations and seconds of one seed; NaN where unknown."""
    claims: int = 0
    """Number of claims judged."""
    supported: int = 0
    """Number of claims supported."""
    errors: Mapping[str, float] | None = None
    """Error that an oracle which is not exact leaves on each measure."""


def make_row(
    configuration: str,
    fields: Mapping[str, object],
    seeds_asked: int,
    tree: xr.DataTree | None,
    folder: str,
) -> Row:
    """Read a configuration's row off its merged results.

    Args:
        configuration: Its name.
        fields: The fields in which configurations differ, with this one's values.
        seeds_asked: Number of seeds that the sweep asks for.
        tree: The merged comparison; None where no seed is complete.
        folder: Folder of the merged results inside the sweep's.

    Returns:
        The row.
    """
    if tree is None:
        return Row(configuration, fields, seeds_asked, folder)
    divergence = tree["divergence"].to_dataset()
    measures, errors = {}, {}
    for name in MEASURES:
        interval = mean_interval(divergence[name].to_numpy(), LEVEL)
        measures[name] = (float(interval.mean), float(interval.low), float(interval.high))
        errors[name] = resolution(tree, divergence[name].attrs["units"])
    verdicts = tree["claims/verdict"].to_numpy().tolist() if "claims" in tree else []
    return Row(
        configuration=configuration,
        fields=fields,
        seeds_asked=seeds_asked,
        folder=folder,
        seeds_done=divergence.sizes["seed"],
        measures=measures,
        costs=_read_costs(tree, divergence.sizes["seed"]),
        claims=len(verdicts),
        supported=verdicts.count("supported"),
        errors=errors,
    )


def _read_costs(tree: xr.DataTree, num_seeds: int) -> dict[str, float]:
    """Read what one seed took, NaN where nothing was trained."""
    if "training" not in tree:
        return dict.fromkeys(COSTS, math.nan)
    seconds = read_attribute(tree, "/training", "seconds")
    return {
        "steps": float(read_attribute(tree, "/training", "num_steps")),
        "tokens": float(read_attribute(tree, "/training", "num_tokens_seen")),
        "operations": float(read_attribute(tree, "/training", "flops_total")) / num_seeds,
        "seconds": sum(seconds) / len(seconds),
    }


def flatten_row(row: Row) -> dict[str, str | int | float]:
    """Lay a row out as the columns of a CSV file.

    Args:
        row: One configuration.

    Returns:
        Values by column; empty text where there is no number.

    Example:
        >>> row = make_row("two layers", {"num_layers": 2}, 5, None, "two-layers-0123456789")
        >>> flatten_row(row)["mean_kl"]
        ''
    """
    columns: dict[str, str | int | float] = {"configuration": row.configuration}
    for name, value in row.fields.items():
        columns[name] = value if isinstance(value, int | float) else _as_text(value)
    columns |= {"seeds_done": row.seeds_done, "seeds_asked": row.seeds_asked}
    for name in MEASURES:
        ends = (math.nan,) * 3 if row.measures is None else row.measures[name]
        for suffix, value in zip(("", "_low", "_high"), ends, strict=True):
            columns[name + suffix] = _finite(value)
    for name in COSTS:
        columns[name] = "" if row.costs is None else _finite(row.costs[name])
    columns |= {"claims_supported": row.supported, "claims": row.claims, "folder": row.folder}
    return columns


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _finite(value: float) -> float | str:
    return value if math.isfinite(value) else ""


HEADINGS: Sequence[str] = ("configuration", "seeds", *MEASURES.values(), "claims", *COSTS.values())
"""Headings of the table as a page shows it."""


def format_row(row: Row) -> list[str]:
    """Write a row for a reader, one text for each of ``HEADINGS``.

    Args:
        row: One configuration.

    Returns:
        Texts; a dash where there is no number.

    Example:
        >>> row = make_row("two layers", {"num_layers": 2}, 5, None, "two-layers-0123456789")
        >>> format_row(row)[:3]
        ['two layers', '0 of 5', '–']
    """
    texts = [row.configuration, f"{row.seeds_done} of {row.seeds_asked}"]
    for name in MEASURES:
        if row.measures is None or row.errors is None:
            texts.append("–")
        else:
            mean, low, high = row.measures[name]
            words = format_interval(mean, low, high, resolution=row.errors[name])
            texts.append(" ".join(words).strip())
    texts.append(f"{row.supported} of {row.claims}" if row.claims else "–")
    for name in COSTS:
        value = math.nan if row.costs is None else row.costs[name]
        write = format_duration if name == "seconds" else format_count
        texts.append(write(value) if math.isfinite(value) else "–")
    return texts
