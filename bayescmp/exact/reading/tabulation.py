"""Tables of conditional laws, from as few runs of a program as it takes.

Variables that never meet in one family may move together: they share a colour, as columns do
in the estimation of sparse Jacobians (Curtis, Powell and Reid 1974). One run for each setting
of a family's colours then fills the tables of all families with these colours at once, so a
Markov chain of any length with S states takes S + S^2 runs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from bayescmp.exact.reading.elements import constant
from bayescmp.exact.reading.variables import BINS, SiteVariables, log_densities
from bayescmp.layout import Layout
from bayescmp.program import Program, blank_values

MAX_TABLE = 2**22
"""Largest number of entries in one table: 32 MiB in 64 bits."""

CHUNK = 1_024
"""Runs of the program at once."""


@dataclass(frozen=True)
class Family:
    """An element of a site together with the variables that its law depends on."""

    site: str
    element: int | None
    """Which element; None for all of a site in one number."""
    scope: tuple[int, ...]
    """Parents, and then the variable itself where it is one."""
    child: int | None
    """The variable whose law this is; None for elements that are fixed."""
    depends_on_fixed: bool = False
    """Whether the table differs from example to example."""
    depends_on_conditions: bool = False
    """Whether the law depends on given sites or fixed latents."""
    leans_on: tuple[tuple[str, int], ...] = ()
    """Sites and steps of the continuous values, beside its own, that the law depends on."""

    def without(self, axis: int) -> "Family":
        """Return the family without one of its scope."""
        return replace(self, scope=self.scope[:axis] + self.scope[axis + 1 :])


def tabulate(
    program: Program,
    layout: Layout,
    sites: Sequence[SiteVariables],
    families: Sequence[Family],
    values: dict[str, Array],
) -> tuple[Array, ...]:
    """Compute the log tables of some families.

    Args:
        program: NumPyro program without arguments.
        layout: The program's layout.
        sites: All variables.
        families: Families whose tables are wanted.
        values: Values of all sites that are fixed.

    Returns:
        One table for each family, axes in the order of its scope, log probabilities in nats;
        quadrature weights are included. The bins of a question are one more axis.

    Raises:
        ValueError: If a table would be too large.
    """
    sizes = [site.num_values for site in sites for _ in range(site.num_variables)]
    colours = colour_variables([family.scope for family in families], sizes)
    groups: dict[tuple[int, ...], list[int]] = {}
    for number, family in enumerate(families):
        groups.setdefault(tuple(sorted(colours[v] for v in family.scope)), []).append(number)
    tables: dict[int, Array] = {}
    for used, members in groups.items():
        group = [families[number] for number in members]
        found = _fill(program, layout, sites, group, values, used, colours)
        tables.update(zip(members, found, strict=True))
    return tuple(tables[number] for number in range(len(families)))


def colour_variables(scopes: Sequence[tuple[int, ...]], sizes: Sequence[int]) -> list[int]:
    """Colour variables so that those of one scope all differ, greedily, the largest first.

    Args:
        scopes: Variables of each family.
        sizes: Number of values of each variable.

    Returns:
        One colour for each variable.

    Example:
        >>> colour_variables([(0, 1), (1, 2), (2, 3)], [2, 2, 2, 2])
        [0, 1, 0, 1]
    """
    neighbours: list[set[int]] = [set() for _ in sizes]
    for scope in scopes:
        for variable in scope:
            neighbours[variable].update(scope)
    colours = [-1] * len(sizes)
    for variable in sorted(range(len(sizes)), key=lambda v: -sizes[v]):
        taken = {colours[other] for other in neighbours[variable]}
        colours[variable] = next(c for c in range(len(sizes)) if c not in taken)
    return colours


def _fill(
    program: Program,
    layout: Layout,
    sites: Sequence[SiteVariables],
    group: list[Family],
    values: dict[str, Array],
    used: tuple[int, ...],
    colours: list[int],
) -> list[Array]:
    """Compute the tables of all families that have the same colours."""
    sizes = [site.num_values for site in sites for _ in range(site.num_variables)]
    extent = {c: max(sizes[v] for f in group for v in f.scope if colours[v] == c) for c in used}
    grid = tuple(extent[colour] for colour in used)
    _reject_large(group[0], sites, grid)

    types = {name: value.dtype for name, value in blank_values(program).items()}

    def run(number: Array) -> list[Array]:
        place = dict(zip(used, jnp.unravel_index(number, grid), strict=True)) if used else {}
        drawn, weights = _values_of_colours(sites, colours, place)
        inputs = {name: x.astype(types[name]) for name, x in {**values, **drawn}.items()}
        found = log_densities(program, layout, inputs)
        return [_pick(found, weights, family, layout) for family in group]

    flat = jax.lax.map(run, jnp.arange(math.prod(grid)), batch_size=min(CHUNK, math.prod(grid)))
    tables = []
    for family, column in zip(group, flat, strict=True):
        table = column.reshape(*grid, *column.shape[1:])
        order = [used.index(colours[v]) for v in family.scope]
        table = jnp.transpose(table, (*order, *range(len(used), table.ndim)))
        tables.append(table[tuple(slice(sizes[v]) for v in family.scope)])
    return tables


def _values_of_colours(
    sites: Sequence[SiteVariables], colours: list[int], place: dict[int, Array]
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Give every variable the value, and the log weight, that its colour has now."""
    drawn, weights = {}, {}
    zero = jnp.zeros((), int)
    for site in sites:
        numbers = range(site.first, site.first + site.num_variables)
        at = jnp.stack([place.get(colours[v], zero) for v in numbers])
        at = jnp.minimum(at, site.num_values - 1)
        event_shape = site.element.values.shape[1:]
        drawn[site.name] = constant(site.element.values)[at].reshape(
            *site.batch_shape, *event_shape
        )
        weights[site.name] = constant(site.element.log_weights)[at]
    return drawn, weights


def _pick(
    found: dict[str, Array], weights: dict[str, Array], family: Family, layout: Layout
) -> Array:
    """Return the log probability of a family's element, with its quadrature weight."""
    log_probs = found[family.site]
    if family.element is None:
        return jnp.sum(log_probs)
    if family.site == BINS:
        return log_probs[family.element]
    if family.child is not None:
        return jnp.ravel(log_probs)[family.element] + weights[family.site][family.element]
    if family.site in {site.name for site in (*layout.query, layout.outcome)}:
        return jnp.sum(log_probs.reshape(layout.length, -1)[family.element])
    return jnp.ravel(log_probs)[family.element]


def _reject_large(family: Family, sites: Sequence[SiteVariables], grid: tuple[int, ...]) -> None:
    """Check that a table fits into memory."""
    if math.prod(grid) > MAX_TABLE:
        owner = {v: site.name for site in sites for v in np.ravel(site.numbers).tolist()}
        names = sorted({owner[v] for v in family.scope if v != family.child})
        raise ValueError(
            f"program: expected tables of at most {MAX_TABLE:,} entries, got "
            f"{math.prod(grid):,} for site {family.site!r}, which depends on "
            f"{len(family.scope) - 1} elements of {names}; use engine='monte carlo'"
        )
