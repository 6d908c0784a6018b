"""Questions to a grounded knowledge base: their group in the tree, their figure, their section."""

import numpy as np
import pytest
import xarray as xr
from synthetic_tree import synthetic_tree

from bayescmp.models import KINDS
from bayescmp.plots.columns import narrow_log_scale
from bayescmp.plots.grounding import EXACT, plot_grounding
from bayescmp.plots.scales import LogRange
from bayescmp.report.grounding import build_grounding_section
from bayescmp.report.page import build_page
from bayescmp.results.schema import SCHEMA
from bayescmp.results.validation import validate_tree
from bayescmp.studies import grounded_knowledge as study

NAMES = ("rao_blackwell", study.CONSTRUCTED, study.PROPAGATION, study.PRIORS)


def draw_answers(seed: int) -> study.Answers:
    """Random laws on two questions of each kind, the last five kinds without a posterior."""
    rng = np.random.default_rng(seed)
    kinds = np.repeat(np.arange(len(KINDS)), 2)[None]
    exact = np.eye(4)[np.where(kinds == 7, 2, 3)]
    exact[kinds < 3] = np.stack([rng.uniform(size=6), *np.zeros((3, 6))], axis=1)
    exact[kinds < 3, 1] = 1.0 - exact[kinds < 3, 0]
    laws = {name: rng.dirichlet(np.ones(4), kinds.shape) for name in NAMES}
    return study.Answers(kinds, exact, laws | {EXACT: exact})


@pytest.fixture(scope="module")
def answers() -> list[study.Answers]:
    return [draw_answers(0), draw_answers(1)]


@pytest.fixture(scope="module")
def tree(answers: list[study.Answers]) -> xr.DataTree:
    tree = synthetic_tree(num_seeds=2)
    tree["/grounding"] = xr.DataTree(study.tabulate(answers, answers))
    return tree


def test_the_table_describes_what_the_study_makes(tree: xr.DataTree) -> None:
    validate_tree(tree)
    made, table = tree["/grounding"].to_dataset(), SCHEMA["/grounding"].variables
    assert list(made.data_vars) == list(table)
    assert {name: made[name].attrs["long_name"] for name in made.data_vars} == {
        name: row.long_name for name, row in table.items()
    }


def test_a_group_that_lacks_a_measure_is_refused(tree: xr.DataTree) -> None:
    broken = tree.copy()
    broken["/grounding"] = xr.DataTree(tree["/grounding"].to_dataset().drop_vars("confidence"))
    with pytest.raises(ValueError, match="/grounding/confidence: missing variable"):
        validate_tree(broken)


def test_marks_stand_at_means_over_seeds(tree: xr.DataTree, answers: list[study.Answers]) -> None:
    mass, confidence, _ = plot_grounding(tree).axes
    lines = {line.get_label(): line for line in mass.lines}
    for name, shown in zip(NAMES[:2], ("trained on exact laws", "constructed"), strict=True):
        for kind, drawn in enumerate(np.asarray(lines[shown].get_xdata())):
            found = []
            for each in answers:
                rows = zip(each.laws[name][0], each.exact[0], each.kinds[0], strict=True)
                found += [law[exact == 0.0].sum() for law, exact, of in rows if of == kind]
            assert drawn == pytest.approx(np.mean(found))
    reference = next(line for line in confidence.lines if line.get_label() == EXACT)
    seen = np.asarray(reference.get_xdata())[::3]
    assert (seen[:3] >= 0.5).all()
    assert (seen[3:] == 0.0).all()


def test_every_lane_knows_its_kind_and_none_is_drawn_twice(tree: xr.DataTree) -> None:
    panel = plot_grounding(tree).axes[-1]
    lines = [np.asarray(line.get_ydata()) for line in panel.lines]
    heights = np.concatenate([each for each in lines if each.size == len(KINDS)])
    assert len(heights) == len(set(heights)) == len(KINDS) * len(NAMES)
    names = [label.label1.get_text() for label in panel.yaxis.get_major_ticks()]
    assert names == [kind for kind in KINDS for _ in NAMES]


def test_a_tree_from_before_the_reference_is_drawn_without_it(tree: xr.DataTree) -> None:
    older = tree.copy()
    older["/grounding"] = xr.DataTree(tree["/grounding"].to_dataset().drop_sel(predictor=EXACT))
    for panel in plot_grounding(older).axes:
        assert EXACT not in [line.get_label() for line in panel.lines]


def test_the_page_has_the_section_where_there_is_the_group(tree: xr.DataTree) -> None:
    sections = {section.ident: section for section in build_page(tree).sections}
    assert "further" not in sections
    section = sections["grounding"]
    assert section.figures[0].ident == "fig-grounding"
    assert len(section.figures[0].data.rows) == len(KINDS) * (len(NAMES) + 1)
    # Nobody was trained on drawn answers here.
    assert [facts.title.split()[0] for facts in section.facts] == ["Constructed", "Trained"]
    assert {cell.text for cell in section.figures[0].data.rows[0].cells} >= {"4"}


def test_other_pages_have_none() -> None:
    tree = synthetic_tree(num_seeds=2)
    assert "grounding" not in {section.ident for section in build_page(tree).sections}
    assert build_grounding_section(tree).missing
    with pytest.raises(ValueError, match="/grounding/impossible_mass"):
        plot_grounding(tree)


@pytest.mark.parametrize(("low", "floored"), [(1e-6, True), (1e-6, False), (1e-3, True)])
def test_a_narrow_axis_has_few_labels_and_names_its_floor(
    tree: xr.DataTree, low: float, floored: bool
) -> None:
    panel = plot_grounding(tree).axes[0]
    narrow_log_scale(panel, LogRange(low, 1.8, floored), most=3)
    labels = [label.get_text() for label in panel.get_xticklabels()]
    assert 2 <= len([label for label in labels if label]) <= 4  # three, and that of the floor
    assert labels[-1] == "1"
    assert labels[0].startswith("≤") == floored
