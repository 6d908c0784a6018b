"""Variable elimination answers the questions of programs of any dependency structure."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp.engine import AbstractEngine
from bayescmp.exact.graphs.elimination import log_partition, marginals
from bayescmp.exact.graphs.elimination_order import EliminationPlan, plan_elimination, reject_wide
from bayescmp.exact.graphs.question_graph import (
    asked_variables,
    question_scopes,
    question_sizes,
    reject_joint_draws,
    weigh_evidence,
)
from bayescmp.exact.reading.evidence import (
    Known,
    KnownNow,
    data_indices,
    known_afterwards,
    known_when_asked,
    treatment_of,
)
from bayescmp.exact.reading.factors import FactoredProgram
from bayescmp.records import Reference


class EliminationEngine(AbstractEngine):
    """Sums a factored program over all that a question does not know, one variable at a time.

    Each question is the same sum with other evidence, and all marginals come from one
    backward pass through it: ``p(v = k | s_t)`` is the derivative of the log evidence with
    respect to the log potential of value ``k``.

    ``belief[site][t]`` holds ``p(element = value | s_t)``: of the row of step ``t`` where a site
    has one row for each step, and else of every element.
    """

    factored: FactoredProgram = eqx.field(static=True)
    plan: EliminationPlan = eqx.field(static=True)

    def __init__(self, factored: FactoredProgram) -> None:
        """Plan the order of elimination.

        Args:
            factored: Program as a product of tables.

        Raises:
            ValueError: If a table on the way would be too large, or the outcome or a query
                is one joint draw without an element for each step.
        """
        reject_joint_draws(factored)
        self.factored = factored
        self.plan = plan_elimination(question_scopes(factored), question_sizes(factored))
        reject_wide(self.plan)

    def __call__(self, sites: dict[str, Array]) -> Reference:
        """Answer every question of one example."""
        layout, factored = self.factored.layout, self.factored
        tables, indices = factored.tables(sites), data_indices(factored, sites)
        probs = self._marginals(tables, indices, known_when_asked(factored, layout.length))
        evidence = jax.vmap(lambda known: self._log_evidence(tables, indices, known))
        nothing = jax.tree.map(lambda known: jnp.zeros_like(known[0]), known_afterwards(factored))
        return Reference(
            log_predictive=self._law(probs),
            log_evidence=evidence(jax.tree.map(jnp.asarray, known_afterwards(factored)))
            - self._log_evidence(tables, indices, nothing),
            belief=self._beliefs(probs),
        )

    def windowed(self, sites: dict[str, Array], window: int) -> Float[Array, "position outcome"]:
        """Answer as if only the last steps had been shown."""
        tables, indices = self.factored.tables(sites), data_indices(self.factored, sites)
        known = known_when_asked(self.factored, window)
        return self._law(self._marginals(tables, indices, known))

    def treatment(self) -> dict[str, str]:
        """Say for each site how it was dealt with."""
        return treatment_of(self.factored, "eliminated")

    def reason(self) -> str:
        """Say why the answer is exact."""
        return (
            f"elimination of {len(self.plan.order):,} variables sums over all joint values, with "
            f"a treewidth of at most {self.plan.width}"
        )

    @property
    def cost(self) -> int:
        """Entries of all tables that are built for one sequence, there and back."""
        return 2 * self.factored.layout.length * self.plan.total_cost

    @property
    def bytes_per_sequence(self) -> int:
        """Rough size of the largest arrays behind the answers for one sequence."""
        return 32 * self.factored.layout.length * self.plan.total_cost

    def _marginals(
        self,
        tables: tuple[Array, ...],
        indices: Array,
        known: Known,
    ) -> tuple[Float[Array, "position value"], ...]:
        """Return the probabilities of every variable at every question."""

        def ask(now: KnownNow) -> tuple[Array, ...]:
            parts = weigh_evidence(self.factored, tables, indices, now)
            return marginals(self.plan, question_scopes(self.factored), *parts)[1]

        return jax.vmap(ask)(jax.tree.map(jnp.asarray, known))

    def _log_evidence(
        self, tables: tuple[Array, ...], indices: Array, known: KnownNow
    ) -> Float[Array, ""]:
        parts = weigh_evidence(self.factored, tables, indices, known)
        return log_partition(self.plan, question_scopes(self.factored), *parts)

    def _law(self, probs: tuple[Array, ...]) -> Float[Array, "position outcome"]:
        """Return each question's own answer."""
        asked = enumerate(asked_variables(self.factored))
        law = jnp.stack([probs[variable][step] for step, variable in asked])
        return jnp.log(law / jnp.sum(law, axis=1, keepdims=True))

    def _beliefs(self, probs: tuple[Array, ...]) -> dict[str, Array]:
        layout = self.factored.layout
        shown = {site.name for site in layout.shown_sites}
        beliefs = {}
        for site in self.factored.sites:
            if site.name in shown:
                continue
            every = jnp.stack([probs[v] for v in site.numbers.ravel()], axis=1)
            every = every.reshape(layout.length, *site.batch_shape, site.num_values)
            by_step = site.batch_shape[:1] == (layout.length,)
            beliefs[site.name] = (
                jnp.stack([every[step, step] for step in range(layout.length)])
                if by_step
                else every
            )
        return beliefs
