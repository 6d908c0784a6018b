"""Factor graphs: which variables each factor ties together, and where messages go."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bayescmp.exact.graphs.elimination_order import Scopes, check_scopes


@dataclass(frozen=True)
class FactorGraph:
    """Variables and the factors that tie them together.

    An *edge* joins a factor and a variable of its scope; edges are numbered factor by factor,
    in the order of the scope.

    Raises:
        TypeError: If scopes or sizes are not in tuples.
        ValueError: If a factor repeats a variable or has one without a size, or a size is below 1.

    Example:
        >>> from bayescmp.exact.graphs.factor_graph import FactorGraph
        >>> chain = FactorGraph(((0, 1), (1, 2)), (2, 2, 2))
        >>> chain.is_tree, chain.diameter
        (True, 2)
    """

    scopes: Scopes
    """Variables of each factor, numbered from 0, in the order of its table's axes."""
    sizes: tuple[int, ...]
    """Number of values of each variable."""

    def __post_init__(self) -> None:
        """Check scopes and sizes."""
        for name, parts in (("sizes", (self.sizes,)), ("scopes", (self.scopes, *self.scopes))):
            if not all(isinstance(part, tuple) for part in parts):
                raise TypeError(f"{name}: expected tuples, got {getattr(self, name)!r}")
        if any(size < 1 for size in self.sizes):
            raise ValueError(f"sizes: expected at least 1 value of each variable, got {self.sizes}")
        check_scopes("scopes", self.scopes, len(self.sizes))

    @property
    def is_tree(self) -> bool:
        """Whether no two variables are tied together along two ways: a tree, or several."""
        root = list(range(len(self.sizes)))

        def find(variable: int) -> int:
            while root[variable] != variable:
                variable = root[variable]
            return variable

        for scope in self.scopes:
            roots = {find(variable) for variable in scope}
            if len(roots) < len(scope):
                return False
            for other in roots:
                root[other] = min(roots)
        return True

    @cached_property
    def diameter(self) -> int:
        """Most factors on a shortest way from a variable to a factor, that factor included.

        News travels by one factor a round; on a tree, messages are final after so many.
        """
        return max((self._reach(start) for start in range(len(self.sizes))), default=0)

    @cached_property
    def edges(self) -> np.ndarray:
        """The variable of each edge; shape (edges,)."""
        return np.array([v for scope in self.scopes for v in scope], np.int32)

    @cached_property
    def factor_edges(self) -> tuple[tuple[int, ...], ...]:
        """The edges of each factor."""
        ends = np.cumsum([0, *map(len, self.scopes)])
        return tuple(
            tuple(range(int(first), int(first) + len(scope)))
            for first, scope in zip(ends, self.scopes, strict=False)
        )

    @cached_property
    def alike(self) -> tuple[tuple[int, ...], ...]:
        """Factors whose tables have the same shape, together; those of no variable left out."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for factor, scope in enumerate(self.scopes):
            if scope:
                shape = tuple(self.sizes[variable] for variable in scope)
                groups.setdefault(shape, []).append(factor)
        return tuple(map(tuple, groups.values()))

    def sources(self, *, cavity: bool) -> np.ndarray:
        """List the edges whose messages each edge's variable passes on along it.

        Args:
            cavity: Whether to leave out the edge itself, so that no factor hears its own
                message again.

        Returns:
            Edge numbers, each row filled up with the number of edges; shape (edges, most).
        """
        at_variable = self.variable_edges
        rows = [
            [other for other in at_variable[variable] if not (cavity and other == edge)]
            for edge, variable in enumerate(self.edges.tolist())
        ]
        return self._fill(rows)

    @cached_property
    def arriving(self) -> np.ndarray:
        """The edges of each variable, each row filled up with the number of edges."""
        return self._fill(self.variable_edges)

    @cached_property
    def variable_edges(self) -> list[list[int]]:
        """The edges of each variable, as lists."""
        at_variable: list[list[int]] = [[] for _ in self.sizes]
        for edge, variable in enumerate(self.edges.tolist()):
            at_variable[variable].append(edge)
        return at_variable

    def _fill(self, rows: list[list[int]]) -> np.ndarray:
        filled = np.full((len(rows), max(map(len, rows), default=0)), len(self.edges), np.int32)
        for row, edges in zip(filled, rows, strict=True):
            row[: len(edges)] = edges
        return filled

    def _reach(self, start: int) -> int:
        """Count the rounds until a variable has heard of every factor that it can hear of."""
        variables, seen, rounds = {start}, {start}, 0
        heard: set[int] = set()
        while True:
            new = {edge for variable in variables for edge in self.variable_edges[variable]}
            factors = {self._factor_of[edge] for edge in new} - heard
            if not factors:
                return rounds
            rounds += 1
            heard |= factors
            variables = {v for factor in factors for v in self.scopes[factor]} - seen
            seen |= variables

    @cached_property
    def _factor_of(self) -> list[int]:
        return [factor for factor, scope in enumerate(self.scopes) for _ in scope]
