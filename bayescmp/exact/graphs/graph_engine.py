"""The exact answer for factor graphs that the prompt gives: the marginal of every variable."""

import abc
import math

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp.engine import AbstractEngine
from bayescmp.exact.graphs.ancestral import ancestral_laws, drawing_order, log_marginals
from bayescmp.exact.graphs.elimination_order import EliminationPlan, plan_elimination, reject_wide
from bayescmp.exact.graphs.factor_graph import FactorGraph
from bayescmp.exact.graphs.summing import LogPotentials, LogTables
from bayescmp.records import Reference


class GraphReader(abc.ABC):
    """What an engine has to know of a model to read its sites; hashable."""

    graph: FactorGraph
    """Scopes and sizes."""
    names: tuple[str, ...]
    """Site of each variable."""
    num_rows: int
    """Number of questions: variables and padding."""
    num_values: int
    """Number of values that answers have room for."""

    @abc.abstractmethod
    def weigh(self, sites: dict[str, Array]) -> tuple[LogTables, LogPotentials]:
        """Return the log tables of one example, and its evidence, in nats.

        Args:
            sites: Values of the given sites, by name.

        Returns:
            One table for each scope, and one vector for each variable.
        """

    @abc.abstractmethod
    def treatment(self) -> dict[str, str]:
        """Say how the shown and asked sites are dealt with."""


class GraphEngine(AbstractEngine):
    """Sums over all settings of a factor graph, one variable at a time, in log space.

    The questions share their evidence, so that one sum answers all of them. Padding has its first
    value. ``belief[name][t]`` is the law of a variable, the same for every question.
    """

    reader: GraphReader = eqx.field(static=True)
    plan: EliminationPlan = eqx.field(static=True)

    def __init__(self, reader: GraphReader) -> None:
        """Plan the order of elimination.

        Args:
            reader: Scopes, and how the sites say the rest.

        Raises:
            ValueError: If a table on the way would be too large.
        """
        self.reader = reader
        self.plan = plan_elimination(reader.graph.scopes, reader.graph.sizes)
        reject_wide(self.plan)

    @property
    def bytes_per_sequence(self) -> int:
        """Rough size of the tables behind the answers for one sequence."""
        return 32 * self.plan.total_cost

    def __call__(self, sites: dict[str, Array]) -> Reference:
        """Answer every question of one example."""
        tables, potentials = self.reader.weigh(sites)
        scopes = self.reader.graph.scopes
        log_total, laws = ancestral_laws(self.plan, scopes, tables, potentials)
        found = log_marginals(drawing_order(self.plan, scopes), laws)
        num_rows = self.reader.num_rows
        possible = ~jnp.isneginf(log_total)
        marginals = [jnp.where(possible, law, jnp.nan) for law in found]
        return Reference(
            log_predictive=self._stack(marginals),
            log_evidence=jnp.broadcast_to(jnp.where(possible, 0.0, -jnp.inf), (num_rows,)),
            belief={
                name: jnp.broadcast_to(jnp.exp(law), (num_rows, *law.shape))
                for name, law in zip(self.reader.names, marginals, strict=True)
            },
        )

    def windowed(self, sites: dict[str, Array], window: int) -> Float[Array, "position outcome"]:
        """Answer as ever: all that is shown stands in the prompt, which windows remember."""
        return self(sites).log_predictive

    def treatment(self) -> dict[str, str]:
        """Say how each site was dealt with."""
        return dict.fromkeys(self.reader.names, "summed out") | self.reader.treatment()

    def reason(self) -> str:
        """Say why the answer is exact."""
        num_settings = math.prod(self.reader.graph.sizes)
        return (
            f"variable elimination sums over all {num_settings:,} settings, in tables of at most "
            f"{self.plan.largest_table:,} entries"
        )

    def _stack(self, marginals: list[Array]) -> Float[Array, "position outcome"]:
        """Stack laws as rows, with values and variables filled up."""
        most = self.reader.num_values
        rows = [jnp.pad(x, (0, most - len(x)), constant_values=-jnp.inf) for x in marginals]
        first = jnp.where(jnp.arange(most) == 0, 0.0, -jnp.inf).astype(rows[0].dtype)
        return jnp.stack([*rows, *[first] * (self.reader.num_rows - len(rows))])
