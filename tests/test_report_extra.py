"""Groups that a study adds to a comparison, on the report's page."""

import numpy as np
import xarray as xr
from synthetic_tree import synthetic_tree

from bayescmp.report.extra import MOST_VALUES, build_further_sections


def with_group(dataset: xr.Dataset) -> xr.DataTree:
    """A comparison with a group that is not in the table."""
    tree = synthetic_tree()
    for variable in dataset.variables.values():
        variable.attrs = {"long_name": "what it is", "units": "bit"} | variable.attrs
    tree["/arms"] = xr.DataTree(dataset)
    return tree


def test_a_comparison_without_groups_of_its_own_has_no_such_section():
    assert build_further_sections(synthetic_tree()) == ()


def test_variables_of_the_same_axes_stand_in_one_table():
    values = np.arange(30.0).reshape(5, 3, 2)
    values[0, 1, 1] = np.inf
    values[:, 2, 0] = np.nan
    dataset = xr.Dataset(
        {
            "spent": (("seed", "arm", "cost"), values),
            "known": (("cost", "arm"), np.ones((2, 3))),
            "name": (("arm",), np.array(["a <b>", "b", "c"])),
            "share": (("seed",), np.full(5, 0.25), {"units": "1"}),
        },
        {"seed": range(5), "arm": ["plain", "values", "Adam"], "cost": ["step", "second"]},
    )
    (section,) = build_further_sections(with_group(dataset))
    both, swapped, names, single = section.tables
    assert [header.text for header in both.headers] == ["arm", "cost", "spent"]
    texts = [tuple(cell.text for cell in row.cells) for row in both.rows]
    # Seeds stand six apart, so that means are those of the third seed: 12 and on.
    assert texts[0] == ("plain", "step", "12")
    assert texts[1] == ("plain", "second", "13")
    assert texts[3] == ("values", "second", "∞")
    assert texts[4] == ("Adam", "step", "–")
    # Student's t for 4 degrees, 2.776, times the standard error 6 sqrt(2.5 / 5): 11.8.
    assert both.rows[0].cells[2].note == "[0, 24]"
    assert [header.text for header in swapped.headers] == ["cost", "arm", "known"]
    assert [row.cells[1].text for row in names.rows] == ["a <b>", "b", "c"]
    assert [cell.text for cell in single.rows[0].cells] == ["share", "0.250"]
    assert [fact.name for fact in section.facts[0].facts] == ["spent", "known", "name", "share"]


def test_what_is_too_long_for_a_page_is_named():
    long = xr.Dataset({"curve": (("moment",), np.zeros(MOST_VALUES + 1))})
    (section,) = build_further_sections(with_group(long))
    assert section.tables == ()
    assert section.points[0].startswith("/arms/curve has 20,001 values")
