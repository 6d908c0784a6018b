"""Factor graphs of one structure: the marginal of every variable, given evidence on some."""

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike

from bayescmp.engine import AbstractEngine
from bayescmp.exact.graphs.ancestral import ancestral_laws, drawing_order
from bayescmp.exact.graphs.elimination_order import EliminationPlan, plan_elimination, reject_wide
from bayescmp.exact.graphs.factor_graph import FactorGraph
from bayescmp.exact.graphs.graph_engine import GraphEngine
from bayescmp.exact.graphs.graph_rows import GraphRows, check_room
from bayescmp.exact.graphs.graph_shape import GraphShape
from bayescmp.exact.graphs.named_graph import find_name, find_number
from bayescmp.exact.graphs.summing import LogTables
from bayescmp.exact.settings import constant
from bayescmp.graph_model import AbstractGraphModel
from bayescmp.layout import Questions
from bayescmp.models.graph_arguments import (
    name_variables,
    observable_variables,
    require_kind,
    require_probability,
    smallest_shape,
)
from bayescmp.models.graph_sites import EVIDENCE, VALUE, GraphSites, Shows
from bayescmp.models.table_laws import FixedTables, Sites, TableLaw
from bayescmp.records import Batch


class FactorGraphModel(AbstractGraphModel):
    """A factor graph with tables of its own for each sequence, or the same for all.

    ``p(x) ~ prod_f T_f(x_f) prod_v U_v(x_v)``. The tables come from their law; ``x`` is drawn
    from this law exactly, variable by variable; each is seen with probability ``evidence_prob``,
    whatever its value. Given are the tables, where they are drawn, and the evidence: 0 for
    a variable that is not seen, one more than its value else. Asked is ``p(x_v | evidence)`` of
    every variable; what is seen does not count.

    Source: Pearl, "Probabilistic Reasoning in Intelligent Systems" (1988), chapter 4; as a task
    for transformers, Coppola, "Transformers are Bayesian Networks", arXiv 2603.17063.

    Example:
        >>> structure = bc.models.graph_structures.chain(3)
        >>> model = FactorGraphModel(structure, bc.models.UniformTables(low=0.05))
        >>> bc.derive_oracle(model)(model.sample(4, key=jax.random.key(0))).log_predictive.shape
        (4, 3, 2)
    """

    graph: FactorGraph = eqx.field(static=True)
    law: TableLaw = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)
    evidence_prob: float = eqx.field(static=True)
    observable: tuple[str, ...] = eqx.field(static=True)
    shows: Shows = eqx.field(static=True)
    shape: GraphShape = eqx.field(static=True)

    def __init__(
        self,
        graph: FactorGraph,
        law: TableLaw,
        *,
        names: Sequence[str] | None = None,
        evidence_prob: float = 0.3,
        observable: Sequence[str] | None = None,
        shows: Shows = "graph",
        shape: GraphShape | None = None,
    ) -> None:
        """Describe the process.

        Args:
            graph: Scopes and sizes, for instance from ``graph_structures``.
            law: Where the tables come from.
            names: Name of each variable; ``x0``, ``x1`` and so on by default.
            evidence_prob: Probability with which each observable variable is seen.
            observable: Names of the variables that can be seen; all by default.
            shows: "graph" writes structure, tables and evidence into the rows; "evidence" the
                evidence alone, which takes tables that are fixed.
            shape: Bounds to which rows are filled up; those of the graph by default.

        Raises:
            TypeError: If graph, law or shape are something else.
            ValueError: If names clash, tables or shape do not fit the graph, a probability is out
                of range, every variable is always seen, the graph is too wide to sum over, or
                fixed tables allow nothing.
        """
        require_kind("graph", graph, FactorGraph)
        require_kind("law", law, TableLaw)
        self.graph, self.law = graph, law
        self.names = name_variables(graph, names, (*law.site_names, EVIDENCE, VALUE))
        self.evidence_prob = require_probability("evidence_prob", evidence_prob)
        self.observable = observable_variables(self.names, observable)
        self.shows = shows
        self.shape = smallest_shape(graph) if shape is None else shape
        require_kind("shape", self.shape, GraphShape)
        if shows not in get_args(Shows):
            raise ValueError(f"shows: expected one of {get_args(Shows)}, got {shows!r}")
        if shows == "evidence" and law.site_names:
            raise ValueError(
                f"shows: expected 'graph' for tables that differ between sequences "
                f"({law.describe()}), got 'evidence'"
            )
        if self.evidence_prob == 1.0 and len(self.observable) == len(self.names):
            raise ValueError("evidence_prob: expected below 1 where all can be seen, got 1.0")
        law.check(graph, self._sites.factors)
        check_room(graph, self.shape)
        reject_wide(_plan(graph))
        if isinstance(law, FixedTables):
            law.require_possible(graph)

    def program(self) -> None:
        """Draw tables, then variables from their exact conditionals, and show some of them."""
        laws = _laws(self.graph, self.law, self.law.draw(self.graph))
        values: dict[int, Array] = {}
        order = drawing_order(_plan(self.graph), self.graph.scopes)
        for (variable, *rest), law in zip(order, laws, strict=True):
            logits = law[(slice(None), *(values[u] for u in rest))]
            # NumPyro's validation refuses infinite logits, which is what certainty has.
            found = dist.Categorical(logits=logits, validate_args=False)
            values[variable] = numpyro.sample(self.names[variable], found)
        num_rows, num_values = self.shape.num_variables, self.shape.num_values
        every = jnp.stack([values[v] for v in range(len(self.names))])
        every = jnp.pad(every, (0, num_rows - len(self.names)))
        is_value = every[:, None] == jnp.arange(num_values)
        chance = constant(self._chances())[:, None]
        seen = jnp.concatenate([1.0 - chance, chance * is_value], axis=1)
        with numpyro.plate("variable", num_rows):
            numpyro.sample(EVIDENCE, dist.Categorical(probs=seen))
        certain = jnp.where(is_value, jnp.zeros(()), -jnp.inf)
        with numpyro.plate("position", num_rows):
            numpyro.sample(VALUE, dist.Categorical(logits=certain, validate_args=False))

    def questions(self) -> Questions:
        """Give tables and evidence as rows, and ask for every variable."""
        given = (*self.law.site_names, EVIDENCE)
        return Questions(outcome=VALUE, given=given, reveal=False, rows=self._sites)

    def closed_form(self) -> AbstractEngine:
        """Return variable elimination on the graph."""
        return GraphEngine(self._sites)

    def title(self) -> str:
        """Return the name for tables."""
        kind = "tree" if self.is_tree else "loopy graph"
        return f"{kind} of {len(self.names)} variables, {self.law.describe()}"

    @property
    def graph_shape(self) -> GraphShape:
        """Bounds to which rows are filled up."""
        return self.shape

    @property
    def num_rounds(self) -> int:
        """The diameter of the graph; factors of one variable are evidence, and need no round."""
        joint = tuple(scope for scope in self.graph.scopes if len(scope) > 1)
        return FactorGraph(joint, self.graph.sizes).diameter

    @property
    def is_tree(self) -> bool:
        """Whether the graph has no loop."""
        return self.graph.is_tree

    def rows(self, sites: dict[str, Array]) -> GraphRows:
        """Return the graph, the tables and the evidence of one example."""
        return self._sites.rows(sites)

    def pose(self, evidence: Mapping[str, int], **tables: ArrayLike | Sequence) -> Batch:
        """Ask about one state of knowledge: this is seen, and nothing else.

        Args:
            evidence: Value of each variable that is seen, by name.
            **tables: Values of the law's sites, where tables are drawn.

        Returns:
            One example; its outcomes are placeholders.

        Raises:
            TypeError: If the evidence is not by name.
            ValueError: If a name is unknown, a variable cannot take its value, or the law's
                sites are not those that are given.

        Example:
            >>> law = bc.models.FixedTables([[[0.9, 0.1], [0.2, 0.8]]])
            >>> graph = bc.models.graph_structures.chain(2)
            >>> model = FactorGraphModel(graph, law, names=("flu", "fever"))
            >>> batch = model.pose({"fever": 1})
            >>> np.exp(bc.derive_oracle(model)(batch).log_predictive[0]).round(3)
            array([0.111, 0.889], dtype=float32)
        """
        require_kind("evidence", evidence, Mapping)
        codes = np.zeros(self.shape.num_variables, int)
        for name, value in evidence.items():
            variable = find_name("evidence", name, self.names)
            codes[variable] = find_number(name, value, self.graph.sizes[variable]) + 1
        outcomes = jnp.maximum(jnp.asarray(codes) - 1, 0)
        sites = {name: jnp.asarray(x) for name, x in tables.items()}
        return self.batch_from_sites({**sites, EVIDENCE: jnp.asarray(codes), VALUE: outcomes})

    @property
    def _sites(self) -> GraphSites:
        return GraphSites(self.graph, self.law, self.names, self.shape, self.shows)

    def _chances(self) -> np.ndarray:
        """Return the probability of each row to be seen."""
        seen = np.array([name in self.observable for name in self.names]) * self.evidence_prob
        return np.pad(seen, (0, self.shape.num_variables - len(self.names)))


@lru_cache(maxsize=256)
def _plan(graph: FactorGraph) -> EliminationPlan:
    return plan_elimination(graph.scopes, graph.sizes)


@partial(jax.jit, static_argnums=(0, 1))  # one compilation in place of one for each operation
def _laws(graph: FactorGraph, law: TableLaw, sites: Sites) -> LogTables:
    """Return the law of each variable, in the order of drawing."""
    return ancestral_laws(_plan(graph), graph.scopes, *law.weigh(graph, sites))[1]
