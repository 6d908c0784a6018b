"""The gate: claims from a file, verdicts on saved results, and what a pipeline reads."""

import dataclasses
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from complaints import raised
from synthetic_tree import synthetic_tree
from test_plots import edit

from bayescmp.report.gate import judge_gate, write_junit, write_markdown, write_text
from bayescmp.report.markdown import escape
from bayescmp.results.claims import Claim
from bayescmp.results.claims_file import load_claims
from bayescmp.results.verdicts import judge

KL = "/divergence/mean_kl"
EVIL = 'a|b <script>alert("x")</script> &amp; `c` *d* [e](f) \N{SNOWMAN} γλ‖ $x$ ]]>'
SMALL = {"length": 3, "num_outcomes": 4, "num_layers": 1, "num_heads": 1}


def tree_of(values: list[float]) -> xr.DataTree:
    tree = synthetic_tree(num_seeds=len(values), **SMALL)
    edit(tree, KL, values)
    return tree


TIGHT = [0.98, 0.99, 1.0, 1.01, 1.02]  # interval about 1 +- 0.02


def below(threshold: float, statement: str = "KL is small", **options: object) -> Claim:
    return Claim(statement, KL, threshold, "below", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("thresholds", "allowed", "status"),
    [
        ((1.1,), False, 0),
        ((1.1, 0.9), False, 3),
        ((1.1, 1.0), False, 4),
        ((1.1, 1.0), True, 0),
        ((0.9, 1.0), False, 3),
        ((0.9, 1.0), True, 3),
    ],
)
def test_status_is_that_of_the_worst_claim(
    thresholds: tuple[float, ...], allowed: bool, status: int
) -> None:
    claims = [below(threshold) for threshold in thresholds]
    gate = judge_gate(tree_of(TIGHT), claims, allow_inconclusive=allowed)
    assert gate.status == status
    suite = ElementTree.fromstring(write_junit(gate))
    refused = int(suite.get("failures", "-1"))
    assert (refused > 0) == (status != 0)
    assert suite.get("tests") == str(len(claims))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_never_passes(bad: float) -> None:
    gate = judge_gate(tree_of([*TIGHT[:4], bad]), [below(1e9)])
    assert gate.status == 4
    assert "seed 4: /divergence/mean_kl is" in gate.claims[0].reason


def test_few_seeds_do_not_pass() -> None:
    assert judge_gate(tree_of(TIGHT[:2]), [below(1e9)]).status == 4
    assert judge_gate(tree_of(TIGHT[:2]), [below(1e9, min_seeds=2)]).status == 0


def test_claims_of_the_file_replace_those_of_the_study() -> None:
    tree = tree_of(TIGHT)
    before = tree["/claims"].to_dataset().copy(deep=True)
    gate = judge_gate(tree, [below(1.1, "only this")])
    assert [claim.statement for claim in gate.claims] == ["only this"]
    xr.testing.assert_identical(tree["/claims"].to_dataset(), before)
    assert judge_gate(tree.drop_nodes("claims"), [below(1.1)]).status == 0


# ----------------------------------------------------------------------- pages


def test_junit_holds_one_case_for_each_claim() -> None:
    claims = [below(1.1, "one"), below(0.9, "two"), below(1.0, "three")]
    gate = judge_gate(tree_of(TIGHT), claims)
    root = ElementTree.fromstring(write_junit(gate))
    cases = root.findall("testsuite/testcase")
    assert [case.get("name") for case in cases] == ["one", "two", "three"]
    assert [case.get("classname") for case in cases] == [KL] * 3
    assert [len(case.findall("failure")) for case in cases] == [0, 1, 1]
    assert [case.find("failure").get("type") for case in cases[1:]] == ["refuted", "inconclusive"]
    lenient = dataclasses.replace(gate, allow_inconclusive=True)
    cases = ElementTree.fromstring(write_junit(lenient)).findall("testsuite/testcase")
    assert [len(case.findall("skipped")) for case in cases] == [0, 0, 1]
    assert write_junit(gate) == write_junit(judge_gate(tree_of(TIGHT), claims))


def test_hostile_text_is_escaped_and_intact() -> None:
    tree = tree_of(TIGHT)
    tree.attrs.update(study=EVIL, model="x" * 3000)
    gate = judge_gate(tree, [below(0.9, EVIL)])
    case = ElementTree.fromstring(write_junit(gate)).find("testsuite/testcase")
    assert case is not None
    assert case.get("name") == EVIL
    markdown = write_markdown(gate)
    rows = [line for line in markdown.splitlines() if line.startswith("| refuted")]
    assert len(rows) == 1
    unescaped = rows[0].replace("\\|", "")
    assert unescaped.count("|") == 8  # seven columns: the name's own bar is not one
    tags: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: tags.append(tag)  # type: ignore[method-assign]
    parser.feed(markdown)
    assert tags == []
    assert EVIL in write_text(gate)
    assert "x" * 3000 in markdown


def test_line_breaks_stay_out_of_tables() -> None:
    assert escape("a\nb\x00\ud800c") == "a b\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}c"


# ------------------------------------------------------------------------ file


def write(path: Path, *tables: dict[str, object]) -> Path:
    lines = []
    for table in tables:
        lines.append("[[claim]]")
        lines += [f"{name} = {value!r}" for name, value in table.items()]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


WHOLE: dict[str, object] = {
    "statement": "KL is small",
    "metric": KL,
    "threshold": 0.5,
    "direction": "below",
    "level": 0.9,
    "min_seeds": 3,
    "rung": "uniform",
}


def test_a_file_may_give_every_field(tmp_path: Path) -> None:
    path = write(tmp_path / "claims.toml", WHOLE, {**WHOLE, "threshold": 1})
    first, second = load_claims(path)
    assert dataclasses.asdict(first) == WHOLE
    assert second.threshold == 1
    assert {field.name for field in dataclasses.fields(Claim)} == set(WHOLE)
    assert judge(first, tree_of(TIGHT)).threshold > 0.0


def test_what_is_not_given_is_as_in_a_claim(tmp_path: Path) -> None:
    needed = {name: WHOLE[name] for name in ("statement", "metric", "threshold", "direction")}
    (claim,) = load_claims(write(tmp_path / "claims.toml", needed))
    assert claim == Claim("KL is small", KL, 0.5, "below")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"thresold": 1.0}, "claim 1: field: expected one of direction, level"),
        ({"levle": 0.9}, "got 'levle'; did you mean 'level'?"),
        ({"threshold": "0.5"}, "claim 1: threshold: expected a number, got '0.5'"),
        ({"statement": 3}, "claim 1: statement: expected text in quotes, got 3"),
        ({"min_seeds": 2.5}, "claim 1: min_seeds: expected a whole number, got 2.5"),
        ({"direction": "under"}, "claim 1: direction: expected 'below' or 'above', got 'under'"),
        ({"metric": "mean_kl"}, "claim 1: metric: expected a path '/group/variable'"),
        ({"level": 95}, "claim 1: level: expected a number between 0 and 1, got 95"),
    ],
)
def test_wrong_fields_are_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, object], message: str
) -> None:
    import jaxtyping

    # users have no checker of types, which would get hold of a wrong direction first
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    path = write(tmp_path / "claims.toml", {**WHOLE, **change})
    assert message in raised(ValueError, lambda: load_claims(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected at least one table [[claim]], got none"),
        ("claim = 3", "expected at least one table [[claim]], got none"),
        ("claim = [3]", "claim 1: expected a table [[claim]], got 3"),
        ("[[claims]]\nmetric = 'x'", "table: expected one of claim, got 'claims'"),
        ("[[claim]]\nmetric = 'x'", "expected the field statement, threshold, direction too"),
        ("[[claim]\n", "expected TOML, got something else"),
        ("[[claim]]\nthreshold = true", "threshold: expected a number, got True"),
    ],
)
def test_wrong_files_are_told_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "claims.toml"
    path.write_text(text)
    said = raised(ValueError, lambda: load_claims(path))
    assert message in said
    assert said.startswith(str(path))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert "cannot be read" in raised(ValueError, lambda: load_claims(tmp_path / "none.toml"))
    path = tmp_path / "claims.toml"
    path.write_bytes(b"\xff\xfe\x00")
    assert "expected TOML" in raised(ValueError, lambda: load_claims(path))


def test_a_metric_off_the_tree_names_the_nearest() -> None:
    claims = [below(1.0), Claim("s", "/divergence/mean_lk", 1.0, "below")]
    said = raised(ValueError, lambda: judge_gate(tree_of(TIGHT), claims))
    assert said.startswith("claim 2: metric: expected a variable with one value per seed, such as")
    assert KL in said
    assert "at least one" in raised(ValueError, lambda: judge_gate(tree_of(TIGHT), []))
