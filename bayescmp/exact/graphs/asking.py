"""One graph, asked by name: its exact marginals, and which evidence cannot be."""

from collections.abc import Callable
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bayescmp.exact.graphs.elimination import marginals
from bayescmp.exact.graphs.elimination_order import plan_elimination, reject_wide
from bayescmp.exact.graphs.factor_graph import FactorGraph
from bayescmp.exact.graphs.named_graph import Evidence, NamedGraph
from bayescmp.exact.graphs.summing import LogPotentials, LogTables

Solver = Callable[
    [LogTables, LogPotentials], tuple[Float[Array, ""], tuple[Float[Array, " _"], ...]]
]


def ask_graph(
    graph: NamedGraph, evidence: Evidence | None = None
) -> dict[str, Float[np.ndarray, " value"]]:
    """Return the probabilities of every variable given what is seen, exactly.

    ``p(x_v | evidence)`` by variable elimination, in float64.

    Args:
        graph: Graph with its tables.
        evidence: Number or name of the value that is seen, by variable.

    Returns:
        By name, one probability for each value.

    Raises:
        TypeError: If the graph or the evidence is something else.
        ValueError: If there is no such variable or value, the evidence has probability zero
            (the message says which piece), or elimination would need too large a table.

    Example:
        >>> from bayescmp.exact.graphs.asking import ask_graph
        >>> from bayescmp.exact.graphs.named_graph import NamedGraph
        >>> factors = {("flu",): [0.9, 0.1], ("flu", "fever"): [[0.98, 0.02], [0.1, 0.9]]}
        >>> ask_graph(NamedGraph.from_factors(factors), {"fever": 1})["flu"].round(3)
        array([0.167, 0.833])
    """
    evidence = evidence or {}
    log_total, probs = _solve(graph, evidence)
    if np.isneginf(log_total):
        raise ValueError(
            f"evidence: expected values that are possible together, got "
            f"{explain_impossible(graph, evidence)}"
        )
    return dict(zip(graph.names, probs, strict=True))


def explain_impossible(graph: NamedGraph, evidence: Evidence) -> str | None:
    """Name the first piece of evidence that has probability zero given those before it.

    The pieces before it are thinned out, the first of them first, to a set of which none can be
    missed.

    Args:
        graph: Graph with its tables.
        evidence: Number or name of the value that is seen, by variable, in any order.

    Returns:
        The piece and those that rule it out, in words; None where all is possible.

    Raises:
        TypeError: If the graph or the evidence is something else.
        ValueError: If there is no such variable or value.

    Example:
        >>> from bayescmp.exact.graphs.asking import explain_impossible
        >>> from bayescmp.exact.graphs.named_graph import NamedGraph
        >>> factors = {("flu", "smell"): [[1.0, 0.0], [0.6, 0.4]]}
        >>> names = {"flu": ("no", "yes"), "smell": ("kept", "lost")}
        >>> graph = NamedGraph.from_factors(factors, values=names)
        >>> explain_impossible(graph, {"flu": "no", "smell": "lost"})
        'smell=lost, which has probability zero given flu=no'
    """
    found = find_impossible(graph, evidence)
    if found is None:
        return None
    if not found:
        return "a graph of which no setting is possible"
    piece, *others = [_say(graph, name, evidence[name]) for name in reversed(found)]
    given = f" given {', '.join(reversed(others))}" if others else ""
    return f"{piece}, which has probability zero{given}"


def find_impossible(graph: NamedGraph, evidence: Evidence) -> tuple[str, ...] | None:
    """Find pieces of evidence that are impossible together, none of which can be missed.

    Args:
        graph: Graph with its tables.
        evidence: Number or name of the value that is seen, by variable, in any order.

    Returns:
        Their names in the order of the evidence, the last of them the first that is impossible
        given those before it; none where the graph itself allows nothing; None where all is
        possible.

    Raises:
        ValueError: If there is no such variable or value.
    """
    if _is_possible(graph, evidence):
        return None
    names = list(evidence)
    # What is impossible stays so with more evidence.
    first = next(
        i for i in range(len(names) + 1) if not _is_possible(graph, _part(evidence, names[:i]))
    )
    kept = names[:first]
    for name in names[: max(first - 1, 0)]:
        fewer = [other for other in kept if other != name]
        if not _is_possible(graph, _part(evidence, fewer)):
            kept = fewer
    return tuple(kept)


def _part(evidence: Evidence, names: list[str]) -> Evidence:
    return {name: evidence[name] for name in names}


def _is_possible(graph: NamedGraph, evidence: Evidence) -> bool:
    return not np.isneginf(_solve(graph, evidence)[0])


def _solve(
    graph: NamedGraph, evidence: Evidence
) -> tuple[np.ndarray, tuple[Float[np.ndarray, " value"], ...]]:
    if not isinstance(graph, NamedGraph):
        raise TypeError(
            f"graph: expected a NamedGraph, of NamedGraph.from_factors or read_graph, got "
            f"{type(graph).__name__}"
        )
    with jax.enable_x64(True):
        log_tables = tuple(map(jnp.asarray, graph.log_tables))
        solve = _solver(graph.graph)
        return jax.tree.map(np.asarray, solve(log_tables, graph.log_potentials(evidence)))


@lru_cache(maxsize=64)
def _solver(graph: FactorGraph) -> Solver:
    """Compile elimination once for each structure."""
    plan = plan_elimination(graph.scopes, graph.sizes)
    reject_wide(plan)
    return jax.jit(partial(marginals, plan, graph.scopes))


def _say(graph: NamedGraph, name: str, value: int | str) -> str:
    variable = graph.names.index(name)
    return f"{name}={graph.values[variable][graph.find_value(variable, value)]}"
