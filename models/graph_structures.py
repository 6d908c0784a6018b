"""Factor graphs by name: chains, stars, trees, cycles, complete graphs and grids.

Each function returns scopes and sizes; the numbers come from a law of tables. All variables
have the same number of values.
"""

from itertools import combinations

import numpy as np

from bayescmp.exact.graphs.factor_graph import FactorGraph
from bayescmp.models.arguments import require_at_least


def chain(num_variables: int, num_values: int = 2) -> FactorGraph:
    """Tie each variable to the next.

    Args:
        num_variables: Number of variables, at least two.
        num_values: Number of values of each, at least two.

    Returns:
        The graph, a tree of diameter ``num_variables - 1``.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> bc.models.graph_structures.chain(3).scopes
        ((0, 1), (1, 2))
    """
    require_at_least("num_variables", num_variables, 2)
    return _graph([(v, v + 1) for v in range(num_variables - 1)], num_variables, num_values)


def star(num_variables: int, num_values: int = 2) -> FactorGraph:
    """Tie the first variable to each of the others.

    Args:
        num_variables: Number of variables, at least two.
        num_values: Number of values of each, at least two.

    Returns:
        The graph, a tree of diameter 2.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> bc.models.graph_structures.star(4).scopes
        ((0, 1), (0, 2), (0, 3))
    """
    require_at_least("num_variables", num_variables, 2)
    return _graph([(0, v) for v in range(1, num_variables)], num_variables, num_values)


def tree(depth: int, branching: int, *, arity: int = 2, num_values: int = 2) -> FactorGraph:
    """Grow a regular tree: below each variable hang factors of ``arity - 1`` new ones each.

    Args:
        depth: Factors between the root and each leaf, at least one.
        branching: Factors below each variable that is no leaf, at least one.
        arity: Variables of each factor, at least two.
        num_values: Number of values of each variable, at least two.

    Returns:
        The graph, numbered level by level. Its diameter is ``2 depth``; with one factor below
        the root ``2 depth - 1``, and ``depth`` where all are pairs as well, a chain.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> bc.models.graph_structures.tree(depth=1, branching=2, arity=3).scopes
        ((0, 1, 2), (0, 3, 4))
    """
    for name, value in {"depth": depth, "branching": branching}.items():
        require_at_least(name, value, 1)
    require_at_least("arity", arity, 2)
    scopes: list[tuple[int, ...]] = []
    level, count = [0], 1
    for _ in range(depth):
        below = []
        for variable in level:
            for _ in range(branching):
                new = range(count, count + arity - 1)
                scopes.append((variable, *new))
                below.extend(new)
                count += arity - 1
        level = below
    return _graph(scopes, count, num_values)


def random_tree(
    num_variables: int, *, num_children: int | None = None, num_values: int = 2, seed: int = 0
) -> FactorGraph:
    """Draw a tree once: each variable hangs below one of those before it, all equally likely.

    Args:
        num_variables: Number of variables, at least two.
        num_children: Most variables below another; None for no limit.
        num_values: Number of values of each, at least two.
        seed: Seed of the draw.

    Returns:
        The graph.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> bc.models.graph_structures.random_tree(6, num_children=2).is_tree
        True
    """
    require_at_least("num_variables", num_variables, 2)
    limit = num_variables if num_children is None else num_children
    require_at_least("num_children", limit, 1)
    rng, below = np.random.default_rng(seed), np.zeros(num_variables, int)
    scopes = []
    for variable in range(1, num_variables):
        parent = int(rng.choice(np.flatnonzero(below[:variable] < limit)))
        below[parent] += 1
        scopes.append((parent, variable))
    return _graph(scopes, num_variables, num_values)


def cycle(num_variables: int, num_values: int = 2) -> FactorGraph:
    """Tie variables into a ring: a triangle of three, a square of four.

    Args:
        num_variables: Number of variables, at least three.
        num_values: Number of values of each, at least two.

    Returns:
        The graph, with one loop.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> bc.models.graph_structures.cycle(3).scopes
        ((0, 1), (1, 2), (2, 0))
    """
    require_at_least("num_variables", num_variables, 3)
    scopes = [(v, (v + 1) % num_variables) for v in range(num_variables)]
    return _graph(scopes, num_variables, num_values)


def complete(num_variables: int, num_values: int = 2) -> FactorGraph:
    """Tie each variable to every other: K4 of four.

    Args:
        num_variables: Number of variables, at least two.
        num_values: Number of values of each, at least two.

    Returns:
        The graph.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> len(bc.models.graph_structures.complete(4).scopes)
        6
    """
    require_at_least("num_variables", num_variables, 2)
    return _graph(list(combinations(range(num_variables), 2)), num_variables, num_values)


def grid(num_rows: int, num_columns: int, num_values: int = 2) -> FactorGraph:
    """Tie each variable of a rectangle to its neighbours.

    Args:
        num_rows: Number of rows, at least one.
        num_columns: Number of columns, at least one, and two variables in all.
        num_values: Number of values of each variable, at least two.

    Returns:
        The graph, numbered row by row.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> bc.models.graph_structures.grid(2, 2).scopes
        ((0, 1), (2, 3), (0, 2), (1, 3))
    """
    for name, value in {"num_rows": num_rows, "num_columns": num_columns}.items():
        require_at_least(name, value, 1)
    require_at_least("num_rows * num_columns", num_rows * num_columns, 2)
    numbers = np.arange(num_rows * num_columns).reshape(num_rows, num_columns)
    across = np.stack([numbers[:, :-1], numbers[:, 1:]], -1).reshape(-1, 2)
    down = np.stack([numbers[:-1], numbers[1:]], -1).reshape(-1, 2)
    scopes = [tuple(pair) for pair in np.concatenate([across, down]).tolist()]
    return _graph(scopes, numbers.size, num_values)


def with_fields(graph: FactorGraph) -> FactorGraph:
    """Give each variable a factor of its own, after all others.

    Args:
        graph: Scopes and sizes.

    Returns:
        The graph with one more factor for each variable.

    Example:
        >>> graph = bc.models.graph_structures.chain(2)
        >>> bc.models.graph_structures.with_fields(graph).scopes
        ((0, 1), (0,), (1,))
    """
    alone = tuple((variable,) for variable in range(len(graph.sizes)))
    return FactorGraph((*graph.scopes, *alone), graph.sizes)


def _graph(scopes: list[tuple[int, ...]], num_variables: int, num_values: int) -> FactorGraph:
    require_at_least("num_values", num_values, 2)
    return FactorGraph(tuple(scopes), (num_values,) * num_variables)
