"""The top of the page: what was compared, how far from exact it is, and the verdicts."""

import math

import numpy as np
import xarray as xr
from jaxtyping import Float

from bayescmp.plots.ladder import plot_ladder
from bayescmp.plots.numbers import format_number
from bayescmp.plots.series import (
    oracle_error,
    read_labels,
    read_values,
    seed_band,
    supervised_positions,
    without_rounding,
)
from bayescmp.report.blocks import Cell, FigureBlock, Headline, Tile
from bayescmp.report.figures import draw_svg
from bayescmp.report.tables import label_column, make_table
from bayescmp.report.words import (
    join_words,
    level_words,
    number_cell,
    over_seeds,
    plural,
    read_optional,
    read_text,
    resolution,
    seed_cell,
    with_unit,
    write_times,
)

MEASURES = (
    ("Mean KL to exact", "mean_kl", "bit"),
    ("Entropy MAE (A)", "entropy_mae_a", "bit"),
    ("Impossible mass", "mean_impossible_mass", "1"),
    ("Excess log loss", "mean_excess_log_loss", "bit"),
)
"""Name, variable and unit of the four large figures."""

ENOUGH_SEEDS = 5


def build_headline(tree: xr.DataTree, verdicts: tuple[tuple[str, int], ...]) -> Headline:
    """Write the top of the page.

    Args:
        tree: A comparison.
        verdicts: How many claims got which verdict.

    Returns:
        The headline.
    """
    kl = read_values(tree, "/divergence/mean_kl", "seed")
    answer, detail = describe_distance(tree, kl)
    standing = describe_standing(tree, kl)
    return Headline(
        kicker=f"study {read_text(tree, '/', 'study')} · preset {read_text(tree, '/', 'preset')}",
        title=f"{network_name(tree)} against exact Bayes",
        subtitle=_describe_scope(tree),
        answer=answer,
        detail=detail,
        standing=standing,
        warnings=_find_warnings(tree, kl),
        verdicts=verdicts,
        tiles=tuple(_make_tile(tree, *measure) for measure in MEASURES),
        ladder=_draw_ladder(tree, f"{answer}. {detail} {standing}"),
    )


def network_name(tree: xr.DataTree) -> str:
    """Return what kind of network was compared, such as ``Transformer``.

    Args:
        tree: A comparison.
    """
    architecture = read_optional(tree, "/network", "architecture")
    kind = architecture.get("kind") if isinstance(architecture, dict) else None
    return str(kind) if kind else "Network"


def describe_distance(tree: xr.DataTree, kl: Float[np.ndarray, " seed"]) -> tuple[str, str]:
    """Say how far the network is from exact Bayes.

    Args:
        tree: A comparison.
        kl: Mean KL(exact || network) of each seed, in bits.

    Returns:
        The distance, and a sentence that says by which measure, with the interval over seeds.
    """
    value, interval = over_seeds(tree, kl, "bit")
    over = f"{level_words()} interval {interval} over {plural(kl.size, 'seed')}"
    over = over.replace(", ", ",\N{NO-BREAK SPACE}")
    if not interval.startswith("["):
        over = interval
    answer = f"{with_unit(value, 'bit')} from exact Bayes"
    return answer, f"KL(exact ‖ network), mean over positions; {over}."


def describe_standing(tree: xr.DataTree, kl: Float[np.ndarray, " seed"]) -> str:
    """Say in one or two sentences where the network stands on the ladder of rivals.

    Args:
        tree: A comparison.
        kl: Mean KL(exact || network) of each seed, in bits.

    Returns:
        The sentences; they name the neighbours on the ladder with their distances.
    """
    names = read_labels(tree, "/ladder/mean_kl", "rung")
    rungs = without_rounding(read_values(tree, "/ladder/mean_kl", "rung"), "bit")
    band = seed_band(without_rounding(kl, "bit"))
    mean = float(band.mean)
    if not names:
        return "There is no rival to compare it with."
    if not math.isfinite(mean):
        return "A distance that is not finite has no place on the ladder of rivals."
    order = [int(index) for index in np.argsort(rungs)]
    closer = [index for index in order if rungs[index] < mean]
    further = [index for index in order if rungs[index] >= mean]
    num = len(closer) + len(further)
    if num == 0:
        return "No rival has a distance that is a number."
    error = resolution(tree, "bit")

    def write(index: int) -> str:
        distance = number_cell(tree, float(rungs[index]), "bit").text
        return f"{names[index]} ({with_unit(distance, 'bit')})"

    tied = [index for index in order if error > 0.0 and abs(rungs[index] - mean) <= error]
    if tied:
        return (
            "Within the reference's own error it cannot be told from "
            f"{join_words([names[index] for index in tied])}, of {plural(num, 'rival')}."
        )
    if not closer:
        times = write_times(float(rungs[further[0]]) / mean) if mean > 10 * error else ""
        text = f"Closer than {_all_rivals(num)}; the best of them is {write(further[0])}"
        text += f", {times} as far." if times else "."
    elif not further:
        text = f"Every rival on the ladder is closer, even {write(closer[-1])}."
    else:
        text = f"{len(closer)} of {plural(num, 'rival')} "
        text += f"{'is' if len(closer) == 1 else 'are'} closer: it stands between "
        text += f"{write(closer[-1])} and {write(further[0])}."
    return text + _open_order(names, rungs, float(band.low), float(band.high), error)


def best_rung(tree: xr.DataTree, name: str) -> tuple[str, float] | None:
    """Find the rung with the smallest value of a measure.

    Args:
        tree: A comparison.
        name: Name of the variable in ``/ladder``, such as ``mean_kl``.

    Returns:
        The rung's name and value, or None where no rung has a finite value.
    """
    values = read_values(tree, f"/ladder/{name}", "rung")
    if not np.isfinite(values).any():
        return None
    index = int(np.argmin(np.where(np.isfinite(values), values, np.inf)))
    return read_labels(tree, f"/ladder/{name}", "rung")[index], float(values[index])


def _all_rivals(num: int) -> str:
    """Write "all six rivals" for any number."""
    return "its only rival on the ladder" if num == 1 else f"all {num} rivals on the ladder"


def _open_order(
    names: list[str], rungs: Float[np.ndarray, " rung"], low: float, high: float, error: float
) -> str:
    """Say which rungs the network cannot be told from."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    near = [
        name
        for name, value in zip(names, rungs, strict=True)
        if low - error <= value <= high + error
    ]
    if not near:
        return ""
    verb = "lies" if len(near) == 1 else "lie"
    return f" {' and '.join(near)} {verb} inside the interval, so that order is open."


def _describe_scope(tree: xr.DataTree) -> str:
    """Say on what the comparison was made, and on how much of it."""
    num_seeds = read_values(tree, "/divergence/mean_kl", "seed").size
    shown = supervised_positions(tree)
    parameters = read_optional(tree, "/network", "num_parameters")
    parts = [
        f"on {read_text(tree, '/', 'model')}",
        plural(int(parameters), "parameter") if isinstance(parameters, int | float) else "",
        plural(num_seeds, "seed"),
        plural(int(shown.sum()), "position"),
        read_text(tree, "/", "evaluation"),
    ]
    return " · ".join(part for part in parts if part)


def _find_warnings(tree: xr.DataTree, kl: Float[np.ndarray, " seed"]) -> tuple[str, ...]:
    """List what makes the figures of this page doubtful."""
    warnings = []
    error = oracle_error(tree)
    if math.isinf(error):
        warnings.append(
            "The reference is not exact and states no error, so no digit of a divergence can be "
            "trusted and none is printed."
        )
    elif error > 0.0:
        warnings.append(
            "The reference is not exact: its predictive has an error of "
            f"{with_unit(format_number(error, digits=1), 'bit')}. No digit below that is printed, "
            "and differences below it mean nothing."
        )
    bad = [int(index) for index in np.flatnonzero(~np.isfinite(kl))]
    if bad:
        seeds = read_labels(tree, "/divergence/mean_kl", "seed")
        listed = join_words([seeds[index] for index in bad])
        warnings.append(
            f"The mean KL is not finite for seed {listed}: such a network gives no probability to "
            "something that can happen, or it diverged."
        )
    others = [
        name
        for name, variable, _ in MEASURES
        if variable != "mean_kl"
        and not np.isfinite(read_values(tree, f"/divergence/{variable}", "seed")).all()
    ]
    if others:
        warnings.append(f"Not finite for some seed: {join_words(others)}.")
    if kl.size < ENOUGH_SEEDS:
        warnings.append(
            f"{plural(kl.size, 'seed')} only: a claim needs at least {ENOUGH_SEEDS}, and these "
            "figures say little about the next run."
        )
    return tuple(warnings)


def _make_tile(tree: xr.DataTree, name: str, variable: str, units: str) -> Tile:
    """Write one of the four large figures."""
    value, interval = over_seeds(tree, read_values(tree, f"/divergence/{variable}", "seed"), units)
    best = best_rung(tree, variable)
    rival = "no rival has a finite value"
    if best is not None:
        number = number_cell(tree, best[1], units).text
        rival = f"best rival: {best[0]}, {with_unit(number, units)}"
    return Tile(name, value, "" if units == "1" else units, interval, rival)


def _draw_ladder(tree: xr.DataTree, description: str) -> FigureBlock:
    """Draw the ladder at a glance."""
    title = "Mean KL from exact Bayes: the network and every rival"
    names = read_labels(tree, "/ladder/mean_kl", "rung")
    values = read_values(tree, "/ladder/mean_kl", "rung")
    kl = read_values(tree, "/divergence/mean_kl", "seed")
    cells = [seed_cell(tree, kl, "bit"), *(number_cell(tree, value, "bit") for value in values)]
    table = make_table(
        f"{title}.",
        [label_column("predictor", ["network", *names]), (Cell("mean KL", "bit"), cells)],
    )
    return FigureBlock(
        ident="fig-ladder",
        svg=draw_svg(plot_ladder(tree), "fig-ladder", title, description),
        title=title,
        variables=("/divergence/mean_kl", "/ladder/mean_kl"),
        reading="Further left is closer to exact Bayes. The scale is logarithmic: each line to the "
        "left is a tenth. The bar on the network's mark is its interval over seeds.",
        data=table,
    )
