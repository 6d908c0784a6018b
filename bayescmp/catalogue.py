"""Find studies by name or path without importing any of them.

Listing must be quick, so this module reads source files with :mod:`ast` and needs
the standard library alone.
"""

import ast
import difflib
import importlib.util
import pkgutil
from collections.abc import Iterable, Mapping
from pathlib import Path

STUDIES_PACKAGE = "bayescmp.studies"
"""Import name of the package whose modules are the studies known by name."""


def list_studies() -> Mapping[str, str]:
    """Return the name of every study in the package and its question.

    Returns:
        Question (the first line of the module's docstring) by study name, sorted by name.

    Example:
        >>> "bijection" in list_studies()
        True
    """
    return {name: read_question(path) for name, path in sorted(_study_files().items())}


def find_study(study: str) -> Path:
    """Return the source file of a study given by its name or by the path of a file.

    Args:
        study: Name of a study in the package, or a path: anything that ends in ``.py``
            or has a folder in it.

    Returns:
        Path of an existing Python file.

    Raises:
        ValueError: If no study has that name or no such file exists; the message
            gives the nearest name.

    Example:
        >>> find_study("bijection").name
        'bijection.py'
    """
    path = Path(study).expanduser()
    if path.suffix == ".py" or path.name != study:
        return _find_file(path, study)
    files = _study_files()
    if study in files:
        return files[study]
    raise unknown_name("study", study, files, alternative="the path of a .py file")


def unknown_name(
    argument: str, name: str, known: Iterable[str], *, alternative: str | None = None
) -> ValueError:
    """Make the error for a name that is not known, with the nearest known one.

    Args:
        argument: What the name stands for, such as ``"study"``.
        name: The name that came.
        known: The names that would have been right.
        alternative: What else would have been accepted, in words.

    Returns:
        The exception, for the caller to raise.

    Example:
        >>> str(unknown_name("model", "coins", ["coin"]))
        "model: expected one of coin, got 'coins'; did you mean 'coin'?"
    """
    names = sorted(known)
    listed = f"one of {', '.join(names)}" if names else "a known name (there are none)"
    expected = listed if alternative is None else f"{listed}, or {alternative}"
    nearest = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    return ValueError(f"{argument}: expected {expected}, got {name!r}{hint}")


def read_question(path: Path) -> str:
    """Return the first line of a Python file's docstring without running the file.

    Args:
        path: A Python source file.

    Returns:
        The line, or an empty text where the file has no docstring or is not Python.

    Example:
        >>> read_question(find_study("bijection")).endswith("?")
        True
    """
    try:
        docstring = ast.get_docstring(ast.parse(path.read_bytes()))
    except (SyntaxError, ValueError):
        return ""
    return docstring.splitlines()[0].strip() if docstring else ""


def _study_files() -> dict[str, Path]:
    """Map each study in the package to its source file."""
    spec = importlib.util.find_spec(STUDIES_PACKAGE)
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    return {
        module.name: Path(folder) / f"{module.name}.py"
        for folder in folders
        for module in pkgutil.iter_modules([folder])
        if not module.name.startswith("_") and not module.ispkg
    }


def _find_file(path: Path, study: str) -> Path:
    """Return the path if it is a Python file, else say what is wrong with it."""
    if path.is_dir():
        raise ValueError(f"study: expected a .py file, got the folder {study!r}")
    if path.suffix != ".py":
        raise ValueError(f"study: expected a name or the path of a .py file, got {study!r}")
    if not path.is_file():
        beside = [file.name for file in path.parent.glob("*.py")]
        nearest = difflib.get_close_matches(path.name, beside, n=1, cutoff=0.75)
        hint = f"; did you mean {str(path.with_name(nearest[0]))!r}?" if nearest else ""
        raise ValueError(f"study: expected an existing file, got {study!r}{hint}")
    return path
