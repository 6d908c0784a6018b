"""Belief propagation over a program's factor graph, as a rival explanation."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp.exact.graphs.belief_propagation import propagate
from bayescmp.exact.graphs.factor_graph import FactorGraph
from bayescmp.exact.graphs.question_graph import (
    asked_variables,
    question_scopes,
    question_sizes,
    reject_joint_draws,
    weigh_evidence,
)
from bayescmp.exact.reading.evidence import KnownNow, data_indices, known_when_asked
from bayescmp.exact.reading.factors import FactoredProgram
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.predictors.predictor import AbstractPredictor, Predictive
from bayescmp.records import Batch
from bayescmp.selection import factored


class BeliefPropagation(AbstractPredictor):
    """Sum-product messages for a number of rounds, over the graph of a discrete program.

    Exact on a tree from its diameter on. On a graph with loops it is an approximation,
    whatever the number of rounds, and never an oracle; :meth:`residual` says how far its
    messages are from rest.

    Example:
        >>> model = bc.models.HiddenMarkov(num_states=2, num_symbols=2, length=3)
        >>> rung = BeliefPropagation(model, num_rounds=1)
        >>> rung.name, rung.is_exact  # one round reaches neighbours alone
        ('belief propagation, 1 round', False)
    """

    model: AbstractGenerativeModel
    num_rounds: int = eqx.field(static=True)
    cavity: bool = eqx.field(static=True)
    name: str = eqx.field(static=True)
    factored: FactoredProgram = eqx.field(static=True)
    graph: FactorGraph = eqx.field(static=True)

    def __init__(
        self,
        model: AbstractGenerativeModel,
        num_rounds: int,
        *,
        cavity: bool = True,
        name: str | None = None,
    ) -> None:
        """Read the factor graph of a model.

        Args:
            model: Model with discrete latents.
            num_rounds: Rounds of messages, at least one.
            cavity: Whether a message leaves out what it was told by its receiver; without
                it evidence is counted again and again.
            name: Name in tables.

        Raises:
            ValueError: If there is no round, a latent is continuous, or the outcome is one
                joint draw.
        """
        if num_rounds < 1:
            raise ValueError(f"num_rounds: expected at least 1, got {num_rounds}")
        tables = factored(model)
        if not tables.is_exact:
            names = [site.name for site in tables.sites if site.element.is_continuous]
            raise ValueError(f"model: expected discrete latents, got the continuous {names}")
        reject_joint_draws(tables)
        self.model = model
        self.num_rounds = num_rounds
        self.cavity = cavity
        rounds = f"{num_rounds} round{'s' * (num_rounds > 1)}"
        plain = "belief propagation" if cavity else "naive belief propagation"
        self.name = name or f"{plain}, {rounds}"
        self.factored = tables
        self.graph = FactorGraph(question_scopes(tables), question_sizes(tables))

    @property
    def is_exact(self) -> bool:
        """Whether the graph is a tree, and messages reach all of it."""
        return self.cavity and self.graph.is_tree and self.num_rounds >= self.graph.diameter

    def log_predictive(self, batch: Batch) -> Predictive:
        """Return the beliefs about what is asked after the last round."""
        return self._propagate(batch)[0]

    def residual(self, batch: Batch) -> Float[Array, "sequence position"]:
        """Return the largest change of any message in the last round, in nats.

        Args:
            batch: Sequences of the model.

        Returns:
            Zero where messages are at rest; that is no proof that they are right.
        """
        return self._propagate(batch)[1]

    def _propagate(self, batch: Batch) -> tuple[Array, Array]:
        length = self.factored.layout.length
        known = jax.tree.map(jnp.asarray, known_when_asked(self.factored, length))
        asked = asked_variables(self.factored)

        def one(sites: dict[str, Array]) -> tuple[Array, Array]:
            tables = self.factored.tables(sites)
            indices = data_indices(self.factored, sites)

            def ask(now: KnownNow) -> tuple[tuple[Array, ...], Array]:
                parts = weigh_evidence(self.factored, tables, indices, now)
                found = propagate(
                    self.graph, *parts, num_rounds=self.num_rounds, cavity=self.cavity
                )
                return tuple(found.log_beliefs[variable] for variable in asked), found.residual[-1]

            beliefs, residual = jax.vmap(ask)(known)
            return jnp.stack([beliefs[step][step] for step in range(length)]), residual

        return jax.vmap(one)(self.model.engine_sites(batch))
