"""In what runs differ: what was compared, their configs, and whether figures may be compared."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from bayescmp.plots.series import clean_text, oracle_error, read_values
from bayescmp.report.blocks import Cell, Row, Section, TableBlock
from bayescmp.report.words import flatten, join_words, plural, read_optional, read_text, seeds_words

Runs = Mapping[str, xr.DataTree]

SETTINGS = (
    ("config", "/", "config"),
    ("network", "/network", "architecture"),
    ("optimiser", "/training", "optimiser"),
    ("versions", "/", "versions"),
)
"""Word, group and name of the attributes that hold JSON."""

FACTS = ("model", "study", "preset", "evaluation", "git_revision", "device")
ABSENT = "–"


def build_differences_section(runs: Runs) -> Section:
    """Write the section on what differs between runs, setting by setting.

    Args:
        runs: Comparisons by name.

    Returns:
        A table of the settings that differ, and what is the same in all.
    """
    settings = {name: _list_settings(tree) for name, tree in runs.items()}
    names = list(dict.fromkeys(name for run in settings.values() for name in run))
    rows, same = [], 0
    for name in names:
        values = [run.get(name, ABSENT) for run in settings.values()]
        if len(set(values)) > 1:
            rows.append(Row((Cell(name), *(Cell(value) for value in values))))
        else:
            same += 1
    title = "What differs between the runs"
    if not rows:
        text = f"Nothing that was recorded differs: {plural(same, 'setting')} are the same in all."
        return Section("differences", title, paragraphs=(text,))
    table = TableBlock(
        f"Settings that differ; {ABSENT} where a run has none.",
        (Cell("setting"), *(Cell(name) for name in runs)),
        tuple(rows),
    )
    text = (
        f"{plural(len(rows), 'setting')} differ and {plural(same, 'setting')} are the same. Where "
        "several differ, no figure here says which of them made the difference."
    )
    return Section("differences", title, paragraphs=(text,), tables=(table,))


def find_warnings(runs: Runs) -> tuple[str, ...]:
    """List what forbids to read figures of one run against those of another.

    Args:
        runs: Comparisons by name.

    Returns:
        One sentence or two for each obstacle.
    """
    warnings = []
    models = {name: read_text(tree, "/", "model") for name, tree in runs.items()}
    if len(set(models.values())) > 1:
        listed = join_words([f"{name}: {model}" for name, model in models.items()])
        warnings.append(
            f"The runs are of different models ({listed}). Distances from different exact answers "
            "are not on one scale: read each run against its own ladder."
        )
    elif not _share_entropy(runs):
        warnings.append(
            "The exact predictives differ although the models have one name: their sizes, lengths "
            "or evaluated sequences are not the same, and neither is the task."
        )
    evaluations = {read_text(tree, "/", "evaluation") for tree in runs.values()}
    if len(evaluations) > 1:
        warnings.append(
            f"The runs were evaluated differently ({join_words(sorted(evaluations))}): small "
            "differences may come from that."
        )
    inexact = [name for name, tree in runs.items() if oracle_error(tree) > 0.0]
    if inexact:
        warnings.append(
            f"The reference of {join_words(inexact)} is not exact; differences below its error "
            "mean nothing."
        )
    return tuple(warnings)


def _share_entropy(runs: Runs) -> bool:
    """Say whether all exact predictives have the same entropies, to a hundredth of a bit.

    The tolerance is sampling noise of a few thousand sequences where they were drawn apart.
    """
    entropies = [read_values(tree, "/oracle/entropy", "position") for tree in runs.values()]
    return all(
        entropy.shape == entropies[0].shape
        and np.allclose(entropy, entropies[0], rtol=0.0, atol=0.01, equal_nan=True)
        for entropy in entropies
    )


def _list_settings(tree: xr.DataTree) -> dict[str, str]:
    """List everything that was set for a run."""
    found = {name.replace("_", " "): read_text(tree, "/", name) for name in FACTS}
    found["seeds"] = seeds_words(tree)
    found["objective"] = read_text(tree, "/training", "objective", ABSENT)
    for word, group, name in SETTINGS:
        for key, value in flatten(read_optional(tree, group, name), ""):
            found[clean_text(f"{word}: {key}" if key else word)] = value
    return found
