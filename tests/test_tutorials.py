"""Tutorials in two forms that say the same; building the documentation runs them."""

from pathlib import Path

import jupytext
import nbformat
import pytest

FOLDER = Path(__file__).parent.parent / "docs" / "tutorials"
TUTORIALS = sorted(path.stem for path in FOLDER.glob("*.py"))


def test_there_are_tutorials():
    assert TUTORIALS


@pytest.mark.parametrize("name", TUTORIALS)
def test_a_tutorial_shows_a_figure_and_ends_with_checks_of_its_numbers(name: str):
    cells = [c.source for c in jupytext.read(FOLDER / f"{name}.py").cells if c.cell_type == "code"]
    assert any("plot_" in source for source in cells)
    assert "assert " in cells[-1]


@pytest.mark.parametrize("name", TUTORIALS)
def test_notebook_is_the_text_without_outputs(name: str):
    text = jupytext.read(FOLDER / f"{name}.py")
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    assert [(cell.cell_type, cell.source) for cell in notebook.cells] == [
        (cell.cell_type, cell.source) for cell in text.cells
    ], f"remake it: jupytext --sync docs/tutorials/{name}.py"
    assert all(not cell.get("outputs") for cell in notebook.cells)
    assert all(cell.get("execution_count") is None for cell in notebook.cells)
