"""The report in a real browser: no error, no request, every figure shown, nothing cut off."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from synthetic_tree import synthetic_tree

from bayescmp.report import render_side_by_side, write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)
LAUNCH = """import os, sys
commands, answers = (os.dup(int(number)) for number in sys.argv[1:3])
for source, target in ((commands, 3), (answers, 4)):
    os.dup2(source, target)
    os.set_inheritable(target, True)
os.execv(sys.argv[3], sys.argv[3:])"""
PATIENCE = 30.0
FIGURES = """[...document.querySelectorAll('svg.plot')].map(svg => {
  const box = svg.getBoundingClientRect();
  const page = document.documentElement.clientWidth;
  const texts = [...svg.querySelectorAll('text')].map(text => text.getBoundingClientRect());
  const scale = box.width / svg.viewBox.baseVal.width;
  return {
    name: svg.querySelector('title').textContent,
    width: box.width,
    height: box.height,
    left: Math.min(...texts.map(text => text.left)),
    right: Math.max(...texts.map(text => text.right)) - page,
    smallest: scale * Math.min(
      ...[...svg.querySelectorAll('text')].map(text => parseFloat(text.style.fontSize))),
  };
})"""
LONG = "long-and-longer-" * 40
AXE = "axe-core-4.14.1"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "bayescmp-tests"
POINT_AT = """(() => {
  const svg = document.querySelector('#fig-divergence svg');
  svg.scrollIntoView({behavior: 'instant', block: 'center'});
  const panel = JSON.parse(svg.dataset.marks)[0];
  const line = panel.lines.find(line => line.name === 'network');
  const [x, y, place] = line.points[3];
  const at = new DOMPoint(x, y).matrixTransform(svg.getScreenCTM());
  return {x: at.x, y: at.y, place};
})()"""
TIP = """[...document.querySelectorAll('#fig-divergence .tip')].filter(tip => !tip.hidden).map(
  tip => [...tip.children].map(row => row.textContent))"""
SWITCH = """(() => {
  const figure = document.querySelector('#fig-divergence');
  const boxes = [...figure.querySelectorAll('.switches label')];
  boxes.find(box => box.textContent.trim() === %s).firstChild.click();
  const shown = name => [...figure.querySelectorAll('[data-series]')].filter(
    part => part.dataset.series === name && getComputedStyle(part).display !== 'none').length;
  return Object.fromEntries(boxes.map(box => box.textContent.trim()).map(
    name => [name, shown(name)]));
})()"""
SERIOUS = """axe.run(document, {resultTypes: ['violations']}).then(found => JSON.stringify(
  found.violations.filter(one => ['serious', 'critical'].includes(one.impact)).map(
    one => ({rule: one.id, nodes: one.nodes.slice(0, 3).map(node => node.html.slice(0, 200))}))))"""
COLOURS = """[...document.querySelectorAll('svg.plot text')].map(
  text => getComputedStyle(text).fill)"""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, which is not installed"),
]


class Browser:
    """One page of a headless Chromium, driven over a pipe."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self.events: list[dict[str, Any]] = []
        self._to, self._from, self._rest, self._number = to_browser, from_browser, b"", 0
        self._session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def open(self, path: Path, width: int, scheme: str = "light", media: str = "screen") -> None:
        self.events.clear()
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=800,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)
        self.call("Page.navigate", url=path.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self._read()

    def evaluate(self, expression: str) -> Any:
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def complaints(self) -> list[dict[str, Any]]:
        self.evaluate("1")  # everything logged before this answer has arrived with it
        loud = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [event for event in self.events if event["method"] in loud]

    def requests(self) -> list[str]:
        return [
            event["params"]["request"]["url"]
            for event in self.events
            if event["method"] == "Network.requestWillBeSent"
        ]

    def _read(self) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        while b"\0" not in self._rest:
            with contextlib.suppress(BlockingIOError):
                chunk = os.read(self._from, 1 << 20)
                assert chunk, "Chromium closed the pipe"
                self._rest += chunk
                continue
            assert time.monotonic() < deadline, "Chromium does not answer"
            time.sleep(0.01)
        message, _, self._rest = self._rest.partition(b"\0")
        answer = json.loads(message)
        if "method" in answer:
            self.events.append(answer)
        return answer


@contextlib.contextmanager
def run_chromium() -> Iterator[Browser]:
    """Start Chromium with a fresh profile and a pipe on its descriptors 3 and 4."""
    read_commands, write_commands = os.pipe()
    read_answers, write_answers = os.pipe()
    os.set_blocking(read_answers, False)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        launch = [sys.executable, "-ISc", LAUNCH, str(read_commands), str(write_answers)]
        process = subprocess.Popen(
            [*launch, str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}"],
            pass_fds=(read_commands, write_answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(read_commands)
        os.close(write_answers)
        try:
            yield Browser(write_commands, read_answers)
        finally:
            os.close(write_commands)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            os.close(read_answers)


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
    """Find axe-core, which is not part of the project; fetch it where that was asked for."""
    path = CACHE / f"{AXE}.js"
    if not path.exists():
        if os.environ.get("BAYESCMP_FETCH_AXE") != "1":
            pytest.skip(f"needs axe-core: set BAYESCMP_FETCH_AXE=1 to fetch it to {path}")
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("needs npm to fetch axe-core")
        with tempfile.TemporaryDirectory() as folder:
            spec = AXE.replace("core-", "core@")
            subprocess.run([npm, "pack", "--silent", spec], cwd=folder, check=True, timeout=120)
            with tarfile.open(Path(folder) / f"{AXE}.tgz") as archive:
                script = archive.extractfile("package/axe.min.js")
                assert script is not None
                CACHE.mkdir(parents=True, exist_ok=True)
                path.write_bytes(script.read())
    return path.read_text(encoding="utf-8")


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
