"""Factor graphs whose variables and values have names."""

import difflib
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from bayescmp.exact.graphs.factor_graph import FactorGraph
from bayescmp.exact.graphs.summing import LogPotentials

Evidence = Mapping[str, int | str]
"""Number or name of the value that is seen, by variable."""


@dataclass(frozen=True, eq=False)
class NamedGraph:
    """A factor graph with its tables, as somebody writes it down.

    Example:
        >>> from bayescmp.exact.graphs.named_graph import NamedGraph
        >>> factors = {("flu",): [0.9, 0.1], ("flu", "fever"): [[0.98, 0.02], [0.1, 0.9]]}
        >>> graph = NamedGraph.from_factors(factors, values={"flu": ("no", "yes")})
        >>> graph.names, graph.values[0], graph.graph.scopes
        (('flu', 'fever'), ('no', 'yes'), ((0,), (0, 1)))
    """

    names: tuple[str, ...]
    """Of the variables."""
    values: tuple[tuple[str, ...], ...]
    """Name of each value of each variable."""
    graph: FactorGraph
    """Scopes and sizes."""
    log_tables: tuple[Float[np.ndarray, "..."], ...]
    """Log of each factor's table, in nats; minus infinity is allowed."""

    def __post_init__(self) -> None:
        """Check that everything fits together.

        Raises:
            ValueError: If names clash, shapes do not fit, or a table allows nothing.
        """
        reject_repeated("names", self.names)
        for name, own in zip(self.names, self.values, strict=False):
            reject_repeated(f"values of {name!r}", own)
        if tuple(map(len, self.values)) != self.graph.sizes or len(self.names) != len(self.values):
            raise ValueError(
                f"values: expected {self.graph.sizes} for {len(self.names)} variables, got "
                f"{tuple(map(len, self.values))}"
            )
        shapes = tuple(table.shape for table in self.log_tables)
        expected = tuple(tuple(self.graph.sizes[v] for v in scope) for scope in self.graph.scopes)
        if shapes != expected:
            raise ValueError(f"log_tables: expected shapes {expected}, got {shapes}")
        for scope, table in zip(self.graph.scopes, self.log_tables, strict=True):
            _reject_empty(tuple(self.names[v] for v in scope), table)

    @classmethod
    def from_factors(
        cls,
        factors: Mapping[tuple[str, ...], Sequence | np.ndarray],
        *,
        values: Mapping[str, Sequence[str]] | None = None,
    ) -> "NamedGraph":
        """Build a graph from tables of weights.

        Args:
            factors: By the names of its variables, each factor's table, an axis for each of
                them; weights are not negative and need not sum to one.
            values: Names of the values of some variables; by default ``"0"``, ``"1"`` and so on.

        Returns:
            The graph; its variables in the order in which they are first named.

        Raises:
            TypeError: If tables do not come by names, or names of values as one string.
            ValueError: If there is no table, a weight is negative or not finite, a table is zero
                throughout, tables disagree about a variable's number of values, or names clash or
                are unknown.
        """
        _check_arguments(factors, values or {})
        sizes: dict[str, int] = {}
        log_tables = []
        for scope, weights in factors.items():
            table = _read_table(scope, weights)
            for name, size in zip(scope, table.shape, strict=True):
                if sizes.setdefault(name, size) != size:
                    raise ValueError(
                        f"factors: expected {sizes[name]} values of {name!r} in {scope}, got {size}"
                    )
            with np.errstate(divide="ignore"):
                log_tables.append(np.log(table))
        numbers = {name: number for number, name in enumerate(sizes)}
        for name in values or {}:
            find_name("values", name, sizes)
        named = {name: tuple(map(str, range(size))) for name, size in sizes.items()}
        named |= {name: tuple(own) for name, own in (values or {}).items()}
        scopes = tuple(tuple(numbers[name] for name in scope) for scope in factors)
        graph = FactorGraph(scopes, tuple(sizes.values()))
        return cls(tuple(sizes), tuple(named.values()), graph, tuple(log_tables))

    def log_potentials(self, evidence: Evidence) -> LogPotentials:
        """Return the evidence as a log weight for each value of each variable.

        Args:
            evidence: Number or name of the value that is seen, by variable.

        Returns:
            Minus infinity for all values but the one that is seen; 0 where nothing is.

        Raises:
            TypeError: If the evidence is not by variable.
            ValueError: If there is no such variable or value.
        """
        if not isinstance(evidence, Mapping):
            raise TypeError(f"evidence: expected values by name of the variable, got {evidence!r}")
        potentials = [np.zeros(size) for size in self.graph.sizes]
        for name, value in evidence.items():
            number = find_name("evidence", name, self.names)
            potentials[number][:] = -np.inf
            potentials[number][self.find_value(number, value)] = 0.0
        return tuple(map(jnp.asarray, potentials))

    def find_value(self, variable: int, value: int | str) -> int:
        """Return the number of a value.

        Args:
            variable: Number of the variable.
            value: Its number or its name.

        Returns:
            Its number.

        Raises:
            ValueError: If the variable has no such value.
        """
        own, name = self.values[variable], self.names[variable]
        if isinstance(value, str):
            return find_name(f"evidence about {name!r}", value, own)
        return find_number(name, value, len(own))


def find_name(argument: str, name: str, known: Iterable[str]) -> int:
    """Return the place of a name; the message names those that are near."""
    names = list(known)
    if name in names:
        return names.index(name)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{argument}: expected one of {names}, got {name!r}{hint}")


def find_number(name: str, value: int, size: int) -> int:
    """Return the number of a variable's value; refuse what is none, or no whole number."""
    try:
        number = operator.index(value)
    except TypeError:
        number = -1
    if not 0 <= number < size:
        raise ValueError(f"evidence: expected {name} in 0 .. {size - 1}, got {value}")
    return number


def reject_repeated(argument: str, names: Sequence[str]) -> None:
    """Refuse names that clash."""
    clash = sorted({name for name in names if list(names).count(name) > 1})
    if clash:
        raise ValueError(f"{argument}: expected different ones, got {clash[0]!r} twice")


def _check_arguments(factors: Mapping, values: Mapping) -> None:
    for name, argument in (("factors", factors), ("values", values)):
        if not isinstance(argument, Mapping):
            raise TypeError(f"{name}: expected a mapping by name, got {type(argument).__name__}")
    if not factors:
        raise ValueError("factors: expected at least one, got none")
    for name, own in values.items():
        if isinstance(own, str):
            raise TypeError(f"values: expected a name for each value of {name!r}, got {own!r}")


def _read_table(scope: tuple[str, ...], weights: Sequence | np.ndarray) -> np.ndarray:
    try:
        table = np.asarray(weights, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"factor {scope}: expected a table of weights, got {weights}") from error
    if isinstance(scope, str) or table.ndim != len(scope):
        raise ValueError(
            f"factors: expected a tuple of {table.ndim} names for a table of {table.ndim} axes, "
            f"got {scope!r}"
        )
    reject_repeated(f"factor {scope}", scope)
    if not np.isfinite(table).all() or (table < 0).any():
        worst = table[~np.isfinite(table) | (table < 0)][0]
        raise ValueError(f"factor {scope}: expected finite weights of at least 0, got {worst}")
    return table


def _reject_empty(scope: tuple[str, ...], log_table: np.ndarray) -> None:
    if np.isnan(log_table).any() or np.isposinf(log_table).any():
        raise ValueError(f"factor {scope}: expected log weights below infinity, got {log_table}")
    if np.isneginf(log_table).all():
        raise ValueError(f"factor {scope}: expected a positive weight, got zeros alone")
