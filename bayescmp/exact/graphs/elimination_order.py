"""The order in which elimination sums variables out: several rules propose, the cheapest wins."""

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import opt_einsum

Scopes = tuple[tuple[int, ...], ...]
"""The variables of each factor, in the order of its table's axes."""

SEARCHED = 12
"""Number of factors up to which the path comes from a search, beyond it from a greedy rule."""


MAX_TABLE = 2**22
"""Largest number of entries of one intermediate table that elimination accepts."""


@dataclass(frozen=True)
class EliminationPlan:
    """An order in which to sum variables out, and what it costs."""

    order: tuple[int, ...]
    """Variables in the order of their elimination."""
    keep: tuple[int, ...]
    """Variables that are not summed out, in the order of the answer's axes."""
    width: int
    """Induced width: most variables in one table, less one. At best the graph's treewidth."""
    largest_table: int
    """Entries of the largest table that is built."""
    total_cost: int
    """Entries of all tables that are built."""


def plan_elimination(
    scopes: Scopes, sizes: tuple[int, ...], *, keep: tuple[int, ...] = ()
) -> EliminationPlan:
    """Plan a cheap order of elimination.

    Args:
        scopes: Variables of each factor, numbered from 0, in the order of its table's axes.
        sizes: Number of values of each variable.
        keep: Variables that the answer is a table of; none for a sum over everything.

    Returns:
        The plan, the same for the same arguments.

    Raises:
        ValueError: If a factor or ``keep`` repeats a variable or has one without a size.

    Example:
        >>> from bayescmp.exact.graphs.elimination_order import plan_elimination
        >>> plan = plan_elimination(((0, 1), (1, 2), (2, 3), (3, 0)), (2, 2, 2, 2))
        >>> plan.width, plan.largest_table, plan.total_cost
        (2, 8, 23)
    """
    check_scopes("scopes", scopes, len(sizes))
    check_scopes("keep", (keep,), len(sizes))
    order = find_order(scopes, sizes, keep)
    buckets = list_buckets(scopes, order, keep)
    entries = [count_entries(bucket, sizes) for bucket in buckets]
    return EliminationPlan(
        order=order,
        keep=keep,
        width=max(0, max(map(len, buckets)) - 1),
        largest_table=max(entries),
        total_cost=sum(entries),
    )


def reject_wide(plan: EliminationPlan, limit: int = MAX_TABLE) -> None:
    """Check that the largest table of a plan is small enough to be built.

    Args:
        plan: Plan of :func:`plan_elimination`.
        limit: Largest number of entries.

    Raises:
        ValueError: If it is not.
    """
    if plan.largest_table <= limit:
        return
    raise ValueError(
        f"program: expected tables of at most {limit:,} entries to eliminate its variables, got "
        f"{plan.largest_table:,} (a treewidth of up to {plan.width}); ask about fewer variables "
        "and enumerate these, take belief propagation as an approximate predictor, or use "
        "Monte Carlo"
    )


def check_scopes(name: str, scopes: Scopes, num_variables: int) -> None:
    """Refuse scopes that repeat a variable or have an unknown one."""
    for scope in scopes:
        if len(set(scope)) < len(scope) or not set(scope) <= set(range(num_variables)):
            raise ValueError(
                f"{name}: expected different variables out of 0 .. {num_variables - 1}, got {scope}"
            )


def list_buckets(
    scopes: Iterable[Iterable[int]], order: Sequence[int], keep: Iterable[int] = ()
) -> tuple[frozenset[int], ...]:
    """List the variables of every table that an elimination builds.

    Summing out ``v`` first joins all tables that mention it, so the table has ``v`` and all
    that stand beside it in any of them; what remains is a table without ``v``.

    Args:
        scopes: Variables of each factor.
        order: Variables in the order of elimination.
        keep: Variables of the final table.

    Returns:
        One set for each variable of ``order``, then the final table's set.
    """
    adjacency = _adjacency(scopes, (*order, *keep))
    buckets = []
    for variable in order:
        buckets.append(frozenset(adjacency[variable] | {variable}))
        _remove(adjacency, variable)
    return (*buckets, frozenset(keep))


def count_entries(bucket: Iterable[int], sizes: Sequence[int]) -> int:
    """Count the entries of a table over some variables."""
    return math.prod(sizes[variable] for variable in bucket)


def find_order(scopes: Scopes, sizes: Sequence[int], keep: Sequence[int]) -> tuple[int, ...]:
    """Find a cheap order in which to eliminate all variables but some.

    The candidates are the variables' own order, a pairwise contraction path of opt_einsum
    read as an order of variables (dynamic programming up to :data:`SEARCHED` factors, which
    is optimal among paths, else its greedy rule), and the greedy rules *fewest new neighbour
    pairs* and *smallest table*. The one whose tables have fewest entries in all is returned.

    Args:
        scopes: Variables of each factor.
        sizes: Number of values of each variable.
        keep: Variables that are not eliminated.

    Returns:
        Variables in the order of elimination.

    Source: U. Kjaerulff, Triangulation of graphs: algorithms giving small total state
    space, 1990, for the greedy rules.
    """
    candidates = (
        tuple(v for v in range(len(sizes)) if v not in keep),
        _path_order(scopes, sizes, keep),
        _greedy_order(scopes, sizes, keep, _fill_first),
        _greedy_order(scopes, sizes, keep, _size_first),
    )

    def cost(order: tuple[int, ...]) -> tuple[int, int]:
        entries = [count_entries(bucket, sizes) for bucket in list_buckets(scopes, order, keep)]
        return sum(entries), max(entries)

    return min(candidates, key=cost)


Adjacency = dict[int, set[int]]
Rule = Callable[[Adjacency, int, Sequence[int]], tuple[int, int]]
Search = Callable[
    [list[frozenset[int]], frozenset[int], dict[int, int]], Collection[tuple[int, ...]]
]


def _adjacency(scopes: Iterable[Iterable[int]], variables: Iterable[int]) -> Adjacency:
    """Join every two variables that share a factor."""
    adjacency: Adjacency = {variable: set() for variable in variables}
    for scope in scopes:
        for variable in scope:
            adjacency[variable].update(set(scope) - {variable})
    return adjacency


def _remove(adjacency: Adjacency, variable: int) -> set[int]:
    """Take a variable out, join its neighbours, and return them."""
    neighbours = adjacency.pop(variable)
    for other in neighbours:
        adjacency[other] |= neighbours - {other}
        adjacency[other].discard(variable)
    return neighbours


def _fill_first(adjacency: Adjacency, variable: int, sizes: Sequence[int]) -> tuple[int, int]:
    """Rank by the pairs of neighbours that would be joined, then by the table's entries."""
    neighbours = adjacency[variable]
    missing = sum(len(neighbours - adjacency[other]) - 1 for other in neighbours)
    return missing, count_entries((*neighbours, variable), sizes)


def _size_first(adjacency: Adjacency, variable: int, sizes: Sequence[int]) -> tuple[int, int]:
    """Rank by the table's entries, then by the pairs of neighbours that would be joined."""
    missing, entries = _fill_first(adjacency, variable, sizes)
    return entries, missing


def _greedy_order(
    scopes: Scopes, sizes: Sequence[int], keep: Sequence[int], rule: Rule
) -> tuple[int, ...]:
    """Eliminate the variable of lowest rank first; the lower number among equals."""
    adjacency = _adjacency((*scopes, keep), range(len(sizes)))
    free = set(range(len(sizes))) - set(keep)
    ranks = {variable: rule(adjacency, variable, sizes) for variable in free}
    order = []
    while ranks:
        variable = min(ranks, key=lambda v: (ranks[v], v))
        del ranks[variable]
        order.append(variable)
        neighbours = _remove(adjacency, variable)
        changed = neighbours.union(*(adjacency[other] for other in neighbours))
        ranks |= {other: rule(adjacency, other, sizes) for other in changed & ranks.keys()}
    return tuple(order)


def _path_order(scopes: Scopes, sizes: Sequence[int], keep: Sequence[int]) -> tuple[int, ...]:
    """Read an order of variables off a pairwise contraction path."""
    tables = _maximal(scopes)
    output = frozenset(keep)
    # The search knows no order among variables of a single table; nor do they need any.
    order = [v for v in range(len(sizes)) if v not in output and _mentions(tables, v) <= 1]
    tables = [table - set(order) for table in tables if not table <= set(order)]
    if len(tables) < 2:
        return tuple(order)
    paths = opt_einsum.paths
    few = len(tables) <= SEARCHED
    search = cast(Search, paths.dynamic_programming if few else paths.greedy)
    for chosen in search(tables, output, dict(enumerate(sizes))):
        joined = frozenset().union(*(tables[index] for index in chosen))
        tables = [table for index, table in enumerate(tables) if index not in chosen]
        done = sorted(v for v in joined - output if not _mentions(tables, v))
        order += done
        tables.append(joined - set(done))
    return tuple(order)


def _mentions(tables: Iterable[frozenset[int]], variable: int) -> int:
    return sum(variable in table for table in tables)


def _maximal(scopes: Scopes) -> list[frozenset[int]]:
    """Leave out scopes that lie within another: they add no variable to any table."""
    chosen: list[frozenset[int]] = []
    for scope in sorted(map(frozenset, scopes), key=lambda s: (-len(s), sorted(s))):
        if scope and not any(scope <= other for other in chosen):
            chosen.append(scope)
    return chosen
