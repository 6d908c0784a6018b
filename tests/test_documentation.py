"""The pages of the documentation hang together, and those made from the code say what it says."""

import importlib.util
import inspect
import re
from pathlib import Path

import pytest

import bayescmp
from bayescmp.results.schema import SCHEMA

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
MADE = ("schema.md", "bibliography.md")  # by the build, from the code
PAGES = sorted(
    path
    for folder in (DOCS, DOCS / "how_to")
    for path in folder.glob("*.md")
    if path.name not in MADE
)
LINKS = re.compile(r"\]\(([^)\s]+)\)")
FENCES = re.compile(r"^```.*?^```", re.M | re.S)

_spec = importlib.util.spec_from_file_location(
    "generated_pages", DOCS / "_extensions" / "generated_pages.py"
)
assert _spec is not None
assert _spec.loader is not None
generated_pages = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(generated_pages)

PUBLIC = sorted(name for name in bayescmp.__all__ if not name.startswith("__"))
MODULES = [name for name in PUBLIC if inspect.ismodule(getattr(bayescmp, name))]


def _linked(text: str) -> list[str]:
    """Return the targets of a page's links and pictures, without those in code."""
    return LINKS.findall(FENCES.sub("", text))


def _anchors(text: str) -> set[str]:
    """Return what headings of the first three levels may be linked by, as GitHub has it."""
    headings = re.findall(r"^#{1,3} (.+)$", FENCES.sub("", text), re.M)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


def _listed() -> set[str]:
    """Return the pages that the front page lists."""
    trees = re.findall(r"^```\{toctree\}\n(.*?)^```", (DOCS / "index.md").read_text(), re.M | re.S)
    lines = [line.strip() for tree in trees for line in tree.splitlines()]
    return {line for line in lines if line and not line.startswith(":")}


def test_every_page_is_listed_on_the_front_page():
    written = {path.relative_to(DOCS).with_suffix("").as_posix() for path in PAGES}
    tutorials = {f"tutorials/{path.stem}" for path in (DOCS / "tutorials").glob("*.py")}
    made = {Path(name).stem for name in MADE} | {"reference/index"}
    assert _listed() == (written | tutorials | made) - {"index"}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda path: path.stem)
def test_links_lead_somewhere(page: Path):
    for link in _linked(page.read_text()):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if target.parent == DOCS and target.name in MADE:
            assert not anchor, f"{link}: such a page has no anchors to rely on"
            continue
        if target.suffix == ".ipynb":
            target = target.with_suffix(".py")  # its text, which makes it
        assert target.exists(), f"{link}: no such file"
        assert not anchor or anchor in _anchors(target.read_text()), f"{link}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_no_page_fetches_anything(page: Path):
    text = page.read_text()
    assert not re.search(r"<(script|link|iframe|img)\b|@import|!\[[^]]*\]\(https?:", text)


def test_pictures_fetch_nothing():
    for picture in DOCS.glob("images/*.svg"):
        text = picture.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not re.search(r"http|<script|<image", text)
        assert "<text" in text  # as text, not as shapes


def test_schema_page_has_every_group_and_variable():
    page = generated_pages.schema_page()
    for path, group in SCHEMA.items():
        start = page.index(f"\n## `{path}`\n")
        section = page[start : page.find("\n## ", start + 1)] if start >= 0 else ""
        missing = [name for name in group.variables or () if f"| `{name}` |" not in section]
        assert not missing, f"{path}: {missing}"


def test_schema_page_keeps_signs_of_tables():
    assert generated_pages._escape("KL(p || q) of a_b") == r"KL(p \|\| q) of a\_b"


def test_reference_has_every_public_name():
    index, first = generated_pages.index_page(MODULES), generated_pages.module_page(bayescmp)
    for name in PUBLIC:
        if name in MODULES:
            assert f"\n   {name}\n" in index
        else:
            directive = rf"^\.\. (autoclass|autofunction|py:data):: bayescmp\.{name}$"
            assert re.search(directive, first, re.M), name


def test_reference_tells_a_name_once():
    from bayescmp import training

    page = generated_pages.module_page(training)
    assert "``AdamW``: see :doc:`bayescmp`." in page
    assert ".. autoclass:: bayescmp.training.AdamW" not in page


def test_bibliography_collects_sources(tmp_path: Path):
    (tmp_path / "part.py").write_text('"""A part.\n\nSource: Somebody,\narXiv 2501.01234.\n"""\n')
    page = generated_pages.bibliography_page(tmp_path)
    assert "[arXiv 2501.01234](https://arxiv.org/abs/2501.01234)" in page
    assert "(`bayescmp.part`)" in page
