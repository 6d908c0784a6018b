"""Bayesian networks as factor graphs: a conditional table for each variable given its parents."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from bayescmp.exact.graphs.factor_graph import FactorGraph
from bayescmp.exact.graphs.summing import LogPotentials, LogTables
from bayescmp.models.arguments import require_at_least, require_positive
from bayescmp.models.table_laws import Sites, TableLaw, no_fields


def bayesian_network(parents: Sequence[Sequence[int]], num_values: int = 2) -> FactorGraph:
    """Give each variable a factor with its parents; the variable itself stands last.

    Args:
        parents: Numbers of the parents of each variable, all lower than its own.
        num_values: Number of values of each variable, at least two.

    Returns:
        The graph. Parents of one variable are tied together by its factor, so that a network
        whose arrows form a tree makes a factor graph without loops.

    Raises:
        ValueError: If a parent does not come before its child, or is named twice.

    Example:
        >>> bc.models.bayesian_network([(), (), (0, 1)]).scopes
        ((0,), (1,), (0, 1, 2))
    """
    require_at_least("num_values", num_values, 2)
    for variable, own in enumerate(parents):
        if not set(own) <= set(range(variable)):
            raise ValueError(
                f"parents: expected numbers below {variable} for variable {variable}, got "
                f"{tuple(own)}; a network with a cycle is none"
            )
    scopes = tuple((*own, variable) for variable, own in enumerate(parents))
    return FactorGraph(scopes, (num_values,) * len(scopes))


def random_parents(
    num_variables: int, num_parents: int, *, seed: int = 0
) -> tuple[tuple[int, ...], ...]:
    """Draw parents once: each variable has as many as it can, up to a number, all equally likely.

    Args:
        num_variables: Number of variables, at least two.
        num_parents: Most parents of a variable, at least one.
        seed: Seed of the draw.

    Returns:
        The parents of each variable, in the order of their numbers.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> [len(own) for own in bc.models.random_parents(4, num_parents=2)]
        [0, 1, 2, 2]
    """
    require_at_least("num_variables", num_variables, 2)
    require_at_least("num_parents", num_parents, 1)
    rng = np.random.default_rng(seed)
    draws = (rng.choice(v, min(v, num_parents), replace=False) for v in range(1, num_variables))
    return ((), *(tuple(sorted(draw.tolist())) for draw in draws))


@dataclass(frozen=True)
class ConditionalTables(TableLaw):
    """A law of each variable for every setting of its parents, drawn for each sequence.

    ``p(x_v | parents) ~ Dirichlet(concentration, ..., concentration)`` in site ``rows``, factor
    after factor, one row for each setting of the parents, the last parent fastest. The product
    of all is the joint law itself.

    Example:
        >>> graph = bc.models.bayesian_network([(), (), (0, 1)])
        >>> model = bc.models.FactorGraphModel(graph, ConditionalTables(concentration=0.5))
        >>> model.sites["rows"].shape  # one row each without parents, four with two
        (6, 2)
    """

    concentration: float = 1.0
    """Concentration of every component, positive: below one most rows are nearly certain."""

    def __post_init__(self) -> None:
        """Check the number.

        Raises:
            ValueError: If it is not positive.
        """
        require_positive("concentration", self.concentration)

    @property
    def site_names(self) -> tuple[str, ...]:
        """All rows stand in one site."""
        return ("rows",)

    def draw(self, graph: FactorGraph) -> Sites:
        """Draw all rows."""
        with numpyro.plate("row", sum(_num_rows(graph))):
            law = dist.Dirichlet(jnp.full(graph.sizes[0], self.concentration))
            rows = numpyro.sample("rows", law)
        return {"rows": jnp.asarray(rows)}

    def weigh(self, graph: FactorGraph, sites: Sites) -> tuple[LogTables, LogPotentials]:
        """Cut the rows into tables."""
        ends = np.cumsum(_num_rows(graph))[:-1].tolist()
        parts = zip(graph.scopes, jnp.split(jnp.log(sites["rows"]), ends), strict=True)
        tables = (part.reshape(tuple(graph.sizes[v] for v in scope)) for scope, part in parts)
        return tuple(tables), no_fields(graph)

    def describe(self) -> str:
        """Return a few words for a title."""
        return f"Dirichlet({self.concentration:g}) rows"

    def check(self, graph: FactorGraph, factors: tuple[str, ...]) -> None:
        """Check that each variable is the last of one factor, and all have equally many values."""
        last = [scope[-1] for scope in graph.scopes]
        if sorted(last) != list(range(len(graph.sizes))) or len(set(graph.sizes)) > 1:
            raise ValueError(
                "graph: expected one factor for each variable, that variable last, and equally "
                f"many values of all, as bayesian_network makes it, got factors {factors}"
            )

    def reject(
        self, graph: FactorGraph, factors: tuple[str, ...], sites: dict[str, np.ndarray]
    ) -> None:
        """Reject nothing: that rows are laws is checked for every site of laws."""


def _num_rows(graph: FactorGraph) -> list[int]:
    return [int(np.prod([graph.sizes[v] for v in scope[:-1]])) for scope in graph.scopes]
