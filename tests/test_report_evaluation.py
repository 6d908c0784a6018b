"""What pages and summaries say of how figures came about, and the digits they keep to."""

import json
import re

import numpy as np
import pytest
import xarray as xr
from report_pages import inexact, read
from synthetic_tree import synthetic_tree
from test_plots import edit

from bayescmp.plots import plot_calibration
from bayescmp.report import render_report
from bayescmp.report.headline import describe_standing
from bayescmp.results.tree import make_dataset, make_tree
from bayescmp.summary import summarise

ERROR_NAT = 0.02  # 0.029 bit


def over_every_sequence() -> xr.DataTree:
    """Make up a tree whose figures are means over every sequence."""
    tree = synthetic_tree()
    edit(tree, "/divergence/kl_standard_error", np.zeros((5, 19)))
    old = tree["/calibration"].to_dataset()
    arrays = {name: old[name].values for name in old.data_vars}
    arrays |= dict.fromkeys(("observed", "observed_low", "observed_high"), arrays["exact"])
    arrays |= {"ece": arrays["exact_ece"], "weight": 19.0 * arrays["count"] / 1e4}
    groups = {path: tree[path].to_dataset() for path in tree.groups if path != "/"}
    groups["/calibration"] = make_dataset("/calibration", arrays, attrs=dict(old.attrs))
    attrs = {str(k): v for k, v in tree.attrs.items() if k != "schema_version"}
    words = "every sequence, 59,049 weighted by their exact probability"
    return make_tree(groups, attrs | {"evaluation": words})


def section(html: str, ident: str) -> str:
    """Cut one section out of a page and return its text."""
    body = html[html.index(f'<section id="{ident}"') :]
    return read(body[: body.index("</section>") + len("</section>")])[1]


def test_a_page_over_every_sequence_says_so_and_has_no_sampling_error() -> None:
    html = render_report(over_every_sequence())
    _, text = read(html)
    assert "every sequence, 59,049 weighted by their exact probability" in text[:2_000]
    assert "no figure has a sampling error, and the excess log loss is the KL divergence" in text
    assert "standard error" not in text
    calibration = section(html, "calibration")
    assert "frequencies are exact probabilities and have no interval" in calibration
    assert "drawn" not in calibration.split("Reliability of the first seed")[1]
    assert "expected in one sequence" in calibration
    plot_calibration(over_every_sequence())  # intervals of no width


def test_a_page_of_drawn_sequences_says_nothing_of_every_sequence() -> None:
    html = render_report(synthetic_tree())
    _, text = read(html)
    assert "sampled, 4096 sequences" in text[:2_000]
    assert "very sequence" not in text
    assert "The largest standard error of the KL over the evaluated sequences" in text
    assert "drawn frequency, interval" in section(html, "calibration")
    assert "against drawn outcomes" in section(html, "calibration")


def test_no_section_prints_digits_below_the_error() -> None:
    html = render_report(inexact(synthetic_tree(), ERROR_NAT))
    _, text = read(html)
    assert "No digit below that is printed" in text
    # All that is measured against the oracle, drawings left out.
    html = re.sub(r"<svg.*?</svg>", "", html, flags=re.DOTALL)
    for ident in ("ladder", "position", "layers"):
        # The table of the example holds the network's own probabilities, which have no error.
        words = section(html, ident).split("One example sequence")[0]
        assert re.findall(r"\d\.\d{3,}", words) == [], ident
        assert len(re.findall(r"\d\.\d\d\b", words)) > 10, ident
        assert "< 0.03" in words, ident


def test_an_exact_oracle_keeps_its_digits() -> None:
    tree = synthetic_tree()
    plain = render_report(tree)
    certificate = json.loads(tree["/oracle"].attrs["certificate"])
    assert certificate["exact"] is True
    tree["/oracle"].attrs["certificate"] = json.dumps({**certificate, "error_nat": ERROR_NAT})
    loud = render_report(tree)
    # Of an exact oracle the number is the rounding of its arithmetic, which one sentence gives.
    sentence = r"Its arithmetic is good to about [^<]*? nat\."
    assert re.sub(sentence, "", loud) == re.sub(sentence, "", plain)
    assert "No digit below" not in plain
    assert re.findall(r"\d\.\d{4,}", section(plain, "ladder"))


@pytest.mark.parametrize("units", ["bit", "1"])
def test_the_summary_prints_no_digit_below_the_error(units: str) -> None:
    exact, rounded = (
        summarise(tree).splitlines() for tree in (synthetic_tree(), inexact(synthetic_tree(), 0.02))
    )
    label = {"bit": "KL from exact (bit)", "1": "total variation"}[units]
    bound = {"bit": "< 0.03", "1": "< 0.02"}[units]

    def line(lines: list[str]) -> str:
        return next(row for row in lines if row.startswith(label))

    assert re.findall(r"\d\.\d{4,}|e-\d", line(exact))
    assert not re.findall(r"\d\.\d{3,}|e-\d", line(rounded))
    assert bound in line(rounded).replace("\N{NO-BREAK SPACE}", " ")


def test_the_summary_of_claims_prints_no_digit_below_the_error() -> None:
    lines = summarise(inexact(synthetic_tree(), ERROR_NAT)).splitlines()
    claims = lines[2 : lines.index("")]
    assert len(claims) >= 4
    for row in claims:
        measured = re.sub(r"Mean KL is .*?bits|Entropy MAE is .*?bits|below 0.0*5$", "", row)
        measured = re.sub(r"(below|above) [\d.×⁻⁰-⁹¹²³\s]+$", "", measured)
        assert not re.findall(r"\d\.\d{3,}", measured), row
    assert "the interval holds the threshold" in " ".join(claims)


def test_a_ratio_to_a_rival_needs_ten_times_the_error() -> None:
    tree = inexact(synthetic_tree(rungs=("a", "b")), ERROR_NAT)
    edit(tree, "/ladder/mean_kl", [4.0, 2.0])
    assert "times as far" not in describe_standing(tree, np.full(5, 0.1))
    assert "4.0 times as far" in describe_standing(tree, np.full(5, 0.5))


def test_rivals_within_the_error_are_not_ranked() -> None:
    tree = inexact(synthetic_tree(), 100.0)
    kl = tree["/divergence/mean_kl"].values
    text = describe_standing(tree, kl)
    assert text.startswith("Within the reference's own error it cannot be told from ")
    exact = describe_standing(synthetic_tree(), kl)
    assert "cannot be told from" not in exact.split(".")[0]
