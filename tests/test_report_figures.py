"""Figures of the report: their colours, their gaps, and the values that they carry."""

import json
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from report_pages import page_of, read
from synthetic_tree import synthetic_tree
from test_plots import edit

from bayescmp.plots import plot_divergence, plot_ladder, plot_layers
from bayescmp.plots.palette import DARK, LIGHT
from bayescmp.report import render_report
from bayescmp.report.figures import draw_svg
from bayescmp.report.gaps import describe_gaps


def test_figures_use_the_pages_colours_alone() -> None:
    html = page_of()
    drawings = re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL)
    assert len(drawings) == 9
    for drawing in drawings:
        assert re.findall(r"#[0-9a-fA-F]{6}\b", drawing) == []
        assert set(re.findall(r"--plot-([\w-]+)", drawing)) <= set(LIGHT)


def luminance(colour: str) -> float:
    shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


@pytest.mark.parametrize(("palette", "paper"), [(LIGHT, "#ffffff"), (DARK, "#14171b")])
def test_text_colours_have_enough_contrast(palette: dict[str, str], paper: str) -> None:
    assert set(LIGHT) == set(DARK)
    for role, colour in palette.items():
        if role not in ("axis", "grid"):
            bright, dim = sorted((luminance(colour), luminance(paper)), reverse=True)
            assert (bright + 0.05) / (dim + 0.05) >= 4.5, role


def test_numbers_that_are_not_finite_are_said_below_their_figure() -> None:
    tree = synthetic_tree(num_seeds=2, length=4, num_outcomes=5)
    values = np.array(tree["/divergence/kl"].values)
    values[0, 1], values[:, 2] = np.nan, np.inf
    edit(tree, "/divergence/kl", values)
    edit(tree, "/divergence/entropy_mae_a", [np.nan, 0.1])
    edit(tree, "/ladder/mean_kl", [np.inf, np.nan, 1.0, 0.5, 0.2, 0.1])
    html = render_report(tree)
    _, text = read(html)
    assert "/divergence/kl holds 1 NaN and 2 infinite of 8 values" in text
    assert "/ladder/mean_kl holds 1 NaN and 1 infinite of 6 values" in text
    assert "Not finite for some seed: Entropy MAE (A)." in text
    figure = html[html.index('id="fig-divergence"') : html.index('id="fig-predictives"')]
    assert "holds 1 NaN and 2 infinite" in figure


def test_positions_that_do_not_count_and_empty_bins_are_no_gaps() -> None:
    tree = synthetic_tree(num_seeds=2, length=4, num_outcomes=5)
    assert describe_gaps(tree, ["/divergence/kl", "/calibration/exact", "/claims/verdict"]) == ""
    assert describe_gaps(tree, ["/oracle/log_predictive", "/nowhere/at_all"]) == ""
    values = np.array(tree["/divergence/kl"].values)
    values[:, 3] = np.nan
    edit(tree, "/divergence/kl", values)
    assert "2 NaN of 8 values" in describe_gaps(tree, ["/divergence/kl"])
    edit(tree, "/divergence/supervised", [True, True, True, False])
    assert describe_gaps(tree, ["/divergence/kl"]) == ""


def test_marks_carry_the_values_that_are_drawn() -> None:
    tree = synthetic_tree(num_seeds=3)
    figure = plot_divergence(tree)
    svg = draw_svg(figure, "fig-x", "title", "description")
    root = ElementTree.fromstring(svg)
    upper, lower = json.loads(root.attrib["data-marks"])
    lines = {line["name"]: line["points"] for line in upper["lines"]}
    assert set(lines) == {"network", "seed 0", "seed 1", "seed 2", *tree["/ladder"]["rung"].values}
    mean = tree["/divergence/kl"].values.mean(axis=0)
    # Four significant digits are kept, so that values are off by 5e-4 of themselves at most.
    np.testing.assert_allclose([point[3] for point in lines["network"]], mean, rtol=5e-4)
    assert [point[2] for point in lines["network"]] == list(range(19))
    left, top, right, bottom = upper["box"]
    assert all(left <= x <= right and top <= y <= bottom for x, y, *_ in lines["network"])
    assert next(point[3] for point in lines["uniform"]) == "≤ 10⁻⁴"
    assert (upper["bits"], lower["bits"]) == (True, True)
    names = {part.attrib["data-series"] for part in root.iter() if "data-series" in part.attrib}
    assert names == set(lines) | {"exact"}


def test_heat_maps_carry_their_values_too() -> None:
    tree = synthetic_tree(num_seeds=2, length=3, num_outcomes=4, num_layers=2)
    svg = draw_svg(plot_layers(tree), "fig-x", "title", "description")
    cells = json.loads(ElementTree.fromstring(svg).attrib["data-marks"])[0]["cells"][0]
    mean = tree["/layers/kl"].values.mean(axis=0)
    assert cells["rows"] == [2, 1, 0]
    assert cells["columns"] == [0, 1, 2]
    np.testing.assert_allclose(cells["values"], mean[::-1], rtol=5e-4)


def test_places_that_have_names_are_told_by_them() -> None:
    tree = synthetic_tree(num_seeds=2, length=3, num_outcomes=4)
    svg = draw_svg(plot_ladder(tree), "fig-x", "title", "description")
    (panel,) = json.loads(ElementTree.fromstring(svg).attrib["data-marks"])
    assert panel["named"]
    told = {point[3] for line in panel["lines"] for point in line["points"]}
    assert told == {"network", *tree["/ladder"]["rung"].values}


def test_marks_at_the_edge_are_told_as_infinite() -> None:
    tree = synthetic_tree(num_seeds=2, length=3, num_outcomes=4)
    values = np.array(tree["/divergence/kl"].values)
    values[:, 1] = np.inf
    edit(tree, "/divergence/kl", values)
    edit(tree, "/ladder/mean_kl", [np.inf, np.nan, 1.0, 0.5, 0.2, 0.1])
    told = {}
    for plot in (plot_divergence, plot_ladder):
        svg = draw_svg(plot(tree), "fig-x", "title", "description")
        panel = json.loads(ElementTree.fromstring(svg).attrib["data-marks"])[0]
        told[plot] = {line["name"]: line["points"] for line in panel["lines"]}
    assert [point[2:] for point in told[plot_divergence]["infinite"]] == [[1, "∞"]]
    assert [point[2] for point in told[plot_divergence]["network"]] == [0, 2]
    assert [point[2:] for point in told[plot_ladder]["infinite"]] == [["∞", "uniform"]]
