"""A program as a product of conditional tables, read off its jaxpr.

Each element of a discrete site is a variable, and its law given all others is a table over
its parents and itself. Which variables are parents is proved on the jaxpr of the program's log
densities; parents on which a finished table does not depend after all are dropped again.
"""

from collections.abc import Collection
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Array

from bayescmp.exact.reading.elements import constant
from bayescmp.exact.reading.families import find_families
from bayescmp.exact.reading.leaks import reject_leaks
from bayescmp.exact.reading.tabulation import Family, tabulate
from bayescmp.exact.reading.variables import SiteVariables, list_variables
from bayescmp.layout import Layout
from bayescmp.program import Program, blank_values

NORMALISED = 1e-4
"""How far the probabilities of a table may sum from one: float32 parameters, up to a thousand
of them, round to 1000 * 6e-8."""


@dataclass(frozen=True, eq=False)
class FactoredProgram:
    """A program's joint law, given what is fixed, as a product of tables.

    ``p(variables | fixed) = prod_i table_i(variables in scope_i)``.
    """

    program: Program
    layout: Layout
    sites: tuple[SiteVariables, ...]
    families: tuple[Family, ...]
    """One for each variable, in an order in which parents come first; then one for each shown
    element that is continuous, one for the bins of each question, and those of given sites and
    fixed latents that depend on variables."""
    constants: tuple[np.ndarray | None, ...]
    """Table of each family; None where it depends on fixed values."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of values of each variable."""
        return tuple(site.num_values for site in self.sites for _ in range(site.num_variables))

    @property
    def is_exact(self) -> bool:
        """Whether every variable is discrete, so that nothing was replaced by nodes."""
        return not any(site.element.is_continuous for site in self.sites)

    def site(self, name: str) -> SiteVariables | None:
        """Return the variables of a site; None where it is fixed."""
        return next((site for site in self.sites if site.name == name), None)

    def tables(self, values: dict[str, Array]) -> tuple[Array, ...]:
        """Return the log table of each family for one example.

        Args:
            values: Values of all fixed sites.

        Returns:
            One table for each family, its axes in the order of the family's scope; the bins
            of a question are one more axis at the end. Log probabilities in nats.
        """
        pairs = zip(self.families, self.constants, strict=True)
        varying = [family for family, table in pairs if table is None]
        computed = iter(tabulate(self.program, self.layout, self.sites, varying, values))
        return tuple(
            next(computed) if table is None else constant(table) for table in self.constants
        )


def factor_program(
    program: Program,
    layout: Layout,
    *,
    fixed: Collection[str] = (),
    num_nodes: int = 64,
) -> FactoredProgram:
    """Read the variables of a program and their parents off its trace.

    Args:
        program: NumPyro program without arguments.
        layout: The program's layout.
        fixed: Latent sites to condition on, beside what the prompt gives and continuous
            sites that are shown.
        num_nodes: Quadrature nodes for each continuous variable.

    Returns:
        The program as a product of tables.

    Raises:
        ValueError: If a site has neither finitely many values nor quadrature nodes, a table
            would be too large, probabilities do not sum to one, or a law depends on a number
            that is shown only after it is needed.
    """
    given = {site.name for site in layout.given}
    shown = {site.name for site in layout.kept_sites if site.num_values is None} - given
    sites = list_variables(program, fixed={*given, *shown, *fixed}, num_nodes=num_nodes)
    families = find_families(program, layout, sites, fixed=fixed)
    reject_leaks(families, layout, sites)
    constants = _constant_tables(program, layout, sites, families)
    reduced = [
        _drop_idle_parents(family, table) for family, table in zip(families, constants, strict=True)
    ]
    for family, table in reduced:
        _reject_unnormalised(family, table)
    return FactoredProgram(
        program=program,
        layout=layout,
        sites=sites,
        families=tuple(family for family, _ in reduced),
        constants=tuple(table for _, table in reduced),
    )


def _constant_tables(
    program: Program, layout: Layout, sites: tuple[SiteVariables, ...], families: list[Family]
) -> list[np.ndarray | None]:
    """Compute once, in 64 bits, the tables that depend on nothing that is fixed."""
    settled = [family for family in families if not family.depends_on_fixed]
    with jax.enable_x64(True):
        values = blank_values(program)
        computed = jax.jit(lambda: tabulate(program, layout, sites, settled, values))()
    tables = iter([np.asarray(table, np.float64) for table in computed])
    return [None if family.depends_on_fixed else next(tables) for family in families]


def _drop_idle_parents(
    family: Family, table: np.ndarray | None
) -> tuple[Family, np.ndarray | None]:
    """Drop parents along which a finished table does not change."""
    if table is None:
        return family, None
    for axis in reversed(range(len(family.scope))):
        first = table.take([0], axis=axis)
        if family.scope[axis] != family.child and np.array_equal(
            np.broadcast_to(first, table.shape), table
        ):
            table = first.squeeze(axis)
            family = family.without(axis)
    return family, table


def _reject_unnormalised(family: Family, table: np.ndarray | None) -> None:
    """Check that the values listed for a variable are all that it can take."""
    if table is None or family.child is None:
        return
    total = np.exp(table).sum(axis=-1)
    if not np.all(np.abs(total - 1.0) <= NORMALISED):
        raise ValueError(
            f"program: expected the probabilities of site {family.site!r} to sum to one, got "
            f"{float(total.flat[np.argmax(np.abs(total - 1.0))]):.6g}"
        )
