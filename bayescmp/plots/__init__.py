"""Figures of a comparison: each function takes a DataTree and returns a matplotlib Figure.

matplotlib is imported when the first figure function is asked for, not before.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bayescmp.plots.attention import plot_attention, plot_attention_entropy
    from bayescmp.plots.calibration import plot_calibration
    from bayescmp.plots.divergence import plot_divergence
    from bayescmp.plots.dynamics import plot_lens_dynamics, plot_phases, plot_settling
    from bayescmp.plots.geometry import plot_heads, plot_manifolds, plot_similarity
    from bayescmp.plots.gradients import plot_alignment
    from bayescmp.plots.interventions import plot_ablations, plot_steering, plot_swaps
    from bayescmp.plots.ladder import plot_ladder
    from bayescmp.plots.layers import plot_layer_rungs, plot_layers
    from bayescmp.plots.lenses import plot_lens_means, plot_lens_rungs, plot_lenses
    from bayescmp.plots.predictives import plot_predictives
    from bayescmp.plots.probes import plot_probe_bits, plot_probes
    from bayescmp.plots.simplex import plot_simplex
    from bayescmp.plots.training import plot_training
    from bayescmp.plots.walkthrough import plot_walkthrough, plot_walkthrough_attention

__all__ = [
    "plot_ablations",
    "plot_alignment",
    "plot_attention",
    "plot_attention_entropy",
    "plot_calibration",
    "plot_divergence",
    "plot_heads",
    "plot_ladder",
    "plot_layer_rungs",
    "plot_layers",
    "plot_lens_dynamics",
    "plot_lens_means",
    "plot_lens_rungs",
    "plot_lenses",
    "plot_manifolds",
    "plot_phases",
    "plot_predictives",
    "plot_probe_bits",
    "plot_probes",
    "plot_settling",
    "plot_similarity",
    "plot_simplex",
    "plot_steering",
    "plot_swaps",
    "plot_training",
    "plot_walkthrough",
    "plot_walkthrough_attention",
]

_MODULES = {
    "plot_ablations": "interventions",
    "plot_alignment": "gradients",
    "plot_attention": "attention",
    "plot_attention_entropy": "attention",
    "plot_calibration": "calibration",
    "plot_divergence": "divergence",
    "plot_heads": "geometry",
    "plot_ladder": "ladder",
    "plot_layer_rungs": "layers",
    "plot_layers": "layers",
    "plot_lens_dynamics": "dynamics",
    "plot_lens_means": "lenses",
    "plot_lens_rungs": "lenses",
    "plot_lenses": "lenses",
    "plot_manifolds": "geometry",
    "plot_phases": "dynamics",
    "plot_predictives": "predictives",
    "plot_probe_bits": "probes",
    "plot_probes": "probes",
    "plot_settling": "dynamics",
    "plot_similarity": "geometry",
    "plot_simplex": "simplex",
    "plot_steering": "interventions",
    "plot_swaps": "interventions",
    "plot_training": "training",
    "plot_walkthrough": "walkthrough",
    "plot_walkthrough_attention": "walkthrough",
}


def __getattr__(name: str) -> object:
    """Import the module of a figure function when the function is first asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """List the public names."""
    return __all__
