"""Pages of the report, read as a browser reads them."""

import functools
import json
from html.parser import HTMLParser

import xarray as xr
from test_plots import CASES

from bayescmp.report import render_report

VOID = {"meta", "link", "br", "hr", "img", "input"}
EVIL = "\"><script>window.hacked=1</script><img src=x onerror=alert(1)>'"


class Outline(HTMLParser):
    """Collects tags, names, links and text, and checks that tags close."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(data)

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.attributes if key == name]


def read(html: str) -> tuple[Outline, str]:
    outline = Outline()
    outline.feed(html)
    outline.close()
    assert outline.open == []
    return outline, " ".join(" ".join(outline.text).split())


@functools.cache
def page_of(case: str = "plain") -> str:
    return render_report(CASES[case]())


def inexact(tree: xr.DataTree, error_nat: float | None) -> xr.DataTree:
    certificate = {"engine": "nuts", "exact": False, "reason": "no closed form", "sites": {}}
    certificate |= {"error_nat": error_nat, "jittable": False}
    tree["/oracle"].attrs["certificate"] = json.dumps(certificate)
    return tree
