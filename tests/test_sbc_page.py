"""Simulation-based calibration as groups of the tree, figures and a section of the page."""

import dataclasses

import numpy as np
import pytest
import xarray as xr
from synthetic_tree import split, synthetic_tree

from bayescmp.auditing.sbc import SimulatedCalibration
from bayescmp.auditing.sbc_groups import sbc_groups
from bayescmp.results.tree import make_tree


def made_up(num_seeds: int = 2) -> list[SimulatedCalibration]:
    """Make up checks with one quantity that is off."""
    rng = np.random.default_rng(4)
    places = [np.stack([rng.random(300), rng.beta(0.4, 0.4, 300)]) for _ in range(num_seeds)]
    return [
        SimulatedCalibration(
            ("bias", "<b>log</b> likelihood"), row, "NUTS", 5, 0, 63, 4, 50.0, 1.01
        )
        for row in places
    ]


def tree_with(checks: list[SimulatedCalibration]) -> xr.DataTree:
    groups, attrs = split(synthetic_tree(num_seeds=2))
    return make_tree({**groups, **sbc_groups(checks)}, attrs)


def test_group_is_laid_out_as_arviz_and_simuk_do():
    checks = made_up()
    group = sbc_groups(checks)["/prior_sbc"]
    assert group["pit"].dims == ("chain", "draw", "quantity")
    np.testing.assert_array_equal(group["pit"].values[1, :, 0], checks[1].places[0])
    assert list(group.data_vars) == ["pit"]  # a variable without these axes would stop the plot


def test_group_holds_what_was_found():
    checks = made_up()
    group = sbc_groups(checks)["/sbc"]
    for seed, one in enumerate(checks):
        for row, found in enumerate(one.found):
            assert float(group["p_value"][seed, row]) == found.p_value
            left = np.any(
                (group["difference"][seed, row] > group["difference_high"] + 1e-12)
                | (group["difference"][seed, row] < group["difference_low"] - 1e-12)
            )
            assert bool(left) == (found.p_value <= 0.05)
    assert np.all(group["height"].sum("sbc_bin") == 300)
    with pytest.raises(ValueError, match="results: expected at least one"):
        sbc_groups([])
    with pytest.raises(ValueError, match="results: expected 300 replicates"):
        sbc_groups([checks[0], dataclasses.replace(checks[0], names=("z", "w"))])
    with pytest.raises(ValueError, match="results: expected one question"):
        sbc_groups([checks[0], dataclasses.replace(checks[0], position=2)])


def test_section_says_what_was_found_and_escapes_names():
    from bayescmp.plots.sbc import plot_sbc
    from bayescmp.report.sbc import build_sbc_section

    tree = tree_with(made_up())
    section = build_sbc_section(tree)
    assert "not calibrated in 2 of 2 seeds" in section.paragraphs[0]
    assert "One of 4 draws" in section.paragraphs[1]
    assert "<b>" not in section.figures[0].svg
    assert len(plot_sbc(tree).axes) == 2


def test_section_is_silent_where_nothing_is_wrong_or_there():
    from bayescmp.report.sbc import build_sbc_section

    rng = np.random.default_rng(9)
    right = SimulatedCalibration(
        ("bias",), rng.random((1, 300)), "exact", 5, 3, 0, 1, np.nan, np.nan
    )
    section = build_sbc_section(tree_with([right, right]))
    assert "no departure from calibration was found" in section.paragraphs[0]
    assert "begin with the same 3 observed outcomes" in section.paragraphs[1]
    assert build_sbc_section(synthetic_tree(num_seeds=1)).missing
