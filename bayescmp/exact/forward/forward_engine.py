"""One pass forwards through a factored program answers every question."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from bayescmp.engine import AbstractEngine
from bayescmp.exact.forward.frontier import Plan, plan_steps
from bayescmp.exact.forward.runner import Answers, run_plan
from bayescmp.exact.reading.evidence import data_indices, known_when_asked, treatment_of
from bayescmp.exact.reading.factors import FactoredProgram
from bayescmp.records import Reference


class ForwardEngine(AbstractEngine):
    """Forward filtering of a program that is read step by step.

    The message ``m_t(f) = log p(f, s_t)`` over the frontier ``f`` takes in the tables of each
    step's new variables and sums out those that nothing mentions any more. For a hidden Markov
    chain this is the forward recursion, for a mixture of any kind it is Bayes' rule over its
    components, and for both together their product. Steps with the same operations run as
    one compiled loop.

    ``belief[site][t]`` holds ``p(element = value | s_t)``: of the row of step ``t`` where a site
    has one row for each step, and else of every element.
    """

    factored: FactoredProgram = eqx.field(static=True)

    def __check_init__(self) -> None:
        """Reject programs that keep too much from step to step."""
        _ = self.plan

    @property
    def cost(self) -> int:
        """Entries of all tables that are built for one sequence."""
        return self.plan.cost

    def __call__(self, sites: dict[str, Array]) -> Reference:
        """Answer every question of one example."""
        plan = self.plan
        indices = data_indices(self.factored, sites)
        answers = run_plan(self.factored, plan, self.factored.tables(sites), indices)
        return Reference(
            log_predictive=answers.log_predictive,
            log_evidence=answers.log_evidence,
            belief=self.beliefs(answers),
        )

    def windowed(self, sites: dict[str, Array], window: int) -> Float[Array, "position outcome"]:
        """Answer as if only the last steps had been shown."""
        positions = jnp.arange(self.factored.layout.length)
        answer = jax.vmap(lambda position: self.answer_window(sites, window, position))
        return answer(positions).log_predictive

    def answer_window(
        self, sites: dict[str, Array], window: int, position: Int[Array, ""]
    ) -> Answers:
        """Answer one question as if only the last steps had been shown, by a pass of its own.

        Args:
            sites: Values of all given, query and outcome sites of one example.
            window: Number of last steps.
            position: Which question.

        Returns:
            Its answers; the evidence is that of what is remembered.

        Raises:
            ValueError: If a law depends on a continuous value that is forgotten.
        """
        tables = self.factored.tables(sites)
        indices = data_indices(self.factored, sites)
        variables, families = map(jnp.asarray, known_when_asked(self.factored, window))
        known = (variables[position], families[position])
        answers = run_plan(self.factored, self.soft_plan, tables, indices, known)
        return jax.tree.map(lambda x: x[position], answers)

    def beliefs(self, answers: Answers) -> dict[str, Array]:
        """Give the elements of each believed site the axes that they have in the program.

        Args:
            answers: What one pass by ``plan`` found out.

        Returns:
            ``p(element = value | s_t)`` by site; the axis ``position`` comes first.
        """
        found = {}
        for (name, by_row), x in zip(self.plan.beliefs.items(), answers.marginals, strict=True):
            site = self.factored.site(name)
            shape = () if site is None else site.batch_shape[int(by_row) :]
            found[name] = x.reshape(x.shape[0], *shape, x.shape[-1])
        return found

    def treatment(self) -> dict[str, str]:
        """Say for each site how it was dealt with."""
        return treatment_of(self.factored, "summed step by step")

    def reason(self) -> str:
        """Say why the answer is exact."""
        kept = max(math.prod(step.entering) for step in self.plan.steps)
        return (
            f"one pass forwards sums over everything hidden, with at most {kept:,} joint values "
            "kept from step to step"
        )

    @property
    def plan(self) -> Plan:
        """What to do in each step."""
        return plan_steps(self.factored)

    @property
    def soft_plan(self) -> Plan:
        """What to do in each step where only some of what is shown is remembered."""
        return plan_steps(self.factored, soft=True)

    @property
    def bytes_per_sequence(self) -> int:
        """Rough size of the largest arrays behind the answers for one sequence."""
        varying = sum(
            math.prod(self.factored.sizes[v] for v in family.scope)
            for family, table in zip(self.factored.families, self.factored.constants, strict=True)
            if table is None
        )
        return 32 * (self.plan.largest + varying)

    @property
    def bytes_per_window(self) -> int:
        """Rough size of the largest arrays behind the windowed answers for one sequence."""
        length = self.factored.layout.length
        return self.bytes_per_sequence + 32 * length * self.soft_plan.largest
