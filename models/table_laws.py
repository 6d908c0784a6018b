"""Where the numbers of a factor graph come from: a law for each sequence, or fixed numbers."""

import abc
import math
from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import opt_einsum
from jaxtyping import Array, ArrayLike

from bayescmp.exact.graphs.factor_graph import FactorGraph
from bayescmp.exact.graphs.summing import LogPotentials, LogTables
from bayescmp.exact.settings import constant

Sites = dict[str, Array]
"""Values of sites, by name."""


@dataclass(frozen=True)
class TableLaw(abc.ABC):
    """How the tables of a factor graph are drawn, and read off the sites that hold them."""

    @property
    @abc.abstractmethod
    def site_names(self) -> tuple[str, ...]:
        """Sites that hold the numbers of one sequence; none where they are fixed."""

    @abc.abstractmethod
    def draw(self, graph: FactorGraph) -> Sites:
        """Run the part of a NumPyro program that draws the numbers.

        Args:
            graph: Scopes and sizes.

        Returns:
            What was drawn, by name.
        """

    @abc.abstractmethod
    def weigh(self, graph: FactorGraph, sites: Sites) -> tuple[LogTables, LogPotentials]:
        """Return the log table of each factor and the log field of each variable, in nats.

        Args:
            graph: Scopes and sizes.
            sites: Values of this law's sites, by name.

        Returns:
            One table for each scope, and one vector for each variable.
        """

    @abc.abstractmethod
    def describe(self) -> str:
        """Return a few words for a title."""

    @abc.abstractmethod
    def reject(
        self, graph: FactorGraph, factors: tuple[str, ...], sites: dict[str, np.ndarray]
    ) -> None:
        """Check supplied numbers, beyond that they are finite.

        Args:
            graph: Scopes and sizes.
            factors: Name of each factor, for messages.
            sites: Values by name, any number of batch axes in front.

        Raises:
            ValueError: If they are no tables.
        """

    def check(self, graph: FactorGraph, factors: tuple[str, ...]) -> None:
        """Check that the law fits a graph.

        Args:
            graph: Scopes and sizes.
            factors: Name of each factor, for messages.

        Raises:
            ValueError: If it does not.
        """
        if not factors:
            raise ValueError("graph: expected at least one factor, got none")


@dataclass(frozen=True)
class UniformTables(TableLaw):
    """Every entry of every table uniform between a lowest weight and one.

    ``T_f(x_f) ~ U[low, 1]`` in site ``entries``, table after table, row by row. Variables have
    no fields of their own; give them factors of one variable for that.

    Source: Coppola, "Transformers are Bayesian Networks", arXiv 2603.17063: entries U[0.05, 1].

    Example:
        >>> bc.models.UniformTables(low=0.05).describe()
        'entries U[0.05, 1]'
    """

    low: float = 0.05
    """Smallest weight, from 0 to below 1."""

    def __post_init__(self) -> None:
        """Check the number.

        Raises:
            ValueError: If it is out of range.
        """
        if not 0.0 <= self.low < 1.0:
            raise ValueError(f"low: expected at least 0 and below 1, got {self.low}")

    @property
    def site_names(self) -> tuple[str, ...]:
        """All entries stand in one site."""
        return ("entries",)

    def draw(self, graph: FactorGraph) -> Sites:
        """Draw all entries."""
        with numpyro.plate("entry", sum(_table_sizes(graph))):
            entries = numpyro.sample("entries", dist.Uniform(self.low, 1.0))
        return {"entries": jnp.asarray(entries)}

    def weigh(self, graph: FactorGraph, sites: Sites) -> tuple[LogTables, LogPotentials]:
        """Cut the entries into tables."""
        return _cut(graph, jnp.log(sites["entries"])), no_fields(graph)

    def describe(self) -> str:
        """Return a few words for a title."""
        return f"entries U[{self.low:g}, 1]"

    def reject(
        self, graph: FactorGraph, factors: tuple[str, ...], sites: dict[str, np.ndarray]
    ) -> None:
        """Check that no table has a negative entry, or none that is positive."""
        entries = sites["entries"].reshape(-1, sum(_table_sizes(graph)))
        start = 0
        for factor, size in zip(factors, _table_sizes(graph), strict=True):
            for table in entries[:, start : start + size]:
                _reject_weights(factor, table)
            start += size


@dataclass(frozen=True, init=False)
class FixedTables(TableLaw):
    """The same tables for every sequence: a graph that is written down.

    A table has an axis for each variable of its factor, in the order of the scope; weights need
    not sum to one. A conditional table ``p(child | parents)`` is one whose last axis is the child.

    Example:
        >>> law = bc.models.FixedTables([[0.9, 0.1], [[0.8, 0.2], [0.1, 0.9]]])
        >>> law.shapes
        ((2,), (2, 2))
    """

    entries: tuple[tuple[float, ...], ...]
    """Weights of each table, row by row."""
    shapes: tuple[tuple[int, ...], ...]
    """Shape of each table."""

    def __init__(self, tables: Sequence[ArrayLike | Sequence]) -> None:
        """Write tables down.

        Args:
            tables: One array, or nested list, of weights for each factor.

        Raises:
            ValueError: If one is no table of numbers.
        """
        try:
            arrays = [np.asarray(table, float) for table in tables]
        except (TypeError, ValueError) as error:
            raise ValueError(f"tables: expected numbers for each factor, got {tables}") from error
        object.__setattr__(self, "entries", tuple(tuple(a.ravel().tolist()) for a in arrays))
        object.__setattr__(self, "shapes", tuple(a.shape for a in arrays))

    @property
    def site_names(self) -> tuple[str, ...]:
        """None: nothing is drawn."""
        return ()

    def draw(self, graph: FactorGraph) -> Sites:
        """Draw nothing."""
        return {}

    def weigh(self, graph: FactorGraph, sites: Sites) -> tuple[LogTables, LogPotentials]:
        """Return the logs of the tables."""
        with np.errstate(divide="ignore"):
            logs = [
                np.log(np.array(entries)).reshape(shape)
                for entries, shape in zip(self.entries, self.shapes, strict=True)
            ]
        return tuple(constant(log) for log in logs), no_fields(graph)

    def describe(self) -> str:
        """Return a few words for a title."""
        return "fixed tables"

    def reject(
        self, graph: FactorGraph, factors: tuple[str, ...], sites: dict[str, np.ndarray]
    ) -> None:
        """Reject nothing: no number is supplied."""

    def check(self, graph: FactorGraph, factors: tuple[str, ...]) -> None:
        """Check that there is a table of the right shape for each factor, and what it holds."""
        if len(self.shapes) != len(factors):
            raise ValueError(
                f"tables: expected one for each of {len(factors)} factors, got {len(self.shapes)}"
            )
        for factor, scope, shape, entries in zip(
            factors, graph.scopes, self.shapes, self.entries, strict=True
        ):
            expected = tuple(graph.sizes[variable] for variable in scope)
            if shape != expected:
                raise ValueError(
                    f"tables: expected shape {expected} for factor {factor}, got {shape}"
                )
            _reject_weights(factor, np.array(entries))

    def require_possible(self, graph: FactorGraph) -> None:
        """Raise where no setting of the variables has a positive weight in every table.

        Args:
            graph: Scopes and sizes, which the tables fit, and narrow enough to be summed over.

        Raises:
            ValueError: If the tables contradict each other.
        """
        if all(weight > 0.0 for table in self.entries for weight in table):
            return
        tables = zip(self.entries, self.shapes, graph.scopes, strict=True)
        parts = [
            part
            for entries, shape, scope in tables
            for part in ((np.array(entries) > 0.0).astype(float).reshape(shape), scope)
        ]
        if float(opt_einsum.contract(*parts, ())) == 0.0:  # the number of settings that are left
            raise ValueError("tables: expected a setting that all of them allow, got none")


def _reject_weights(factor: str, table: np.ndarray) -> None:
    wrong = table[~((table >= 0.0) & (table < math.inf))]
    if wrong.size:
        raise ValueError(
            f"tables: expected finite weights that are not negative for factor {factor}, got "
            f"{wrong[0]:g}"
        )
    if not table.any():
        raise ValueError(f"tables: expected a positive weight for factor {factor}, got only zeros")


def _table_sizes(graph: FactorGraph) -> list[int]:
    return [math.prod(graph.sizes[v] for v in scope) for scope in graph.scopes]


def _cut(graph: FactorGraph, entries: Array) -> LogTables:
    """Cut a vector into one table for each factor."""
    ends = np.cumsum(_table_sizes(graph))[:-1].tolist()
    return tuple(
        part.reshape(tuple(graph.sizes[v] for v in scope))
        for scope, part in zip(graph.scopes, jnp.split(entries, ends), strict=True)
    )


def no_fields(graph: FactorGraph) -> LogPotentials:
    """Return fields of zero, which say nothing about any variable.

    Args:
        graph: Scopes and sizes.

    Returns:
        One vector for each variable.
    """
    return tuple(jnp.zeros(size) for size in graph.sizes)
