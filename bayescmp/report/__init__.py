"""The report: one self-contained HTML page from a comparison's DataTree, and its kin.

matplotlib and Jinja are imported when a function is first asked for, not before.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bayescmp.report.gate import judge_gate
    from bayescmp.report.glance import show
    from bayescmp.report.notebook import write_notebook
    from bayescmp.report.side_by_side import render_side_by_side, write_side_by_side
    from bayescmp.report.write import render_report, write_report

__all__ = [
    "judge_gate",
    "render_report",
    "render_side_by_side",
    "show",
    "write_notebook",
    "write_report",
    "write_side_by_side",
]

_MODULES = {
    "judge_gate": "gate",
    "render_report": "write",
    "render_side_by_side": "side_by_side",
    "show": "glance",
    "write_notebook": "notebook",
    "write_report": "write",
    "write_side_by_side": "side_by_side",
}


def __getattr__(name: str) -> object:
    """Import the functions when one is first asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """List the public names."""
    return __all__
