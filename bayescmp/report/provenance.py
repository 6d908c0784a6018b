"""Where the figures come from: the run, the reference, and what nobody checked."""

import math
import shlex

import numpy as np
import xarray as xr

from bayescmp.plots.numbers import format_duration, format_number
from bayescmp.plots.series import clean_text, has_variable, oracle_error, read_values
from bayescmp.report.blocks import Fact, FactList, Section
from bayescmp.report.headline import ENOUGH_SEEDS
from bayescmp.report.words import (
    flatten,
    is_over_every_sequence,
    plural,
    read_optional,
    read_text,
    resolution,
    seeds_words,
    with_unit,
)

WITHOUT = {
    "/shift": "Other inputs. All sequences come from the generative model itself; behaviour on "
    "shifted priors, held-out supports or longer sequences is not covered.",
    "/interventions": "Cause. Nothing inside the network was intervened on: layers and heads that "
    "look Bayesian may do no causal work.",
    "/probes": "What other read-outs would find. The logit lens uses the network's own read-out; a "
    "probe trained for a layer may find more, and would need its controls.",
    "/layers": "The inside of the network: it gave no trace.",
    "/training": "Training: the network was not trained here.",
    "/claims": "Claims: no threshold was fixed beforehand.",
    "/sbc": "Simulation-based calibration: no posterior of the latents was ranked.",
    "/pit": "Where calibration fails. Reliability is pooled over positions and outcomes: no "
    "test looked at single positions.",
    "/coverage": "Coverage: how often sets of a stated probability hold the outcome.",
    "/exchangeability": "Coherence: whether the predictions are those of any one prior.",
    "/uncertainty": "What the network knows that it does not know: entropy was not split into "
    "aleatoric and epistemic.",
    "/selective": "Decisions: whether answering only when confident loses what it should.",
}
"""What a report cannot say without a group."""


def build_run_section(tree: xr.DataTree) -> Section:
    """Write the section on what was run: config, network, versions, machine.

    Args:
        tree: A comparison.

    Returns:
        The section: lists of facts.
    """
    wall = read_optional(tree, "/", "wall_time_s")
    facts = (
        Fact("study", read_text(tree, "/", "study")),
        Fact("preset", read_text(tree, "/", "preset")),
        Fact("generative model", read_text(tree, "/", "model")),
        Fact("seeds", seeds_words(tree)),
        Fact("evaluation", read_text(tree, "/", "evaluation")),
        Fact("started", read_text(tree, "/", "started")),
        Fact(
            "wall time, whole run",
            format_duration(float(wall)) if isinstance(wall, int | float) else "not recorded",
        ),
        Fact("device", read_text(tree, "/", "device")),
        Fact("git revision", read_text(tree, "/", "git_revision")),
    )
    lists = [FactList("Run", facts)]
    for title, group, name in (
        ("Config", "/", "config"),
        ("Network", "/network", "architecture"),
        ("Versions", "/", "versions"),
    ):
        rows = flatten(read_optional(tree, group, name), "")
        lists.append(FactList(title, tuple(Fact(key or title, text) for key, text in rows)))
    paragraph, commands = tell_command(tree)
    return Section(
        "run", "What was run", paragraphs=(paragraph,), facts=tuple(lists), commands=commands
    )


def tell_command(tree: xr.DataTree) -> tuple[str, tuple[str, ...]]:
    """Say how to make these results again.

    Args:
        tree: A comparison.

    Returns:
        A sentence, and the commands for a terminal; none where no command does it.

    Example:
        >>> tell_command(tree)[1][0]
        'bayescmp run bijection --preset default --seeds 5'
    """
    study, preset = (read_text(tree, "/", name) for name in ("study", "preset"))
    config = read_optional(tree, "/", "config")
    config = config if isinstance(config, dict) else {}
    page = "bayescmp report results.nc"
    if preset == "none":
        return (
            "No command remakes these results: bayescmp.compare was called from Python, with what "
            "is listed here. The line remakes this page from the results file.",
            (page,),
        )
    if preset == "custom":
        return (
            f"No preset of the study {study} is this config: pass its fields, listed below, to the "
            "study's Config and that to bayescmp.run_study. The line remakes this page from the "
            "results file.",
            (page,),
        )
    seeds = config.get("seeds")
    count = f" --seeds {seeds}" if isinstance(seeds, int) else ""
    inside = " --inside" if config.get("instruments") else ""
    inside += " --audit" if config.get("audits") else ""
    run = f"bayescmp run {shlex.quote(study)} --preset {shlex.quote(preset)}{count}{inside}"
    return (
        "The first line remakes the results, at the git revision and with the versions below; a "
        "study of your own is given by the path of its file. The second line remakes this page "
        "from the results file, byte for byte.",
        (run, page),
    )


def build_oracle_section(tree: xr.DataTree) -> Section:
    """Write the section on the reference: how the exact predictive was computed.

    Args:
        tree: A comparison.

    Returns:
        The oracle's certificate in words.
    """
    certificate = read_optional(tree, "/oracle", "certificate")
    entries = certificate if isinstance(certificate, dict) else {}
    engine = clean_text(str(entries.get("engine", "not named")))
    reason = clean_text(str(entries.get("reason", ""))).rstrip(".")
    error = oracle_error(tree)
    if entries.get("exact") is True:
        text = f"The reference is exact. Engine: {engine}."
        raw = entries.get("error_nat")
        if isinstance(raw, int | float) and math.isfinite(raw) and raw > 0.0:
            text += f" Its arithmetic is good to about {format_number(raw, digits=1)} nat."
    elif math.isinf(error):
        text = f"The reference is not exact and states no error. Engine: {engine}."
    else:
        bits = with_unit(format_number(error, digits=2), "bit")
        text = f"The reference is not exact. Engine: {engine}; error of its predictive: {bits}."
    paragraphs = [text]
    if reason:
        paragraphs.append(f"Why: {reason}.")
    sites = entries.get("sites")
    facts = ()
    if isinstance(sites, dict) and sites:
        rows = tuple(Fact(clean_text(str(k)), clean_text(str(v))) for k, v in sites.items())
        facts = (FactList("What became of each site of the program", rows),)
    return Section("oracle", "The reference", paragraphs=tuple(paragraphs), facts=facts)


def build_unchecked_section(tree: xr.DataTree) -> Section:
    """Write the section on what this report does not show.

    Args:
        tree: A comparison.

    Returns:
        A list of statements, some of them true of every report of this kind.
    """
    points = [text for group, text in WITHOUT.items() if group not in tree.groups]
    points += [
        "Rivals that are not on the ladder. Another explanation may fit as well as exact Bayes.",
        "Averages hide sequences. Divergences are means over sequences"
        f"{', likely ones foremost' if is_over_every_sequence(tree) else ''}; single sequences can "
        "be worse than any figure here.",
    ]
    if oracle_error(tree) > 0.0:
        points.append("Anything finer than the error of the reference, which is not exact.")
    points += _seed_points(tree)
    return Section("unchecked", "What was not checked", points=tuple(points))


def _seed_points(tree: xr.DataTree) -> list[str]:
    """Say what the number of seeds leaves open."""
    kl = read_values(tree, "/divergence/mean_kl", "seed")
    points = []
    if kl.size < ENOUGH_SEEDS:
        points.append(
            f"Variation between training runs: {plural(kl.size, 'seed')}, where a claim needs "
            f"{ENOUGH_SEEDS}."
        )
    else:
        points.append(
            f"Settings other than these. Intervals cover {plural(kl.size, 'seed')} of one config, "
            "not other widths, depths, optimisers or lengths of training; they assume that seeds "
            "are independent and nearly normal."
        )
    if is_over_every_sequence(tree):
        return points  # no further sequence could change a figure
    if has_variable(tree, "/divergence/kl_standard_error"):
        errors = read_values(tree, "/divergence/kl_standard_error", "seed", "position")
        finite = errors[np.isfinite(errors)]
        if finite.size and float(finite.max()) > 0.0:
            largest = format_number(
                float(finite.max()), digits=2, resolution=resolution(tree, "bit")
            )
            points.append(
                "More sequences. The largest standard error of the KL over the evaluated "
                f"sequences, at any position, is {with_unit(largest, 'bit')}; intervals over seeds "
                "do not include it."
            )
    return points
