"""Figures of a comparison: what they show, at the edges too."""

import io
import math
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from synthetic_tree import synthetic_tree

import bayescmp.plots
from bayescmp.plots.labels import shorten, spread_labels
from bayescmp.plots.numbers import (
    format_count,
    format_duration,
    format_given,
    format_interval,
    format_number,
)
from bayescmp.plots.saving import save
from bayescmp.plots.scales import log_range, log_ticks
from bayescmp.plots.series import clean_text, seed_band

ALWAYS = ("attention", "calibration", "divergence", "ladder", "layers", "predictives", "training")
PLOTS = [name for name in bayescmp.plots.__all__ if bayescmp.plots._MODULES[name] in ALWAYS]
"""Figures of every comparison; those of instruments and audits are drawn beside their tests."""
HOSTILE = ("</text><script>", r"$\frac{", "a" * 60, "x\x00y\nz", "γλ‖", "window 5")


def edit(tree: xr.DataTree, path: str, change: object) -> None:
    group, _, name = path.rpartition("/")
    dataset = tree[group].to_dataset()
    dataset[name] = dataset[name].copy(data=np.asarray(change, dataset[name].dtype))
    tree[group] = xr.DataTree(dataset)


def draw(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def with_zeros() -> xr.DataTree:
    tree = synthetic_tree(num_seeds=2, length=4, num_outcomes=5)
    edit(tree, "/divergence/kl", np.zeros((2, 4)))
    edit(tree, "/ladder/kl", np.zeros((6, 4)))
    edit(tree, "/ladder/mean_kl", np.zeros(6))
    edit(tree, "/divergence/mean_kl", [0.0, 1e-9])
    edit(tree, "/layers/kl", np.zeros(tree["/layers/kl"].shape))
    edit(tree, "/training/excess", np.zeros(tree["/training/excess"].shape))
    return tree


def with_infinities() -> xr.DataTree:
    tree = synthetic_tree(num_seeds=3, length=4, num_outcomes=5)
    edit(tree, "/divergence/kl", np.full((3, 4), np.inf))
    edit(tree, "/divergence/mean_kl", [np.inf, np.nan, 1e-3])
    edit(tree, "/ladder/mean_kl", [np.inf, np.nan, 1.0, 0.5, 0.2, 0.1])
    edit(tree, "/layers/kl", np.full(tree["/layers/kl"].shape, np.nan))
    edit(tree, "/layers/rung_kl", np.full(tree["/layers/rung_kl"].shape, np.inf))
    edit(tree, "/training/excess", np.full(tree["/training/excess"].shape, np.nan))
    edit(tree, "/calibration/predicted", np.full((3, 10), np.nan))
    return tree


def with_positions_that_do_not_count() -> xr.DataTree:
    tree = synthetic_tree(length=6, num_outcomes=6)
    edit(tree, "/divergence/supervised", [False, False, True, True, False, True])
    return tree


CASES = {
    "plain": synthetic_tree,
    "one seed, one position": lambda: synthetic_tree(num_seeds=1, length=1, num_layers=1),
    "hostile names": lambda: synthetic_tree(rungs=HOSTILE),
    "one rung": lambda: synthetic_tree(rungs=("uniform",)),
    "twelve rungs": lambda: synthetic_tree(rungs=tuple(f"window {w}" for w in range(12))),
    "deep and wide": lambda: synthetic_tree(length=24, num_outcomes=24, num_layers=8, num_heads=9),
    "zeros": with_zeros,
    "infinities": with_infinities,
    "positions that do not count": with_positions_that_do_not_count,
}


@pytest.mark.parametrize("case", CASES)
def test_every_figure_is_drawn(case: str) -> None:
    tree = CASES[case]()
    for name in PLOTS:
        figure = getattr(bayescmp.plots, name)(tree)
        assert isinstance(figure, Figure)
        assert figure.get_size_inches()[0] == 4.5
        assert all(panel.has_data() for panel in figure.axes)


def test_figures_do_not_depend_on_the_callers_settings() -> None:
    import matplotlib

    tree = synthetic_tree()
    settings = {"svg.hashsalt": "x", "svg.fonttype": "none"}
    with matplotlib.rc_context(settings):
        plain = draw(bayescmp.plots.plot_divergence(tree))
    with matplotlib.rc_context({**settings, "axes.grid": False, "font.size": 30}):
        assert draw(bayescmp.plots.plot_divergence(tree)) == plain


def test_divergence_draws_the_network_at_its_mean() -> None:
    tree = synthetic_tree()
    figure = bayescmp.plots.plot_divergence(tree)
    mean = tree["/divergence/kl"].values.mean(axis=0)
    drawn = [np.asarray(line.get_ydata(), float) for line in figure.axes[0].lines]
    assert any(line.shape == mean.shape and np.allclose(line, mean) for line in drawn)


def test_divergence_leaves_out_positions_that_do_not_count() -> None:
    figure = bayescmp.plots.plot_divergence(with_positions_that_do_not_count())
    lines = [np.asarray(line.get_ydata(), float) for line in figure.axes[0].lines]
    long = [line for line in lines if line.size == 6]
    assert long
    for line in long:
        assert np.array_equal(np.isnan(line), [True, True, False, False, True, False])


def test_ladder_orders_predictors_by_distance() -> None:
    tree = synthetic_tree()
    panel = bayescmp.plots.plot_ladder(tree).axes[0]
    names = [label.get_text() for label in panel.get_yticklabels()]
    rungs = dict(zip(tree["/ladder"]["rung"].values, tree["/ladder/mean_kl"].values, strict=True))
    assert names[-1] == "network"
    assert names[:-1] == sorted(rungs, key=lambda name: -rungs[name])


def test_missing_variable_is_named() -> None:
    tree = synthetic_tree()
    del tree["layers"]
    with pytest.raises(ValueError, match="/layers/kl"):
        bayescmp.plots.plot_layers(tree)
    with pytest.raises(ValueError, match="sequence: expected 0 to 3, got 4"):
        bayescmp.plots.plot_predictives(tree, sequence=4)
    with pytest.raises(AttributeError, match="plot_nothing"):
        bayescmp.plots.__getattr__("plot_nothing")


@pytest.mark.parametrize(
    ("value", "resolution", "text"),
    [
        (0.00213493, 0.0, "0.00213"),
        (2.13493e-5, 0.0, "2.13\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}10⁻⁵"),
        (0.0, 0.0, "0"),
        (-0.5, 0.0, "\N{MINUS SIGN}0.500"),
        (math.nan, 0.0, "NaN"),
        (math.inf, 0.0, "∞"),
        (1.23456, 0.003, "1.23"),
        (1.23456, 0.3, "1.2"),
        (0.0021, 0.003, "<\N{NO-BREAK SPACE}0.003"),
        (-0.0021, 0.003, ">\N{NO-BREAK SPACE}\N{MINUS SIGN}0.003"),
        (0.0, 0.003, "<\N{NO-BREAK SPACE}0.003"),
        (123.4, 20.0, "120"),
        (0.3, math.inf, "unknown"),
        (0.99964, 0.0, "0.99964"),
    ],
)
def test_numbers_carry_the_digits_they_deserve(value: float, resolution: float, text: str) -> None:
    assert format_number(value, resolution=resolution) == text


@pytest.mark.parametrize(
    ("ends", "resolution", "expected"),
    [
        ((0.5, 0.44, 0.56), 0.0, ("0.50", "[0.44, 0.56]")),
        ((0.5, -math.inf, math.inf), 0.0, ("0.500", "")),
        ((0.51234, 0.5012, 0.5234), 0.01, ("0.51", "[0.50, 0.52]")),
        ((1e-4, 0.9e-4, 1.1e-4), 0.01, ("<\N{NO-BREAK SPACE}0.01", "")),
        ((0.0, -0.01, 0.01), 0.0, ("0.000", "[\N{MINUS SIGN}0.010, 0.010]")),
    ],
)
def test_intervals_fix_the_digits_of_their_mean(
    ends: tuple[float, float, float], resolution: float, expected: tuple[str, str]
) -> None:
    assert format_interval(*ends, resolution=resolution) == expected


def test_counts_spans_and_given_numbers() -> None:
    assert format_count(4096.0) == "4,096"
    assert format_count(1.92e13).startswith("1.92")
    assert format_duration(221.7) == "3 min 42 s"
    assert format_duration(3.0) == "3.00 s"
    assert format_duration(7384.0) == "2 h 3 min"
    assert format_given(0.005) == "0.005"
    assert format_given(0.0125) == "0.0125"
    assert format_given(0.00030370042) == "0.0003037"


def test_logarithmic_range_states_its_floor() -> None:
    clear = log_range([np.array([1e-3, 1.0, np.inf, np.nan])], 1e-7)
    assert not clear.floored
    assert 1e-7 < clear.low < 1e-3
    zero = log_range([np.array([0.0, 2e-3, 1.0])], 1e-7)
    assert zero.floored
    assert zero.low < zero.floor == pytest.approx(1e-3)
    assert log_ticks(zero)[1][0] == "≤ 0.001"
    nothing = log_range([np.array([np.nan])], 1e-7)
    assert nothing.low == 1e-7


def test_labels_move_apart_and_keep_their_order() -> None:
    places = spread_labels([0.5, 0.5, 0.52, 9.9], gap=1.0, low=0.0, high=10.0)
    assert sorted(places) == places
    assert min(np.diff(places)) >= 1.0
    assert places[-1] <= 10.0


def test_long_names_keep_both_ends() -> None:
    assert shorten("window 5", 10) == "window 5"
    assert shorten("exact filter, window 5", 13) == "exac…window 5"


def test_one_seed_has_no_known_interval() -> None:
    assert not seed_band(np.ones((1, 3))).known
    assert seed_band(np.array([[1.0], [2.0]])).known


def test_text_is_made_fit_for_one_line() -> None:
    assert clean_text(" a\n b\x00c ") == "a b\N{REPLACEMENT CHARACTER}c"
    assert clean_text("\u202eab") == "\N{REPLACEMENT CHARACTER}ab"  # turns what follows round
    for whole in ("می\u200cشود", "क्\u200dष", "👩\u200d🔬"):
        assert clean_text(whole) == whole


@pytest.mark.parametrize("name", PLOTS)
def test_a_notebook_shows_a_figure_by_itself(name: str) -> None:
    assert getattr(bayescmp.plots, name)(synthetic_tree())._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize("ending", [".svg", ".png", ".pdf"])
def test_saved_figures_are_the_same_bytes_each_time(tmp_path: Path, ending: str) -> None:
    paths = [tmp_path / f"{name}{ending}" for name in "ab"]
    for path in paths:
        assert save(bayescmp.plots.plot_ladder(synthetic_tree()), path, dpi=50) == path
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    assert first.startswith({".svg": b"<?xml", ".png": b"\x89PNG", ".pdf": b"%PDF"}[ending])


def test_saved_figures_keep_their_text_and_names_at_the_edge(tmp_path: Path) -> None:
    figure = bayescmp.plots.plot_divergence(synthetic_tree())
    text = save(figure, tmp_path / "a.svg").read_text()
    assert ">network<" in text
    width = float(text.split('width="')[1].split("pt")[0])
    assert width > 4.5 * 72 - 30  # nothing but empty margins was cut


@pytest.mark.parametrize(
    ("name", "dpi", "message"),
    [
        ("a.gif", 200, "path: expected one that ends in .svg, .png or .pdf, got"),
        ("a.png", 3, "dpi: expected at least 10, got 3"),
        ("none/a.svg", 200, "path: expected a file in an existing folder"),
    ],
)
def test_figures_that_cannot_be_saved(tmp_path: Path, name: str, dpi: int, message: str) -> None:
    figure = bayescmp.plots.plot_ladder(synthetic_tree())
    with pytest.raises(ValueError, match=message):
        save(figure, tmp_path / name, dpi=dpi)


def test_infinite_values_are_marked_at_the_edge() -> None:
    tree = synthetic_tree(num_seeds=2, length=4, num_outcomes=5)
    values = np.array(tree["/divergence/kl"].values)
    values[:, 2] = np.inf
    edit(tree, "/divergence/kl", values)
    panel = bayescmp.plots.plot_divergence(tree).axes[0]
    arrows = [line for line in panel.lines if line.get_marker() == "^"]
    assert [line.get_xdata().tolist() for line in arrows] == [[2.0]]
    assert not [
        line
        for line in bayescmp.plots.plot_divergence(synthetic_tree()).axes[0].lines
        if line.get_marker() == "^"
    ]


def test_training_stands_on_the_ladder() -> None:
    tree = synthetic_tree()
    panel = bayescmp.plots.plot_training(tree).axes[0]
    drawn = {line.get_label() for line in panel.lines}
    assert {"seed 0", "seed 4", *tree["/ladder"]["rung"].values} <= drawn


@pytest.mark.parametrize(
    "name", [name for name in bayescmp.plots.__all__ if name.startswith("plot_runs")]
)
def test_runs_are_drawn_on_one_axis(name: str) -> None:
    plot = getattr(bayescmp.plots, name)
    runs = {"first": synthetic_tree(), "<b>": synthetic_tree(num_seeds=1, length=3, num_layers=1)}
    figure = plot(runs)
    labels = {str(line.get_label()) for panel in figure.axes for line in panel.lines}
    assert set(runs) <= labels
    with pytest.raises(ValueError, match="runs: expected"):
        plot({})
