"""How the sites of a model of random trees are read: as trees, and as rows."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from bayescmp.exact.graphs.factor_graph import FactorGraph
from bayescmp.exact.graphs.graph_rows import GraphRows
from bayescmp.exact.graphs.graph_shape import GraphShape
from bayescmp.exact.graphs.padded_trees import lay_out_tree
from bayescmp.exact.graphs.tree_engine import PaddedTree, TreeReader
from bayescmp.models.graph_sites import EVIDENCE, VALUE, describe_rows, evidence_potentials
from bayescmp.models.graph_structures import chain
from bayescmp.models.table_laws import TableLaw
from bayescmp.row_coder import RowCoder

PARENTS, LABELS = "parents", "labels"
"""Sites of the structure, and of the rows in which variables are shown."""


@dataclass(frozen=True)
class TreeSites(RowCoder, TreeReader):
    """Reads the sites of :class:`bayescmp.models.RandomTrees`."""

    law: TableLaw
    num_variables: int
    num_values: int
    num_children: int
    is_relabelled: bool

    @property
    def carrier(self) -> FactorGraph:
        """Any graph with a factor for each variable but the first, for the law of tables."""
        return chain(self.num_variables, self.num_values)

    @property
    def factors(self) -> tuple[str, ...]:
        """Name of each factor: the variable that hangs on it."""
        return tuple(f"above x{v}" for v in range(1, self.num_variables))

    @property
    def shape(self) -> GraphShape:
        """Bounds of the rows: a slot for the parent and one for each child."""
        num_slots = min(self.num_children + 1, self.num_variables - 1)
        return GraphShape(self.num_variables, self.num_values, num_slots)

    @property
    def num_features(self) -> int:
        """Number of features of a row."""
        return self.shape.num_features

    @property
    def given(self) -> tuple[str, ...]:
        """Sites that the prompt gives."""
        labels = (LABELS,) if self.is_relabelled else ()
        return (PARENTS, *labels, *self.law.site_names, EVIDENCE)

    def labels(self, sites: dict[str, Array]) -> Array:
        """Return the row of each variable."""
        return sites[LABELS] if self.is_relabelled else jnp.arange(self.num_variables)

    def is_there(self, parents: Array | np.ndarray) -> Array | np.ndarray:
        """Say which variables there are: the root, and all with a parent."""
        return (parents < self.num_variables) | (np.arange(self.num_variables) == 0)

    def weigh(self, sites: dict[str, Array]) -> tuple[Array, Array]:
        """Return log tables and log fields, an array each; the root has a table of zeros."""
        tables, fields = self.law.weigh(self.carrier, sites)
        return jnp.stack([jnp.zeros_like(tables[0]), *tables]), jnp.stack(fields)

    def tree(self, sites: dict[str, Array]) -> PaddedTree:
        """Return the tree of one example, with its evidence."""
        tables, fields = self.weigh(sites)
        labels, parents = self.labels(sites), sites[PARENTS]
        seen = evidence_potentials(sites[EVIDENCE][labels], self.num_values)
        there = self.is_there(parents)[:, None]
        return PaddedTree(
            parents=jnp.where(parents == self.num_variables, -1, parents),
            labels=labels,
            log_tables=tables,
            log_potentials=jnp.where(there, fields + seen, -jnp.inf),
        )

    def rows(self, sites: dict[str, Array]) -> GraphRows:
        """Return one example as rows of arrays."""
        tree = self.tree(sites)
        return lay_out_tree(
            tree.parents, tree.labels, tree.log_tables, tree.log_potentials, self.shape
        )

    def __call__(self, sites: dict[str, Array]) -> Float[Array, "row feature"]:
        """Write one example as rows of numbers."""
        return self.rows(sites).encode()

    def supervised(self, sites: dict[str, Array]) -> Bool[Array, " position"]:
        """Count the variables that are there and not seen."""
        there = jnp.asarray(self.is_there(sites[PARENTS]))
        shown = jnp.zeros_like(there).at[self.labels(sites)].set(there)
        return (sites[EVIDENCE] == 0) & shown

    def describe(self, sites: dict[str, np.ndarray]) -> list[str]:
        """Name the variable of each row, its parent, and what is seen of it."""
        parents, labels = sites[PARENTS], np.asarray(self.labels(sites))
        texts = ["padding"] * self.num_variables
        seen = describe_rows(sites[EVIDENCE], tuple(f"x{r}" for r in range(self.num_variables)))
        for variable in np.flatnonzero(self.is_there(parents)):
            row, parent = labels[variable], parents[variable]
            above = f", below x{labels[parent]}" if parent < self.num_variables else ", the root"
            texts[row] = seen[row] + above
        return ["start", *texts]

    def reject(self, sites: dict[str, np.ndarray]) -> None:
        """Check that parents make a tree, labels name each row once, and evidence exists."""
        self.law.reject(self.carrier, self.factors, sites)
        num = self.num_variables
        parents = sites[PARENTS].reshape(-1, num)
        for row in parents:
            self._reject_parents(row)
        labels = np.broadcast_to(np.arange(num), parents.shape)
        if self.is_relabelled:
            labels = sites[LABELS].reshape(-1, num)
            wrong = np.flatnonzero((np.sort(labels, axis=1) != np.arange(num)).any(axis=1))
            if wrong.size:
                raise ValueError(
                    f"labels: expected each row from 0 to {num - 1} once, got {labels[wrong[0]]}"
                )
        codes = np.take_along_axis(sites[EVIDENCE].reshape(-1, num), labels, axis=1)
        wrong = np.argwhere((codes > 0) & ~self.is_there(parents))
        if wrong.size:
            sequence, variable = wrong[0]
            raise ValueError(
                f"evidence: expected nothing seen of padding, got {codes[sequence, variable] - 1} "
                f"in row {labels[sequence, variable]}"
            )

    def treatment(self) -> dict[str, str]:
        """Say how every site is dealt with."""
        return {
            "size": "told by the parents",
            "x": "summed out",
            **dict.fromkeys(self.given, "given"),
            VALUE: "asked",
        }

    def _reject_parents(self, parents: np.ndarray) -> None:
        """Check one tree."""
        num, numbers = self.num_variables, np.arange(self.num_variables)
        late = np.flatnonzero((parents < num) & (parents >= numbers))
        if late.size:
            raise ValueError(
                f"parents: expected each variable's before it, and {num} for none, got "
                f"{parents[late[0]]} for x{late[0]}; a graph with a cycle is no tree"
            )
        there = self.is_there(parents)
        if not there[: there.sum()].all():
            raise ValueError(
                f"parents: expected {num}, none, for the first variable and those after the last, "
                f"got {parents.tolist()}"
            )
        counts = np.bincount(parents, minlength=num + 1)[:num]
        if counts.max() > self.num_children:
            raise ValueError(
                f"parents: expected at most {self.num_children} children of a variable, got "
                f"{counts.max()} of x{counts.argmax()}"
            )
