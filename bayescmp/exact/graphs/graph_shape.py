"""How large graphs may be that one network or one compiled function takes, and how they are coded.

Each variable has a row, with a *slot* for each factor that ties it to *others*. A row of numbers
says all that a variable knows of its surroundings: its evidence; for each slot, who the others
are, in which of their own slots the same factor stands, and the factor's table as seen from here.
"""

from dataclasses import dataclass
from itertools import accumulate

import numpy as np

FLOOR = -80.0
"""Log weight, in nats, that stands for none where numbers have to be finite: ``exp(-80)`` is
2e-35, which no sum of weights near one can see, in single precision either."""


@dataclass(frozen=True)
class GraphShape:
    """Bounds on a family of factor graphs, which padding fills up.

    Example:
        >>> from bayescmp.exact.graphs.graph_shape import GraphShape
        >>> shape = GraphShape(num_variables=4, num_values=2, num_slots=3)
        >>> shape.num_features, shape.block("evidence")
        (40, slice(5, 7, None))
    """

    num_variables: int
    """Rows: most variables of a graph."""
    num_values: int
    """Most values of a variable."""
    num_slots: int
    """Most factors that tie one variable to others."""
    arity: int = 2
    """Most variables that one factor ties together."""

    def __post_init__(self) -> None:
        """Reject bounds that hold no graph.

        Raises:
            ValueError: If a bound is too small.
        """
        least = {"num_variables": 1, "num_values": 2, "num_slots": 1, "arity": 2}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ValueError(f"{name}: expected at least {bound}, got {getattr(self, name)}")

    @property
    def num_others(self) -> int:
        """Other variables of one factor, at most."""
        return self.arity - 1

    @property
    def table_shape(self) -> tuple[int, ...]:
        """Shape of a factor's table: the own values first, then those of the others."""
        return (self.num_values,) * self.arity

    @property
    def block_sizes(self) -> dict[str, int]:
        """Number of features of each block of a row, in their order.

        ``start`` is one at the row before all variables, and zero at theirs.
        """
        ties = self.num_slots * self.num_others
        return {
            "start": 1,
            "own": self.num_variables,
            "evidence": self.num_values,
            "address": ties * self.num_variables,
            "back": ties * self.num_slots,
            "table": self.num_slots * int(np.prod(self.table_shape)),
        }

    @property
    def num_features(self) -> int:
        """Number of features of a row."""
        return sum(self.block_sizes.values())

    def block(self, name: str) -> slice:
        """Return where a block stands in a row.

        Args:
            name: ``start``, ``own`` (one-hot number of the variable), ``evidence`` (log potential
                of each value), ``address`` (one-hot number of each other, slot by slot), ``back``
                (one-hot slot in which each of them has this factor) or ``table``.

        Returns:
            Its features.

        Raises:
            ValueError: If there is no such block.
        """
        sizes = self.block_sizes
        if name not in sizes:
            raise ValueError(f"name: expected one of {', '.join(sizes)}, got {name!r}")
        ends = dict(zip(sizes, accumulate(sizes.values()), strict=True))
        return slice(ends[name] - sizes[name], ends[name])
