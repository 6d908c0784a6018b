"""What training makes of each start: the group in the tree, the figure, the section."""

import json

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from synthetic_tree import synthetic_tree

from bayescmp.plots.starts import AFTER, BEFORE, arrange_arms, plot_starts
from bayescmp.report.hover import read_marks
from bayescmp.report.page import build_page
from bayescmp.report.starts import build_starts_section
from bayescmp.results.schema import SCHEMA
from bayescmp.results.validation import validate_tree
from bayescmp.studies import can_training_find_it as study

NAMES = ("kl", "round_kl", "progress", "misfit", "start_kl")
ARMS = [f"{act}, {start}, {study.EXACT}" for act in ("relu", "gelu") for start in study.STARTS]
ARMS += [f"relu, random, {study.SAMPLED}", study.PRACTICAL]


@pytest.fixture(scope="module")
def tree() -> xr.DataTree:
    rng = np.random.default_rng(0)
    arms = {}
    for arm in ARMS:
        arms[arm] = {name: 10.0 ** rng.uniform(-4, 0, (2, 3)) for name in NAMES}
        arms[arm] |= {name: rng.uniform(0.1, 1.0, 2) for name in ("distance", "start_distance")}
    for name in ("start_kl", "distance", "start_distance"):
        arms[study.PRACTICAL][name] = np.full_like(arms[study.PRACTICAL][name], np.nan)
    arms[ARMS[0]]["start_kl"][:] = 1e-12  # below what is told from zero
    arms[ARMS[5]]["kl"][0] = np.inf
    tree = synthetic_tree(num_seeds=2)
    tree["/starts"] = xr.DataTree(study.tabulate(arms))
    return tree


@pytest.fixture(scope="module")
def figure(tree: xr.DataTree) -> Figure:
    return plot_starts(tree)


def test_the_table_describes_what_the_study_makes(tree: xr.DataTree) -> None:
    validate_tree(tree)
    made, table = tree["/starts"].to_dataset(), SCHEMA["/starts"].variables
    assert {name: made[name].attrs for name in made.data_vars} == {
        name: {"long_name": row.long_name, "units": row.units} for name, row in table.items()
    }
    for claim in study.CLAIMS:
        _, group, name = claim.metric.split("/")
        assert SCHEMA[f"/{group}"].variables[name].dims == ("seed",)


def test_another_unit_is_refused(tree: xr.DataTree) -> None:
    broken = tree.copy(deep=True)
    broken["/starts"]["kl"].attrs["units"] = "nat"
    with pytest.raises(ValueError, match="/starts/kl: expected unit bit"):
        validate_tree(broken)


def test_arms_with_one_start_stand_together() -> None:
    headings, rows = arrange_arms(ARMS)
    assert list(headings) == list(study.STARTS)
    assert [row.name for row in rows] == [
        *["relu", "gelu"] * 3,
        "relu, sampled",
        study.PRACTICAL,
    ]
    assert sorted([*headings.values(), *(row.place for row in rows)]) == list(range(11))
    assert [ARMS[row.arm] for row in rows] == [row.full for row in rows]


def test_rings_and_dots_stand_at_means_over_seeds(tree: xr.DataTree, figure: Figure) -> None:
    _, rows = arrange_arms(ARMS)
    made = tree["/starts"].to_dataset()
    seen, *_, distance = figure.axes
    for panel, names, task in (
        (seen, ("start_kl", "kl"), "seen"),
        (distance, ("start_distance", "distance"), None),
    ):
        marks = {line.get_label(): np.asarray(line.get_xdata()) for line in panel.lines}
        for mark, name in zip((BEFORE, AFTER), names, strict=True):
            for row, drawn in zip(rows, marks[mark.name], strict=True):
                values = made[name].sel(arm=row.full)
                mean = float((values if task is None else values.sel(task=task)).mean())
                if mean == 1e-12:
                    assert drawn == panel.get_xticks()[0] > 1e-7
                elif np.isfinite(mean):
                    assert drawn == pytest.approx(mean)
                else:
                    assert np.isnan(drawn)
        assert ("infinite" in marks) == (panel is seen)


def test_every_panel_answers_with_the_whole_name_of_an_arm(figure: Figure) -> None:
    """Names of rows are written on the left alone, and known everywhere."""
    figure.savefig("/dev/null", format="svg")
    panels = json.loads(read_marks(figure))
    assert [panel["title"] for panel in panels] == [
        *["KL, seen, bit", "KL, larger, bit", "KL, deeper, bit", "distance (random: 1)"]
    ]
    for panel in panels:
        assert panel["named"]
        named = {point[3] for line in panel["lines"] for point in line["points"]}
        assert named >= set(ARMS[:5])


def test_the_page_has_the_section_where_there_is_the_group(tree: xr.DataTree) -> None:
    sections = {section.ident: section for section in build_page(tree).sections}
    assert "further" not in sections
    section = sections["starts"]
    assert section.figures[0].ident == "fig-starts"
    assert len(section.figures[0].data.rows) == 3 * len(ARMS)
    assert [len(facts.facts) for facts in section.facts] == [6]
    # That the practical network has no start is no gap; that a mean is infinite is one.
    assert "/starts/kl holds 3 infinite of 48 values" in section.figures[0].gaps
    assert "NaN of" not in section.figures[0].gaps


def test_other_groups_of_arms_stay_further_groups() -> None:
    tree = synthetic_tree(num_seeds=2)
    saved = xr.DataArray(np.ones((2, 1)), {"seed": [0, 1], "arm": ["fast"]}, ["seed", "arm"])
    table = saved.to_dataset(name="saved")
    for variable in table.variables.values():
        variable.attrs = {"long_name": "what it is", "units": "1"}
    tree["/arms"] = xr.DataTree(table)
    validate_tree(tree)
    idents = {section.ident for section in build_page(tree).sections}
    assert "further" in idents
    assert "starts" not in idents
    assert build_starts_section(tree).missing
    with pytest.raises(ValueError, match="/starts/kl"):
        plot_starts(tree)
