"""Figures of a comparison: each function takes a DataTree and returns a matplotlib Figure.

matplotlib is imported when the first figure function is asked for, not before.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bayescmp.plots.attention import plot_attention, plot_attention_entropy
    from bayescmp.plots.calibration import plot_calibration
    from bayescmp.plots.divergence import plot_divergence
    from bayescmp.plots.ladder import plot_ladder
    from bayescmp.plots.layers import plot_layer_rungs, plot_layers
    from bayescmp.plots.predictives import plot_predictives
    from bayescmp.plots.training import plot_training

__all__ = [
    "plot_attention",
    "plot_attention_entropy",
    "plot_calibration",
    "plot_divergence",
    "plot_ladder",
    "plot_layer_rungs",
    "plot_layers",
    "plot_predictives",
    "plot_training",
]

_MODULES = {
    "plot_attention": "attention",
    "plot_attention_entropy": "attention",
    "plot_calibration": "calibration",
    "plot_divergence": "divergence",
    "plot_ladder": "ladder",
    "plot_layer_rungs": "layers",
    "plot_layers": "layers",
    "plot_predictives": "predictives",
    "plot_training": "training",
}


def __getattr__(name: str) -> object:
    """Import the module of a figure function when the function is first asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """List the public names."""
    return __all__
