"""The report: one self-contained HTML page from a comparison's DataTree.

matplotlib and Jinja are imported when a function is first asked for, not before.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bayescmp.report.write import render_report, write_report

__all__ = ["render_report", "write_report"]


def __getattr__(name: str) -> object:
    """Import the functions when one is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("bayescmp.report.write"), name)


def __dir__() -> list[str]:
    """List the public names."""
    return __all__
