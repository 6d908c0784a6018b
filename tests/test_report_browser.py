"""The report in a real browser: no error, no request, every figure shown, nothing cut off."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe import SERIOUS, read_axe
from chromium import CHROMIUM, Browser, run_chromium
from page_questions import COLOURS, FIGURES, POINT_AT, SWITCH, TIP
from synthetic_tree import synthetic_tree

from bayescmp.report import render_side_by_side, write_report

LONG = "long-and-longer-" * 40

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, which is not installed"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with run_chromium() as running:
        yield running


@pytest.fixture(scope="module")
def hostile_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    evil = "<script>hacked=1</script>"
    rungs = ("<img src=x onerror=hacked=1>", f"</text>{evil}", "\"' onload=hacked=1", LONG)
    tree = synthetic_tree(rungs=rungs)
    config = {evil: evil, LONG: LONG, "語": "\u202e後ろ向き\u202c", "א": "شبكة", "e": "👩‍🔬"}
    tree.attrs.update(model=evil, device=LONG, config=json.dumps(config))
    return write_report(tree, tmp_path_factory.mktemp("hostile") / "report.html")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(synthetic_tree(), tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = {"first": synthetic_tree(), "second": synthetic_tree(num_layers=2, seed=1)}
    path = tmp_path_factory.mktemp("compared") / "compared.html"
    path.write_text(render_side_by_side(runs))
    return path


@pytest.fixture(scope="module")
def axe() -> str:
    return read_axe()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_page_opens_in_silence_and_asks_for_nothing(
    browser: Browser, report: Path, width: int, scheme: str
) -> None:
    browser.open(report, width, scheme)
    assert browser.complaints() == []
    outside = [url for url in browser.requests() if not url.startswith("data:")]
    assert outside == [report.as_uri()]


@pytest.mark.parametrize("width", [360, 1200])
def test_every_figure_is_shown_whole_and_legible(
    browser: Browser, report: Path, width: int
) -> None:
    browser.open(report, width)
    figures = browser.evaluate(FIGURES)
    assert len(figures) == report.read_text().count("<svg") == 9
    for figure in figures:
        assert figure["width"] > 300, figure
        assert figure["height"] > 100, figure
        assert figure["smallest"] >= 9.0, figure
        assert figure["left"] >= 0, figure
        assert figure["right"] <= 0, figure


@pytest.mark.parametrize("width", [360, 600, 1200])
def test_the_page_never_scrolls_sideways(browser: Browser, report: Path, width: int) -> None:
    browser.open(report, width)
    browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


def test_hostile_names_are_shown_as_text(browser: Browser, hostile_report: Path) -> None:
    browser.open(hostile_report, 360)
    assert browser.complaints() == []
    browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.evaluate("document.documentElement.scrollWidth") <= 360
    assert browser.evaluate("typeof hacked") == "undefined"
    text = browser.evaluate("document.body.innerText")
    for whole in ("<script>hacked=1</script>", LONG, "語", "後ろ向き", "شبكة", "👩‍🔬"):
        assert whole in text
    names = browser.evaluate(
        "[...document.querySelectorAll('.switches label')].map(l => l.innerText)"
    )
    assert any("onload=hacked=1" in name for name in names)


def test_figures_follow_the_colour_scheme(browser: Browser, report: Path) -> None:
    colours = {}
    for scheme in ("light", "dark"):
        browser.open(report, 1200, scheme)
        colours[scheme] = browser.evaluate(COLOURS)
    assert len(colours["light"]) == len(colours["dark"]) > 100
    for light, dark in zip(colours["light"], colours["dark"], strict=True):
        assert light != dark


def test_print_is_on_white_paper_whatever_the_screen(browser: Browser, report: Path) -> None:
    browser.open(report, 800, "dark", media="print")
    assert (
        browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    )


def test_runs_side_by_side_open_in_silence(browser: Browser, compared: Path) -> None:
    for width in (360, 1200):
        browser.open(compared, width)
        assert browser.complaints() == []
        outside = [url for url in browser.requests() if not url.startswith("data:")]
        assert outside == [compared.as_uri()]
        browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert browser.evaluate("document.documentElement.scrollWidth") <= width


def test_pointing_at_a_mark_tells_its_value(browser: Browser, report: Path) -> None:
    browser.open(report, 1200)
    assert browser.evaluate(TIP) == []
    at = browser.evaluate(POINT_AT)
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=at["x"], y=at["y"])
    ((name, place, value),) = browser.evaluate(TIP)
    assert name == "network"
    assert place == f"position (first = 0): {at['place']}"
    mean = float(synthetic_tree()["/divergence/kl"].values.mean(axis=0)[3])
    assert value == f"KL(exact ‖ predictor), bit: {mean:.4g}"
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key="Escape")
    assert browser.evaluate(TIP) == []


def test_lines_are_switched_off_one_by_one(browser: Browser, report: Path) -> None:
    browser.open(report, 360)
    shown = browser.evaluate(SWITCH % "'window 2'")
    assert shown.pop("window 2") == 0
    assert {"network", "exact", "seed 0", "seed 4", "uniform"} <= set(shown)
    assert all(count > 0 for count in shown.values())
    assert browser.evaluate(SWITCH % "'window 2'")["window 2"] > 0


def test_every_table_opens_at_once(browser: Browser, report: Path) -> None:
    browser.open(report, 1200)
    browser.evaluate("document.querySelector('nav button').click()")
    assert browser.evaluate("document.querySelectorAll('details.data:not([open])').length") == 0
    assert browser.evaluate("document.querySelector('nav button').textContent").startswith("Close")


def test_the_page_is_whole_without_its_script(browser: Browser, report: Path) -> None:
    browser.open(report, 1200)
    browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    text = browser.evaluate("document.querySelector('main').innerText")
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(report, 1200)
        browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        plain = browser.evaluate("document.querySelector('main').innerText")
        assert browser.evaluate("document.querySelectorAll('.switches, .tip, button').length") == 0
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
    said = set(plain.splitlines())
    assert said <= set(text.splitlines())
    extra = {line for line in set(text.splitlines()) - said if line.strip()}
    names = {"Open every table", "Show or hide lines", "Lines shown"}
    assert all(line in names or len(line) < 30 for line in extra), extra


def test_no_other_script_runs(browser: Browser, report: Path, tmp_path: Path) -> None:
    html = report.read_text().replace("<main>", "<main><script>hacked=1</script>", 1)
    changed = tmp_path / "changed.html"
    changed.write_text(html)
    browser.open(changed, 1200)
    assert browser.evaluate("typeof hacked") == "undefined"
    assert any("Content Security Policy" in json.dumps(event) for event in browser.complaints())


@pytest.mark.parametrize(
    ("page", "width", "scheme"),
    [
        ("report", 360, "dark"),
        ("report", 1200, "light"),
        ("compared", 360, "light"),
        ("compared", 1200, "dark"),
    ],
)
def test_axe_finds_nothing_serious(
    browser: Browser,
    request: pytest.FixtureRequest,
    axe: str,
    page: str,
    width: int,
    scheme: str,
) -> None:
    browser.open(request.getfixturevalue(page), width, scheme)
    browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    browser.evaluate(f"{axe}; 1")
    assert json.loads(browser.evaluate(SERIOUS)) == []


def test_axe_fires_on_a_page_that_is_broken(
    browser: Browser, report: Path, axe: str, tmp_path: Path
) -> None:
    html = report.read_text().replace("--muted: #5f6873", "--muted: #c9ced4", 1)
    changed = tmp_path / "changed.html"
    changed.write_text(html.replace('<html lang="en"', "<html", 1))
    browser.open(changed, 1200)
    browser.evaluate(f"{axe}; 1")
    rules = {one["rule"] for one in json.loads(browser.evaluate(SERIOUS))}
    assert {"color-contrast", "html-has-lang"} <= rules
