"""The report: what it says, what it leaves out, and that it is the same every time."""

import base64
import hashlib
import json
import math
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from report_pages import EVIL, inexact, page_of, read
from synthetic_tree import synthetic_tree
from test_plots import CASES, HOSTILE, edit

import bayescmp.report
from bayescmp.report import render_report, write_report
from bayescmp.report.headline import describe_distance, describe_standing
from bayescmp.report.provenance import build_unchecked_section, tell_command
from bayescmp.report.words import write_times
from bayescmp.results.tree_file import save_tree


@pytest.mark.parametrize("case", CASES)
def test_every_tree_gives_a_well_formed_page(case: str) -> None:
    outline, text = read(page_of(case))
    names = outline.values("id")
    assert len(names) == len(set(names))
    links = [value[1:] for value in outline.values("href") if value.startswith("#")]
    links += re.findall(r"url\(#([^)]+)\)", " ".join(value for _, value in outline.attributes))
    assert set(links) <= set(names)
    assert "What was not checked" in text
    assert outline.tags.count("svg") == outline.tags.count("title") - 1 == 9


def test_page_says_first_what_a_reader_needs_first() -> None:
    tree = synthetic_tree()
    _, text = read(page_of())
    top = text[: text.index("Claims and verdicts")]
    assert "Transformer against exact Bayes" in top
    assert "Bijection of 20 symbols" in top
    assert "bit from exact Bayes" in top
    assert "95 % interval" in top
    assert "Closer than all 6 rivals on the ladder; the best of them is window 3" in top
    for verdict in set(tree["/claims/verdict"].values):
        count = int(np.sum(tree["/claims/verdict"].values == verdict))
        assert f"{count} {verdict}" in top


def test_every_figure_names_its_variables_and_holds_its_numbers() -> None:
    html = page_of()
    paths = set(re.findall(r"<code>(/[a-z_]+/[a-z_]+)</code>", html))
    assert {"/divergence/kl", "/layers/kl", "/ladder/mean_kl", "/training/excess"} <= paths
    assert {"/layers/attention_pattern", "/layers/attention_entropy"} <= paths
    tree = synthetic_tree()
    for path in paths:
        assert tree[path].size > 0
    assert html.count('<details class="data">') == html.count("<svg") == html.count("<desc")


def test_network_stands_in_the_ladder_table_where_it_belongs() -> None:
    tree = synthetic_tree()
    edit(tree, "/divergence/mean_kl", np.full(5, tree["/ladder/mean_kl"].values[2:4].mean()))
    html = render_report(tree)
    table = html[html.index('id="ladder"') : html.index('id="position"')]
    names = re.findall(r'<th scope="row">([^<]+)', table)
    assert names.index("network") == names.index("window 1") + 1
    assert names.index("network") == names.index("position only") - 1


def test_rewriting_gives_the_same_bytes_from_memory_and_from_a_file(tmp_path: Path) -> None:
    tree = synthetic_tree()
    save_tree(tree, tmp_path / "results.nc")
    first = write_report(tree, tmp_path / "one.html")
    second = write_report(tmp_path / "results.nc", str(tmp_path / "two.html"))
    assert first == tmp_path / "one.html"
    assert first.read_bytes() == second.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "one.html",
        "results.nc",
        "two.html",
    ]


def test_page_needs_nothing_from_outside() -> None:
    html = page_of()
    outline, _ = read(html)
    assert outline.tags.count("script") == 1
    script = html[html.index("<script>") + 8 : html.index("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert f"{policy}; script-src 'sha256-{digest}'" in html
    for value in outline.values("src") + outline.values("href") + outline.values("xlink:href"):
        assert value.startswith(("#", "data:"))


def test_hostile_text_stays_text() -> None:
    tree = synthetic_tree(rungs=(EVIL, *HOSTILE))
    tree.attrs.update(
        study=EVIL, model=EVIL, preset=EVIL, device=EVIL, config=json.dumps({EVIL: EVIL})
    )
    tree["/training"].attrs["objective"] = EVIL
    tree["/network"].attrs["architecture"] = json.dumps({"kind": EVIL})
    claims = tree["/claims"].to_dataset()
    for name in ("statement", "reason", "metric", "rung", "metric_units", "direction", "verdict"):
        claims[name] = claims[name].copy(data=np.full(claims[name].shape, EVIL))
    tree["/claims"] = xr.DataTree(claims)
    html = render_report(tree)
    outline, text = read(html)
    assert EVIL in text
    assert outline.tags.count("script") == 1
    assert "img" not in outline.tags
    assert not any(name.startswith("on") for name, _ in outline.attributes)
    assert "\x00" not in html


def test_missing_group_is_said_to_be_missing() -> None:
    tree = synthetic_tree(num_seeds=2)
    for group in ("layers", "training", "claims"):
        del tree[group]
    outline, text = read(render_report(tree))
    for group in ("layers", "training", "claims"):
        assert f"he tree has no group /{group}" in text
    assert outline.values("class").count("missing") >= 5


def test_missing_attention_is_said_to_be_missing() -> None:
    tree = synthetic_tree()
    dataset = tree["/layers"].to_dataset()
    tree["/layers"] = xr.DataTree(dataset.drop_vars(["attention_entropy", "attention_pattern"]))
    _, text = read(render_report(tree))
    assert "no /layers/attention_pattern" in text
    assert "no /layers/attention_entropy" in text


def test_no_digit_below_the_error_of_the_reference_is_printed() -> None:
    tree = inexact(synthetic_tree(), 0.02)
    _, text = read(render_report(tree))
    assert "The reference is not exact" in text
    assert "< 0.03 bit from exact Bayes" in text
    start, end = text.index("predictor KL to exact"), text.index("Position by position", 3000)
    table = text[start:end]
    assert re.findall(r"\d\.\d{3,}", table) == []
    assert len(re.findall(r"\d\.\d{2}\b", table)) > 20


def test_reference_without_a_stated_error_has_no_digits() -> None:
    _, text = read(render_report(inexact(synthetic_tree(), None)))
    assert "unknown bit from exact Bayes" in text
    assert "states no error" in text


def test_one_seed_has_no_interval_and_says_so() -> None:
    _, text = read(page_of("one seed, one position"))
    assert "one seed: no interval" in text
    assert "1 seed only: a claim needs at least 5" in text
    assert "inf" not in re.findall(r"\w+", text)


def test_network_that_is_not_finite_is_a_warning() -> None:
    _, text = read(page_of("infinities"))
    assert "The mean KL is not finite for seed 0 and 1" in text


@pytest.mark.parametrize(
    ("kl", "words"),
    [
        (1e-3, "Closer than all 3 rivals on the ladder; the best of them is c (0.100"),
        (0.2, "1 of 3 rivals is closer: it stands between c (0.100"),
        (2.0, "Every rival on the ladder is closer, even a (1.00"),
        (0.1, "c lies inside the interval, so that order is open."),
        (math.nan, "not finite"),
    ],
)
def test_standing_on_the_ladder_in_words(kl: float, words: str) -> None:
    tree = synthetic_tree(rungs=("a", "b", "c"))
    edit(tree, "/ladder/mean_kl", [1.0, 0.5, 0.1])
    assert words in describe_standing(tree, kl * np.array([0.99, 1.0, 1.01]))


def test_distance_carries_the_student_interval() -> None:
    answer, detail = describe_distance(synthetic_tree(), np.array([0.1, 0.2, 0.3]))
    assert answer.startswith("0.20")
    assert "[\N{MINUS SIGN}0.05,\N{NO-BREAK SPACE}0.45]" in detail


def test_ratios_in_words() -> None:
    assert write_times(3.21) == "3.2 times"
    assert write_times(1423.0) == "1,400 times"
    assert write_times(math.inf) == ""


def test_invalid_tree_or_place_is_refused(tmp_path: Path) -> None:
    tree = synthetic_tree()
    with pytest.raises(ValueError, match="folder"):
        write_report(tree, tmp_path / "nowhere" / "report.html")
    with pytest.raises(ValueError, match="no such file"):
        write_report(tmp_path / "none.nc", tmp_path / "report.html")
    del tree["divergence"]
    with pytest.raises(ValueError, match="/divergence"):
        write_report(tree, tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("attributes", "commands"),
    [
        ({}, ["bayescmp run bijection --preset default --seeds 5", "bayescmp report results.nc"]),
        ({"preset": "none"}, ["bayescmp report results.nc"]),
        ({"preset": "custom"}, ["bayescmp report results.nc"]),
        (
            {"study": "a; rm -rf b", "config": json.dumps({"instruments": ["lenses"]})},
            ["bayescmp run 'a; rm -rf b' --preset default --inside", "bayescmp report results.nc"],
        ),
    ],
)
def test_command_that_remakes_the_results(attributes: dict[str, str], commands: list[str]) -> None:
    tree = synthetic_tree(num_seeds=5, length=3, num_outcomes=4)
    tree.attrs.update(attributes)
    assert list(tell_command(tree)[1]) == commands


def test_what_is_there_is_not_called_unchecked() -> None:
    tree = synthetic_tree(length=3, num_outcomes=4)
    points = " ".join(build_unchecked_section(tree).points)
    assert "Nothing inside the network was intervened on" in points
    assert "Training" not in points
    tree["/interventions"] = xr.DataTree(xr.Dataset())
    del tree["training"]
    points = " ".join(build_unchecked_section(tree).points)
    assert "Nothing inside" not in points
    assert "Training: the network was not trained here." in points


def test_every_file_of_the_page_is_packed() -> None:
    configured = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    packed = configured["tool"]["setuptools"]["package-data"]["bayescmp.report"]
    folder = Path(bayescmp.report.__file__).parent
    others = {path.suffix for path in folder.iterdir() if path.is_file()} - {".py"}
    assert {f"*{suffix}" for suffix in others} == set(packed)


def test_the_largest_page_is_small() -> None:
    assert len(page_of("deep and wide").encode()) < 2_000_000
    assert len(page_of().encode()) < 1_000_000
