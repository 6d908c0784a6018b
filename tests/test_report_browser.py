"""The report in a real browser: no error, no request, every figure shown, nothing cut off."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from synthetic_tree import synthetic_tree

from bayescmp.report import write_report

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
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
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
    tree = synthetic_tree(
        rungs=("<img src=x onerror=hacked=1>", "</text><script>hacked=1</script>")
    )
    tree.attrs["model"] = "<script>hacked=1</script>"
    return write_report(tree, tmp_path_factory.mktemp("hostile") / "report.html")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(synthetic_tree(), tmp_path_factory.mktemp("report") / "report.html")


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
    assert browser.evaluate("typeof hacked") == "undefined"
    assert "<script>hacked=1</script>" in browser.evaluate("document.body.innerText")


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
