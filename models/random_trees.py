"""Trees whose structure is drawn for each sequence, and shown in the prompt."""

from functools import partial
from numbers import Integral

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array
from numpyro.contrib.control_flow import scan

from bayescmp.distributions import WithoutReplacement
from bayescmp.engine import AbstractEngine
from bayescmp.exact.graphs.graph_rows import GraphRows
from bayescmp.exact.graphs.graph_shape import GraphShape
from bayescmp.exact.graphs.padded_trees import weigh_below
from bayescmp.exact.graphs.tree_engine import TreeEngine
from bayescmp.graph_model import AbstractGraphModel
from bayescmp.layout import Questions
from bayescmp.models.arguments import require_at_least
from bayescmp.models.graph_arguments import require_kind, require_probability
from bayescmp.models.graph_sites import EVIDENCE, VALUE
from bayescmp.models.table_laws import Sites, TableLaw, UniformTables
from bayescmp.models.tree_sites import LABELS, PARENTS, TreeSites


class RandomTrees(AbstractGraphModel):
    """A tree of its own for each sequence, with its tables and its evidence in the prompt.

    ``size ~ uniform(2 .. num_variables)``, or between other ``sizes``; each variable but the root
    hangs below one of those before it that has room, all equally likely; rows are shuffled, so that
    a place tells nothing.
    Then as in :class:`bayescmp.models.FactorGraphModel`: tables from their law, ``x`` drawn from
    the root down, each variable seen with probability ``evidence_prob``, all others asked.
    ``parents[v]`` is ``num_variables`` for the root and for padding.

    Source: Coppola, "Transformers are Bayesian Networks", arXiv 2603.17063, on trees; two-pass
    propagation is Pearl's (1988).

    Example:
        >>> model = RandomTrees(num_variables=8, num_children=3)
        >>> batch = model.sample(4, key=jax.random.key(0))
        >>> batch.inputs.shape, model.num_rounds  # a chain of eight is the longest
        ((4, 9, 75), 7)
    """

    num_variables: int = eqx.field(static=True)
    num_values: int = eqx.field(static=True)
    num_children: int = eqx.field(static=True)
    law: TableLaw = eqx.field(static=True)
    evidence_prob: float = eqx.field(static=True)
    depth: int | None = eqx.field(static=True)
    is_relabelled: bool = eqx.field(static=True)
    sizes: tuple[int, int] = eqx.field(static=True)

    def __init__(
        self,
        num_variables: int = 8,
        num_values: int = 2,
        num_children: int = 2,
        law: TableLaw | None = None,
        *,
        evidence_prob: float = 0.3,
        depth: int | None = None,
        is_relabelled: bool = True,
        sizes: tuple[int, int] | None = None,
    ) -> None:
        """Describe the process.

        Args:
            num_variables: Rows, and most variables of a tree, at least two.
            num_values: Number of values of each, at least two.
            num_children: Most variables below another, at least one.
            law: Where the tables come from; entries U[0.05, 1] by default.
            evidence_prob: Probability with which each variable is seen.
            depth: Most factors between the root and a leaf; None for no limit.
            is_relabelled: Whether rows are shuffled; else they stand from the root down.
            sizes: Fewest and most variables of a tree; 2 and ``num_variables`` by default.

        Raises:
            TypeError: If a number is not whole, or the law is something else.
            ValueError: If a number is out of range, or trees of this depth have no room for all
                variables.
        """
        for name, value, least in (
            ("num_variables", num_variables, 2),
            ("num_values", num_values, 2),
            ("num_children", num_children, 1),
            ("depth", 1 if depth is None else depth, 1),
        ):
            require_at_least(name, value, least)
        self.num_variables, self.num_values = num_variables, num_values
        self.num_children, self.depth = num_children, depth
        self.law = UniformTables() if law is None else law
        require_kind("law", self.law, TableLaw)
        self.evidence_prob = require_probability("evidence_prob", evidence_prob)
        self.is_relabelled = is_relabelled
        self.sizes = (2, num_variables) if sizes is None else sizes
        _check_sizes(self.sizes, num_variables)
        room = num_variables if depth is None else sum(num_children**i for i in range(depth + 1))
        if room < self.sizes[1]:
            raise ValueError(
                f"depth: expected room for {self.sizes[1]} variables with {num_children} children "
                f"each, got {depth}, which holds {room}"
            )
        if self.evidence_prob == 1.0:
            raise ValueError("evidence_prob: expected below 1, or nothing is asked, got 1.0")
        self.law.check(self._sites.carrier, self._sites.factors)

    def program(self) -> None:
        """Draw a tree, its tables, its variables from the root down, and show some of them."""
        size = numpyro.sample("size", dist.DiscreteUniform(*self.sizes))
        sites = {PARENTS: self._draw_parents(size)}
        if self.is_relabelled:
            law = WithoutReplacement(self.num_variables, self.num_variables)
            sites[LABELS] = numpyro.sample(LABELS, law)
        sites |= self.law.draw(self._sites.carrier)
        labels, there = self._sites.labels(sites), self._sites.is_there(sites[PARENTS])
        found = self._draw_values(sites)
        values = jnp.zeros_like(found).at[labels].set(found)
        chance = self.evidence_prob * jnp.zeros(len(labels)).at[labels].set(there)
        is_value = values[:, None] == jnp.arange(self.num_values)
        seen = jnp.concatenate([1.0 - chance[:, None], chance[:, None] * is_value], axis=1)
        with numpyro.plate("variable", self.num_variables):
            numpyro.sample(EVIDENCE, dist.Categorical(probs=seen))
        certain = jnp.where(is_value, jnp.zeros(()), -jnp.inf)
        with numpyro.plate("position", self.num_variables):
            # NumPyro's validation refuses infinite logits, which is what certainty has.
            numpyro.sample(VALUE, dist.Categorical(logits=certain, validate_args=False))

    def questions(self) -> Questions:
        """Give structure, tables and evidence as rows, and ask for every variable."""
        return Questions(outcome=VALUE, given=self._sites.given, reveal=False, rows=self._sites)

    def closed_form(self) -> AbstractEngine:
        """Return two-pass propagation."""
        return TreeEngine(self._sites)

    def title(self) -> str:
        """Return the name for tables."""
        return f"random trees of up to {self.num_variables} variables, {self.law.describe()}"

    @property
    def graph_shape(self) -> GraphShape:
        """Bounds of the rows: a slot for the parent and one for each child."""
        return self._sites.shape

    @property
    def num_rounds(self) -> int:
        """The largest diameter that a tree can have."""
        longest = self.sizes[1] - 1
        return longest if self.depth is None else min(longest, 2 * self.depth)

    @property
    def is_tree(self) -> bool:
        """Always true."""
        return True

    def rows(self, sites: dict[str, Array]) -> GraphRows:
        """Return the tree, the tables and the evidence of one example."""
        return self._sites.rows(sites)

    @property
    def _sites(self) -> TreeSites:
        return TreeSites(
            self.law, self.num_variables, self.num_values, self.num_children, self.is_relabelled
        )

    def _draw_parents(self, size: Array) -> Array:
        """Hang each variable below one before it that has room."""
        num, numbers = self.num_variables, jnp.arange(self.num_variables)
        deepest = num if self.depth is None else self.depth

        def step(tree: tuple[Array, Array], variable: Array) -> tuple[tuple[Array, Array], Array]:
            below, depth = tree
            has_room = (numbers < variable) & (below < self.num_children) & (depth < deepest)
            is_alone = (variable == 0) | (variable >= size)
            allowed = jnp.append(has_room & ~is_alone, is_alone)
            logits = jnp.where(allowed, jnp.zeros(()), -jnp.inf)
            law = dist.Categorical(logits=logits, validate_args=False)
            parent = jnp.asarray(numpyro.sample(PARENTS, law))
            own = jnp.where(is_alone, 0, depth[parent] + 1)
            return (below.at[parent].add(1, mode="drop"), depth.at[variable].set(own)), parent

        start = (jnp.zeros(num, int), jnp.zeros(num, int))
        return scan(step, start, numbers, length=num)[1]

    def _draw_values(self, sites: dict[str, Array]) -> Array:
        """Draw each variable given its parent, in exact proportion to all that hangs below."""
        above, tables, below = _weigh(self._sites, sites)
        num = self.num_variables

        def step(values: Array, variable: Array) -> tuple[Array, Array]:
            parent = above[variable]
            row = jnp.where(parent < 0, 0.0, tables[variable, values[parent]])
            law = dist.Categorical(logits=below[variable] + row, validate_args=False)
            value = jnp.asarray(numpyro.sample("x", law))
            return values.at[variable].set(value), value

        start = jnp.zeros(num, jax.eval_shape(lambda: jnp.arange(num)).dtype)
        return scan(step, start, jnp.arange(num), length=num)[1]


def _check_sizes(sizes: tuple[int, int], num_variables: int) -> None:
    is_pair = isinstance(sizes, tuple) and len(sizes) == 2
    if not is_pair or not all(isinstance(size, Integral) for size in sizes):
        raise TypeError(f"sizes: expected a tuple of two whole numbers, got {sizes!r}")
    if not 2 <= sizes[0] <= sizes[1] <= num_variables:
        raise ValueError(
            f"sizes: expected two rising numbers from 2 to {num_variables}, got {sizes}"
        )


@partial(jax.jit, static_argnums=0)  # one compilation in place of one for each operation
def _weigh(reader: TreeSites, sites: Sites) -> tuple[Array, Array, Array]:
    """Return parents, log tables, and the log weight of all below each variable."""
    tables, fields = reader.weigh(sites)
    parents = sites[PARENTS]
    first = jnp.where(jnp.arange(reader.num_values) == 0, 0.0, -jnp.inf)
    above = jnp.where(parents == reader.num_variables, -1, parents)
    potentials = jnp.where(reader.is_there(parents)[:, None], fields, first)
    return above, tables, weigh_below(above, tables, potentials)
