"""Figures of a comparison: each function takes a DataTree and returns a matplotlib Figure.

matplotlib is imported when the first figure function is asked for, not before.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bayescmp.plots.attention import plot_attention, plot_attention_entropy
    from bayescmp.plots.belief_propagation import (
        plot_construction,
        plot_following,
        plot_loops,
    )
    from bayescmp.plots.calibration import plot_calibration
    from bayescmp.plots.coverage import (
        plot_coverage,
        plot_coverage_by_position,
        plot_coverage_streams,
    )
    from bayescmp.plots.decisions import plot_decisions
    from bayescmp.plots.divergence import plot_divergence
    from bayescmp.plots.dynamics import plot_lens_dynamics, plot_phases, plot_settling
    from bayescmp.plots.edits import plot_edits
    from bayescmp.plots.exchangeability import plot_drift, plot_order_gaps
    from bayescmp.plots.geometry import plot_heads, plot_manifolds, plot_similarity
    from bayescmp.plots.gradients import plot_alignment
    from bayescmp.plots.grounding import plot_grounding
    from bayescmp.plots.interventions import plot_ablations, plot_steering, plot_swaps
    from bayescmp.plots.ladder import plot_ladder
    from bayescmp.plots.layers import plot_layer_rungs, plot_layers
    from bayescmp.plots.lens_heads import plot_lens_heads, plot_lens_positions
    from bayescmp.plots.lenses import plot_lens_means, plot_lens_rungs, plot_lenses
    from bayescmp.plots.local_calibration import (
        plot_local_calibration,
        plot_local_calibration_streams,
    )
    from bayescmp.plots.pit import plot_pit, plot_pit_streams
    from bayescmp.plots.posterior import plot_posterior
    from bayescmp.plots.predictives import plot_predictives
    from bayescmp.plots.probe_heads import plot_probe_heads
    from bayescmp.plots.probes import plot_probe_bits, plot_probes
    from bayescmp.plots.reliability import (
        plot_calibration_errors,
        plot_reliability,
        plot_reliability_streams,
    )
    from bayescmp.plots.rounds import plot_rounds
    from bayescmp.plots.runs import (
        plot_runs,
        plot_runs_divergence,
        plot_runs_layers,
        plot_runs_training,
    )
    from bayescmp.plots.saving import save
    from bayescmp.plots.sbc import plot_sbc
    from bayescmp.plots.selective import plot_selective
    from bayescmp.plots.shift import plot_pools, plot_shift
    from bayescmp.plots.simplex import plot_simplex
    from bayescmp.plots.starts import plot_starts
    from bayescmp.plots.training import plot_training
    from bayescmp.plots.uncertainty import plot_prediction_sets, plot_uncertainty
    from bayescmp.plots.walkthrough import plot_walkthrough, plot_walkthrough_attention

__all__ = [
    "plot_ablations",
    "plot_alignment",
    "plot_attention",
    "plot_attention_entropy",
    "plot_calibration",
    "plot_calibration_errors",
    "plot_construction",
    "plot_coverage",
    "plot_coverage_by_position",
    "plot_coverage_streams",
    "plot_decisions",
    "plot_divergence",
    "plot_drift",
    "plot_edits",
    "plot_following",
    "plot_grounding",
    "plot_heads",
    "plot_ladder",
    "plot_layer_rungs",
    "plot_layers",
    "plot_lens_dynamics",
    "plot_lens_heads",
    "plot_lens_means",
    "plot_lens_positions",
    "plot_lens_rungs",
    "plot_lenses",
    "plot_local_calibration",
    "plot_local_calibration_streams",
    "plot_loops",
    "plot_manifolds",
    "plot_order_gaps",
    "plot_phases",
    "plot_pit",
    "plot_pit_streams",
    "plot_pools",
    "plot_posterior",
    "plot_prediction_sets",
    "plot_predictives",
    "plot_probe_bits",
    "plot_probe_heads",
    "plot_probes",
    "plot_reliability",
    "plot_reliability_streams",
    "plot_rounds",
    "plot_runs",
    "plot_runs_divergence",
    "plot_runs_layers",
    "plot_runs_training",
    "plot_sbc",
    "plot_selective",
    "plot_settling",
    "plot_shift",
    "plot_similarity",
    "plot_simplex",
    "plot_starts",
    "plot_steering",
    "plot_swaps",
    "plot_training",
    "plot_uncertainty",
    "plot_walkthrough",
    "plot_walkthrough_attention",
    "save",
]

_MODULES = {
    "plot_ablations": "interventions",
    "plot_alignment": "gradients",
    "plot_attention": "attention",
    "plot_attention_entropy": "attention",
    "plot_calibration": "calibration",
    "plot_calibration_errors": "reliability",
    "plot_construction": "belief_propagation",
    "plot_coverage": "coverage",
    "plot_coverage_by_position": "coverage",
    "plot_coverage_streams": "coverage",
    "plot_decisions": "decisions",
    "plot_divergence": "divergence",
    "plot_drift": "exchangeability",
    "plot_edits": "edits",
    "plot_following": "belief_propagation",
    "plot_grounding": "grounding",
    "plot_heads": "geometry",
    "plot_ladder": "ladder",
    "plot_layer_rungs": "layers",
    "plot_layers": "layers",
    "plot_lens_dynamics": "dynamics",
    "plot_lens_heads": "lens_heads",
    "plot_lens_means": "lenses",
    "plot_lens_positions": "lens_heads",
    "plot_lens_rungs": "lenses",
    "plot_lenses": "lenses",
    "plot_local_calibration": "local_calibration",
    "plot_local_calibration_streams": "local_calibration",
    "plot_loops": "belief_propagation",
    "plot_manifolds": "geometry",
    "plot_order_gaps": "exchangeability",
    "plot_phases": "dynamics",
    "plot_pit": "pit",
    "plot_pit_streams": "pit",
    "plot_pools": "shift",
    "plot_posterior": "posterior",
    "plot_prediction_sets": "uncertainty",
    "plot_predictives": "predictives",
    "plot_probe_bits": "probes",
    "plot_probe_heads": "probe_heads",
    "plot_probes": "probes",
    "plot_reliability": "reliability",
    "plot_reliability_streams": "reliability",
    "plot_rounds": "rounds",
    "plot_runs": "runs",
    "plot_runs_divergence": "runs",
    "plot_runs_layers": "runs",
    "plot_runs_training": "runs",
    "plot_sbc": "sbc",
    "plot_selective": "selective",
    "plot_settling": "dynamics",
    "plot_shift": "shift",
    "plot_similarity": "geometry",
    "plot_simplex": "simplex",
    "plot_starts": "starts",
    "plot_steering": "interventions",
    "plot_swaps": "interventions",
    "plot_training": "training",
    "plot_uncertainty": "uncertainty",
    "plot_walkthrough": "walkthrough",
    "plot_walkthrough_attention": "walkthrough",
    "save": "saving",
}


def __getattr__(name: str) -> object:
    """Import the module of a figure function when the function is first asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """List the public names."""
    return __all__
