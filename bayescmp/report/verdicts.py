"""The study's claims, each with its verdict."""

from collections import Counter

import numpy as np
import xarray as xr

from bayescmp.plots.numbers import format_given, format_interval, format_number
from bayescmp.plots.series import clean_text, read_array, read_values, without_rounding
from bayescmp.report.blocks import ClaimRow
from bayescmp.report.words import NO_INTERVAL, resolution, with_unit

ORDER = ("supported", "refuted", "inconclusive")


def build_claims(tree: xr.DataTree) -> tuple[ClaimRow, ...]:
    """Write one row for each claim.

    Args:
        tree: A comparison with or without the group ``/claims``.

    Returns:
        The rows in the study's order; none where the tree has no claims.
    """
    if "/claims" not in tree.groups:
        return ()
    num = read_array(tree, "/claims/verdict").sizes["claim"]
    return tuple(_make_row(tree, claim) for claim in range(num))


def count_verdicts(claims: tuple[ClaimRow, ...]) -> tuple[tuple[str, int], ...]:
    """Count the claims of each verdict.

    Args:
        claims: The rows.

    Returns:
        Verdict and count, supported first; verdicts that nothing got are left out.
    """
    counts = Counter(claim.verdict for claim in claims)
    return tuple((verdict, counts[verdict]) for verdict in ORDER if counts[verdict])


def explain_missing(tree: xr.DataTree) -> str:
    """Say why there are no verdicts, or nothing where there are some.

    Args:
        tree: A comparison.

    Returns:
        One sentence, or the empty text.
    """
    if "/claims" not in tree.groups:
        return (
            "No claim was judged: the tree has no group /claims. A study fixes its claims before "
            "it runs; a bare comparison has none."
        )
    if read_array(tree, "/claims/verdict").sizes["claim"] == 0:
        return "No claim was judged: the study that made this comparison fixed none."
    return ""


def _make_row(tree: xr.DataTree, claim: int) -> ClaimRow:
    """Write one claim."""

    def text(name: str) -> str:
        return clean_text(str(read_array(tree, f"/claims/{name}").values[claim]))

    units = text("metric_units")

    def number(name: str) -> float:
        value = read_values(tree, f"/claims/{name}", "claim")[claim]
        return float(without_rounding(np.asarray(value), units))

    error = resolution(tree, units)
    value, interval = format_interval(
        number("mean"), number("low"), number("high"), resolution=error
    )
    seeds = without_rounding(read_values(tree, "/claims/value", "claim", "seed")[claim], units)
    level = f"{100 * number('level'):g}\N{NO-BREAK SPACE}%"
    rung = f" (from {text('rung')})" if text("rung") else ""
    written = format_number(number("threshold"), resolution=error) if rung else None
    threshold = with_unit(written or format_given(number("threshold")), units)
    verdict = text("verdict")
    return ClaimRow(
        verdict=verdict if verdict in ORDER else "inconclusive",
        statement=text("statement"),
        reason=give_reason(tree, claim),
        metric=text("metric"),
        threshold=f"{text('direction')} {threshold}{rung}",
        value=with_unit(value, units),
        interval=f"{level} {interval}" if interval else _no_interval(seeds),
        seeds=", ".join(format_number(float(seed), resolution=error) for seed in seeds),
    )


def give_reason(tree: xr.DataTree, claim: int) -> str:
    """Say why a claim got its verdict, without repeating figures that stand beside it.

    Args:
        tree: A comparison with claims.
        claim: Place of the claim, from 0.

    Returns:
        The reason in words.
    """
    verdict, recorded = (
        clean_text(str(read_array(tree, f"/claims/{name}").values[claim]))
        for name in ("verdict", "reason")
    )
    seeds = read_values(tree, "/claims/value", "claim", "seed")[claim]
    needed = int(read_values(tree, "/claims/min_seeds", "claim")[claim])
    if seeds.size < needed or not np.isfinite(seeds).all():
        return recorded
    if verdict == "inconclusive":
        return "the interval holds the threshold"
    kept = verdict == "supported"
    return f"the whole interval lies on {'the claimed' if kept else 'the other'} side"


def _no_interval(seeds: np.ndarray) -> str:
    """Say why there is no interval."""
    if seeds.size < 2:
        return NO_INTERVAL
    return "no interval" if np.isfinite(seeds).all() else "not finite: no interval"
