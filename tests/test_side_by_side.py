"""Runs side by side: every run is shown, nothing is refused, and what differs is said."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from report_pages import EVIL, read
from synthetic_tree import synthetic_tree
from test_plots import HOSTILE, edit

from bayescmp.report.differences import build_differences_section, find_warnings
from bayescmp.report.side_by_side import name_runs, render_side_by_side, write_side_by_side
from bayescmp.results.tree_file import save_tree

SMALL = {"length": 4, "num_outcomes": 5, "num_layers": 1, "num_heads": 1}


def small(num_seeds: int = 5, **options: object) -> xr.DataTree:
    return synthetic_tree(num_seeds, **SMALL, **options)  # type: ignore[arg-type]


def with_config(tree: xr.DataTree, **changes: object) -> xr.DataTree:
    tree.attrs["config"] = json.dumps({**json.loads(tree.attrs["config"]), **changes})
    return tree


def test_every_run_stands_in_every_table() -> None:
    runs = {"alpha": small(), "beta": small(seed=1), "gamma": small(2)}
    html = render_side_by_side(runs)
    outline, text = read(html)
    assert "3 runs side by side" in text
    for name in runs:
        assert text.count(name) >= 6
    assert "✓ supported" in text
    assert "✕ refuted" in text
    assert "? inconclusive" in text
    assert outline.tags.count("svg") == 4
    assert outline.tags.count("script") == 1
    names = outline.values("id")
    assert len(names) == len(set(names))
    assert html == render_side_by_side(runs)


def test_claims_are_matched_by_their_words() -> None:
    first, second = small(), small()
    claims = second["/claims"].to_dataset()
    claims["statement"] = claims["statement"].copy(
        data=np.array(["another", *claims["statement"].values[1:]])
    )
    second["/claims"] = xr.DataTree(claims)
    _, text = read(render_side_by_side({"one": first, "two": second}))
    table = text[text.rindex("Claims and verdicts") : text.index("One row for each claim")]
    assert table.count("Mean KL is below 0.0001 bits") == 1
    assert table.count("Entropy MAE is below 0.005 bits") == table.count("another") == 1
    assert table.count(" –") == 2


def test_same_runs_differ_in_nothing() -> None:
    runs = {"one": small(), "two": small()}
    section = build_differences_section(runs)
    assert section.tables == ()
    assert section.paragraphs[0].startswith("Nothing that was recorded differs")
    assert find_warnings(runs) == ()


def test_settings_that_differ_are_listed() -> None:
    runs = {"one": small(), "two": with_config(small(), steps=7, width=3)}
    (table,) = build_differences_section(runs).tables
    rows = {row.cells[0].text: [cell.text for cell in row.cells[1:]] for row in table.rows}
    assert rows == {"config: steps": ["2000", "7"], "config: width": ["–", "3"]}


def test_different_models_are_warned_of_and_not_refused() -> None:
    runs = {"one": small(), "two": small()}
    runs["two"].attrs["model"] = "Coin"
    runs["two"].attrs["evaluation"] = "every sequence, 16"
    first, second = find_warnings(runs)
    assert "different models (one: Bijection of 20 symbols and two: Coin)" in first
    assert "evaluated differently" in second
    assert first in read(render_side_by_side(runs))[1]


def test_other_sizes_of_one_model_are_warned_of() -> None:
    runs = {"one": small(), "two": synthetic_tree(length=3, num_outcomes=4, num_layers=2)}
    assert "not the same, and neither is the task" in find_warnings(runs)[0]
    assert read(render_side_by_side(runs))[0].tags.count("svg") == 4


def test_a_reference_that_is_not_exact_cuts_the_digits() -> None:
    rough = small()
    rough["/oracle"].attrs["certificate"] = json.dumps({"exact": False, "error_nat": 0.02})
    runs = {"exact": small(), "rough": rough}
    assert "The reference of rough is not exact" in find_warnings(runs)[0]
    html = render_side_by_side(runs)
    assert '<html lang="en" data-error="0.0288539">' in html
    assert "< 0.03" in html.replace("\N{NO-BREAK SPACE}", " ").replace("&lt;", "<")


def test_what_a_run_lacks_is_named() -> None:
    bare = small()
    for group in ("layers", "training", "claims"):
        del bare[group]
    _, text = read(render_side_by_side({"whole": small(), "bare": bare}))
    assert "/layers/kl is not in bare." in text
    assert "/training/excess is not in bare." in text
    _, text = read(render_side_by_side({"bare": bare}))
    assert "No run has a judged claim." in text
    assert "1 run side by side" in text


def test_numbers_that_are_not_finite_are_said() -> None:
    broken = small()
    values = np.array(broken["/divergence/kl"].values)
    values[0, 1], values[1, 2] = np.nan, np.inf
    edit(broken, "/divergence/kl", values)
    _, text = read(render_side_by_side({"fine": small(), "broken": broken}))
    assert "broken: Not every number behind this figure is finite: /divergence/kl holds" in text
    assert "1 NaN and 1 infinite of 20 values" in text


def test_hostile_names_stay_text() -> None:
    long = "λ" * 500
    runs = {EVIL: small(rungs=HOSTILE), long: small()}
    runs[EVIL].attrs.update(model=EVIL, device=EVIL)
    outline, text = read(render_side_by_side(runs))
    assert EVIL in text
    assert long in text
    assert outline.tags.count("script") == 1
    assert "img" not in outline.tags
    assert not any(name.startswith("on") for name, _ in outline.attributes)


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a/results.nc", "b/results.nc"], ["a", "b"]),
        (["a.nc", "b.nc"], ["a", "b"]),
        (["x/a/results.nc", "y/a/results.nc", "b.nc"], ["x/a", "y/a", "b"]),
        (["a.nc", "a.nc"], ["a (1)", "a (2)"]),
    ],
)
def test_runs_are_named_by_their_places(paths: list[str], names: list[str]) -> None:
    found = name_runs([Path(path) for path in paths])
    assert [
        name.split("/", name.count("/") - expected.count("/"))[-1]
        for name, expected in zip(found, names, strict=True)
    ] == names
    assert len(set(found)) == len(found)


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    save_tree(small(), tmp_path / "a.nc")
    (tmp_path / "b.nc").write_text("no")
    target = tmp_path / "c.html"
    with pytest.raises(ValueError, match=r"b\.nc: not a netCDF4 file"):
        write_side_by_side([tmp_path / "a.nc", tmp_path / "b.nc"], target)
    with pytest.raises(ValueError, match="runs: expected at least one"):
        write_side_by_side([], target)
    assert not target.exists()
    broken = small()
    del broken["ladder"]
    with pytest.raises(ValueError, match="/ladder: missing group"):
        render_side_by_side({"a": small(), "b": broken})
