"""How the sites of a factor graph model are read: as tables and evidence, and as rows."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from bayescmp.exact.graphs.factor_graph import FactorGraph
from bayescmp.exact.graphs.graph_engine import GraphReader
from bayescmp.exact.graphs.graph_rows import GraphRows, lay_out
from bayescmp.exact.graphs.graph_shape import GraphShape
from bayescmp.exact.graphs.summing import LogPotentials, LogTables
from bayescmp.models.table_laws import TableLaw
from bayescmp.row_coder import RowCoder

Shows = Literal["graph", "evidence"]
"""What rows carry: structure, tables and evidence, or the evidence alone."""

EVIDENCE, VALUE = "evidence", "value"
"""Sites of what is seen, and of what is asked."""


@dataclass(frozen=True)
class GraphSites(RowCoder, GraphReader):
    """Reads the sites of :class:`bayescmp.models.FactorGraphModel`."""

    graph: FactorGraph
    law: TableLaw
    names: tuple[str, ...]
    shape: GraphShape
    shows: Shows

    @property
    def num_rows(self) -> int:
        """Number of questions: variables and padding."""
        return self.shape.num_variables

    @property
    def num_values(self) -> int:
        """Number of values that answers have room for."""
        return self.shape.num_values

    @cached_property
    def factors(self) -> tuple[str, ...]:
        """Name of each factor: those of its variables."""
        return tuple("-".join(self.names[v] for v in scope) for scope in self.graph.scopes)

    @property
    def num_features(self) -> int:
        """Number of features of a row."""
        sizes = self.shape.block_sizes
        return sum(sizes.values()) if self.shows == "graph" else sizes["start"] + sizes["evidence"]

    def weigh(self, sites: dict[str, Array]) -> tuple[LogTables, LogPotentials]:
        """Return the log tables of one example, and fields and evidence together, in nats."""
        tables, fields = self.law.weigh(self.graph, sites)
        seen = evidence_potentials(sites[EVIDENCE], self.shape.num_values)
        own = zip(fields, seen, self.graph.sizes, strict=False)
        return tables, tuple(field + row[:size] for field, row, size in own)

    def rows(self, sites: dict[str, Array]) -> GraphRows:
        """Return one example as rows of arrays."""
        return lay_out(self.graph, self.shape, *self.weigh(sites))

    def __call__(self, sites: dict[str, Array]) -> Float[Array, "row feature"]:
        """Write one example as rows of numbers."""
        rows = self.rows(sites).encode()
        if self.shows == "graph":
            return rows
        blocks = [rows[:, self.shape.block(name)] for name in ("start", "evidence")]
        return jnp.concatenate(blocks, axis=1)

    def supervised(self, sites: dict[str, Array]) -> Bool[Array, " position"]:
        """Count the variables that are not seen."""
        return (sites[EVIDENCE] == 0) & (jnp.arange(self.num_rows) < len(self.names))

    def describe(self, sites: dict[str, np.ndarray]) -> list[str]:
        """Name the variable of each row, and what is seen of it."""
        return ["start", *describe_rows(sites[EVIDENCE], self.names)]

    def reject(self, sites: dict[str, np.ndarray]) -> None:
        """Check that tables are tables, and that no evidence is a value that cannot be."""
        self.law.reject(self.graph, self.factors, sites)
        codes = sites[EVIDENCE].reshape(-1, self.num_rows)
        sizes = np.pad(self.graph.sizes, (0, self.num_rows - len(self.names)))
        reject_evidence(codes, sizes, self.names)

    def treatment(self) -> dict[str, str]:
        """Say how the shown and asked sites are dealt with."""
        return dict.fromkeys((*self.law.site_names, EVIDENCE), "given") | {VALUE: "asked"}


def evidence_potentials(
    evidence: Int[Array, " variable"], num_values: int
) -> Float[Array, "variable value"]:
    """Return the log weights that evidence gives to values.

    Args:
        evidence: 0 for each variable that is not seen; one more than its value for others.
        num_values: Most values of a variable.

    Returns:
        Zero throughout, or minus infinity for all values but the one that is seen, in nats.
    """
    is_value = jnp.arange(num_values) == evidence[:, None] - 1
    return jnp.where(is_value | (evidence[:, None] == 0), jnp.zeros(()), -jnp.inf)


def describe_rows(evidence: np.ndarray, names: tuple[str, ...]) -> list[str]:
    """Name what is seen at each row.

    Args:
        evidence: Codes of one example.
        names: Names of the variables; rows after them are padding.

    Returns:
        One short text for each row.
    """
    seen = [
        f"{name} not seen" if code == 0 else f"{name} = {code - 1}"
        for name, code in zip(names, evidence.tolist(), strict=False)
    ]
    return [*seen, *["padding"] * (len(evidence) - len(names))]


def reject_evidence(
    codes: Int[np.ndarray, "sequence variable"], sizes: np.ndarray, names: tuple[str, ...]
) -> None:
    """Check that all evidence names values that variables can take.

    Args:
        codes: 0, or one more than the value that is seen.
        sizes: Number of values of each variable; 0 for padding.
        names: Names of the variables.

    Raises:
        ValueError: If one is too high, naming its variable.
    """
    wrong = np.argwhere(codes > sizes)
    if wrong.size:
        row, variable = wrong[0].tolist()
        what = repr(names[variable]) if variable < len(names) else f"padding at {variable}"
        expected = f"a value below {sizes[variable]}" if sizes[variable] else "nothing seen"
        raise ValueError(f"evidence: expected {expected} of {what}, got {codes[row, variable] - 1}")
