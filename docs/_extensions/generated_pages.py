"""Pages that are written from the code before Sphinx reads them.

``reference/`` has one page for each public module, in the order of its curated names;
``schema.md`` is the table of results, ``bibliography.md`` what docstrings name as their sources.
"""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from sphinx.application import Sphinx

import bayescmp
from bayescmp.results.schema import DIMENSIONS, SCHEMA, SCHEMA_VERSION

DOCS = Path(__file__).parent.parent


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the pages when a build begins."""
    app.connect("config-inited", lambda *_: write_pages(DOCS))
    return {"parallel_read_safe": True}


def write_pages(folder: Path) -> None:
    """Write every page that is made from the code.

    Args:
        folder: The folder of the documentation.
    """
    reference = folder / "reference"
    reference.mkdir(exist_ok=True)
    modules = [name for name in bayescmp.__all__ if _is_module(name)]
    for name in modules:
        module = importlib.import_module(f"bayescmp.{name}")
        _write(reference / f"{name}.rst", module_page(module))
    _write(reference / "bayescmp.rst", module_page(bayescmp))
    _write(reference / "index.rst", index_page(modules))
    _write(folder / "schema.md", schema_page())
    _write(folder / "bibliography.md", bibliography_page(Path(bayescmp.__file__).parent))


def index_page(modules: list[str]) -> str:
    """Return the list of all pages of the reference."""
    pages = "\n".join(f"   {name}" for name in ("bayescmp", *modules))
    return f"{_title('Reference')}\n.. toctree::\n   :maxdepth: 1\n\n{pages}\n"


def module_page(module: ModuleType) -> str:
    """Return the page of one public module: its own words, then each public name."""
    parts = [_title(module.__name__), f".. automodule:: {module.__name__}\n   :no-members:\n"]
    parts += [_entry(f"{module.__name__}.{name}", value) for name, value in _public(module)]
    return "\n".join(parts)


def _public(module: ModuleType) -> list[tuple[str, object]]:
    """Return what a module shows: its curated list, or else what it imports of ours."""
    names = getattr(module, "__all__", None) or [n for n in vars(module) if not n.startswith("_")]
    found = [(name, getattr(module, name)) for name in names if not name.startswith("__")]
    return [(name, value) for name, value in found if not inspect.ismodule(value)]


def _entry(path: str, value: object) -> str:
    """Return the directive for one public name, or a link where the first page has it."""
    name = path.rsplit(".", 1)[-1]
    if path != f"bayescmp.{name}" and getattr(bayescmp, name, None) is value:
        return f"``{name}``: see :doc:`bayescmp`.\n"
    if inspect.isclass(value):
        return f".. autoclass:: {path}\n   :members:\n   :exclude-members: __init__\n"
    return f".. autofunction:: {path}\n" if callable(value) else f".. py:data:: {path}\n"


def schema_page() -> str:
    """Return the page of the table of results."""
    lines = [
        "# The results tree",
        "",
        f"One `xarray.DataTree` a run, saved as netCDF; schema version {SCHEMA_VERSION}. This page "
        "is written from the table that builds, validates and loads every tree "
        "(`bayescmp/results/schema.py`). Information is in bits.",
        "",
        "## Axes",
        "",
        "| axis | counts | unit |",
        "|---|---|---|",
    ]
    lines += [
        f"| `{name}` | {axis.long_name} | {axis.units} |" for name, axis in DIMENSIONS.items()
    ]
    for path, group in SCHEMA.items():
        optional = "" if group.required else " Not in every tree."
        lines += ["", f"## `{path}`", "", f"{_sentence(group.meaning)}{optional}", ""]
        lines += _variable_rows(group.variables) if group.variables else []
        lines += _attribute_rows(group.attributes) if group.attributes else []
    return "\n".join([*lines, ""])


def _variable_rows(variables) -> list[str]:
    rows = ["| variable | axes | unit | meaning |", "|---|---|---|---|"]
    for name, variable in variables.items():
        axes = ", ".join(f"`{axis}`" for axis in variable.dims) or "none"
        rows.append(f"| `{name}` | {axes} | {variable.units} | {_escape(variable.long_name)} |")
    return [*rows, ""]


def _attribute_rows(attributes) -> list[str]:
    rows = ["| attribute | kind | meaning |", "|---|---|---|"]
    rows += [
        f"| `{name}` | {attribute.kind} | {_escape(attribute.meaning)} |"
        for name, attribute in attributes.items()
    ]
    return [*rows, ""]


def bibliography_page(package: Path) -> str:
    """Return the page of sources, each with the parts of the code that rest on it."""
    users: dict[str, set[str]] = {}
    folders = (package, package / "models", package / "studies")  # the last two are links
    for path in sorted({file for folder in folders for file in folder.rglob("*.py")}):
        module = ".".join(("bayescmp", *path.relative_to(package).with_suffix("").parts))
        for source in _sources(ast.parse(path.read_text())):
            users.setdefault(source, set()).add(module.removesuffix(".__init__"))
    lines = ["# Bibliography", "", "What the code rests on, from its docstrings.", ""]
    for source in sorted(users, key=str.casefold):
        linked = re.sub(
            r"arXiv (\d{4}\.\d{4,5}|cond-mat/\d+)", r"[arXiv \1](https://arxiv.org/abs/\1)", source
        )
        lines.append(f"- {linked} ({', '.join(f'`{name}`' for name in sorted(users[source]))})")
    return "\n".join([*lines, ""])


def _sources(tree: ast.Module) -> Iterator[str]:
    """Return what the docstrings of a module name as their sources."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    for node in ast.walk(tree):
        words = ast.get_docstring(node) if isinstance(node, kinds) else None
        for found in re.findall(r"^Sources?: (.+?)(?:\n\n|\Z)", words or "", re.M | re.S):
            yield " ".join(found.split())


def _escape(text: str) -> str:
    """Keep signs that Markdown's tables would read as their own."""
    for sign in "\\|*_<>[]":
        text = text.replace(sign, f"\\{sign}")
    return text


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def _title(text: str) -> str:
    return f"{text}\n{'=' * len(text)}\n"


def _is_module(name: str) -> bool:
    return inspect.ismodule(getattr(bayescmp, name))


def _write(path: Path, text: str) -> None:
    """Write a page where it changed, so that Sphinx reads again what it must only."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
