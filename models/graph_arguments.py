"""Checks of what describes a graph model: names, probabilities and what can be seen."""

from collections.abc import Iterable, Sequence
from numbers import Real

from bayescmp.exact.graphs.factor_graph import FactorGraph
from bayescmp.exact.graphs.graph_shape import GraphShape

_PLATES = ("position", "variable", "entry", "factor", "field_variable", "row")


def name_variables(
    graph: FactorGraph, names: Sequence[str] | None, taken: Iterable[str]
) -> tuple[str, ...]:
    """Return a name for each variable.

    Args:
        graph: Scopes and sizes.
        names: Chosen names; None for ``x0``, ``x1`` and so on.
        taken: Names of other sites.

    Returns:
        The names.

    Raises:
        TypeError: If they come as one string, or are none.
        ValueError: If there is not one for each variable, or two clash.
    """
    if isinstance(names, str) or not all(isinstance(name, str) for name in names or ()):
        raise TypeError(f"names: expected text for each variable, got {names!r}")
    found = tuple(f"x{v}" for v in range(len(graph.sizes))) if names is None else tuple(names)
    if len(found) != len(graph.sizes):
        raise ValueError(
            f"names: expected one for each of {len(graph.sizes)} variables, got {found}"
        )
    reserved = (*taken, *_PLATES)
    clash = sorted({name for name in found if found.count(name) > 1 or name in reserved})
    if clash:
        raise ValueError(
            f"names: expected different names, and none of {reserved}, got {clash[0]!r}"
        )
    return found


def require_kind(name: str, value: object, kind: type) -> None:
    """Raise unless an argument is of a kind.

    Args:
        name: Argument, for the message.
        value: What came.
        kind: Class that it has to be of.

    Raises:
        TypeError: If it is not.
    """
    if not isinstance(value, kind):
        raise TypeError(f"{name}: expected a {kind.__name__}, got {type(value).__name__}")


def require_probability(name: str, value: float) -> float:
    """Return a probability, or raise.

    Args:
        name: Argument, for the message.
        value: Number that came.

    Returns:
        The number.

    Raises:
        TypeError: If it is no number.
        ValueError: If it is not between 0 and 1.
    """
    if not isinstance(value, Real):
        raise TypeError(f"{name}: expected a probability, got {value!r}")
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name}: expected a probability, got {value}")
    return float(value)


def observable_variables(names: tuple[str, ...], chosen: Sequence[str] | None) -> tuple[str, ...]:
    """Return the variables that can be seen, in the order of all.

    Args:
        names: All variables.
        chosen: Some of them; None for all.

    Returns:
        Their names.

    Raises:
        TypeError: If they come as one string.
        ValueError: If one is unknown.
    """
    if isinstance(chosen, str):
        raise TypeError(f"observable: expected names of variables, got {chosen!r}")
    unknown = sorted(set(chosen or ()) - set(names))
    if unknown:
        raise ValueError(f"observable: expected names among {names}, got {unknown[0]!r}")
    return names if chosen is None else tuple(name for name in names if name in chosen)


def smallest_shape(graph: FactorGraph) -> GraphShape:
    """Return the bounds that a graph just keeps.

    Args:
        graph: Scopes and sizes.

    Returns:
        The shape.
    """
    joint = [scope for scope in graph.scopes if len(scope) > 1]
    ties = [sum(v in scope for scope in joint) for v in range(len(graph.sizes))]
    return GraphShape(
        num_variables=len(graph.sizes),
        num_values=max([2, *graph.sizes]),
        num_slots=max([1, *ties]),
        arity=max([2, *map(len, joint)]),
    )
