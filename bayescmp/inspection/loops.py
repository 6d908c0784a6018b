"""Belief propagation on graphs with loops, from weak couplings to strong ones, as a group."""

from collections.abc import Sequence

import jax
import numpy as np
import xarray as xr

from bayescmp._types import Key
from bayescmp.comparison.tally import BITS
from bayescmp.exact.graphs.loops import LOOPS, draw_couplings, draw_entries, measure_loops
from bayescmp.results.tree import make_dataset

LOW = 0.1
"""Least entry of the tables that loopy propagation was published on, drawn from U[0.1, 1]."""

Figures = dict[str, dict[str, dict[str, float]]]
"""Mean figures by graph, law of tables and name."""

FIGURES: tuple[str, ...] = (
    "mean_error",
    "worst_mean_error",
    "mean_kl",
    "converged",
    "uniform_error",
)
"""Names of the figures that are kept."""


def check_loops(
    graphs: Sequence[str],
    strengths: Sequence[float],
    *,
    num_draws: int,
    num_rounds: int = 200,
    key: Key,
) -> Figures:
    """Hold loopy belief propagation against exact marginals, in double precision.

    The first law of tables is the published one, entries ``U[0.1, 1]``; then couplings ``+-J``
    of each strength follow, with the same signs and fields for all.

    Args:
        graphs: Names of graphs, of ``bayescmp.exact.graphs.loops.LOOPS``.
        strengths: Couplings in nats, from weak to strong.
        num_draws: Tables that are drawn for each graph and law.
        num_rounds: Rounds of messages.
        key: Typed key of the tables.

    Returns:
        Means over draws.

    Raises:
        ValueError: If a graph is unknown.

    Example:
        >>> figures = check_loops(("triangle",), (1.0,), num_draws=20, key=jax.random.key(0))
        >>> list(figures["triangle"])
        ['entries U[0.1, 1]', 'couplings ±1']
    """
    unknown = sorted(set(graphs) - set(LOOPS))
    if unknown:
        raise ValueError(f"graphs: expected names among {', '.join(LOOPS)}, got {unknown[0]!r}")
    found: Figures = {}
    with jax.enable_x64(True):
        for number, name in enumerate(graphs):
            graph = LOOPS[name]
            key_entries, key_signs = jax.random.split(jax.random.fold_in(key, number))
            entries = draw_entries(graph, LOW, num_draws, key=key_entries)
            published = measure_loops(graph, *entries, num_rounds=num_rounds).summary()
            found[name] = {f"entries U[{LOW:g}, 1]": _pick(published)}
            for strength in strengths:  # one by one: all share one compiled program
                couplings = draw_couplings(graph, (strength,), num_draws, key=key_signs)
                summary = measure_loops(graph, *couplings, num_rounds=num_rounds).summary()
                found[name][f"couplings ±{strength:g}"] = _pick(summary)
    return found


def _pick(summary: dict[str, np.ndarray]) -> dict[str, float]:
    return {name: float(np.squeeze(summary[name])) for name in FIGURES}


def loops_group(found: Sequence[Figures], *, num_rounds: int) -> xr.Dataset:
    """Lay out what belief propagation comes to, graph by graph and law by law.

    Args:
        found: Figures of each seed, laws from the published one to the strongest.
        num_rounds: Rounds of messages.

    Returns:
        The group ``/loops``.
    """
    graphs = list(found[0])
    laws = list(found[0][graphs[0]])

    def table(name: str) -> np.ndarray:
        return np.array([[[one[g][law][name] for law in laws] for g in graphs] for one in found])

    error, converged = table("mean_error"), table("converged")
    arrays = {
        "error": error,
        "worst_error": table("worst_mean_error"),
        "kl": table("mean_kl") * BITS,
        "converged": converged,
        "half_error": table("uniform_error"),
        "published_error": error[..., 0].max(axis=1),
        "published_converged": converged[..., 0].min(axis=1),
        "strong_error": error[..., -1].max(axis=1),
        "strong_converged": converged[..., -1].min(axis=1),
    }
    coords = {"loop_graph": graphs, "table_law": laws}
    return make_dataset("/loops", arrays, coords, {"num_rounds": num_rounds})
