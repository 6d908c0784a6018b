"""Belief propagation on the graph that each sequence shows, as a rival explanation."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp.exact.graphs.row_propagation import RowPropagation, propagate_rows
from bayescmp.graph_model import AbstractGraphModel
from bayescmp.predictors.predictor import AbstractPredictor, Predictive
from bayescmp.records import Batch


class GraphPropagation(AbstractPredictor):
    """Some rounds of sum-product messages on the graph of each sequence.

    No round leaves every variable's own evidence, and priors, which are factors of one variable;
    one round adds what its neighbours say. On trees the diameter makes it exact. On loops
    it is an approximation, whatever the number of rounds.

    Example:
        >>> structure = bc.models.graph_structures.chain(3)
        >>> model = bc.models.FactorGraphModel(structure, bc.models.UniformTables(low=0.1))
        >>> rungs = [GraphPropagation(model, num_rounds) for num_rounds in (0, 1, 2)]
        >>> [rung.name for rung in rungs], rungs[2].is_exact
        (['evidence alone', 'neighbours alone', 'belief propagation, 2 rounds'], True)
    """

    model: AbstractGraphModel
    num_rounds: int = eqx.field(static=True)
    cavity: bool = eqx.field(static=True)
    name: str = eqx.field(static=True)

    def __init__(
        self,
        model: AbstractGraphModel,
        num_rounds: int,
        *,
        cavity: bool = True,
        name: str | None = None,
    ) -> None:
        """Take a model's graphs.

        Args:
            model: Model that shows a graph and asks for its variables.
            num_rounds: Rounds of messages; none leaves the evidence alone.
            cavity: Whether a message leaves out what it was told by its receiver; without it
                evidence is counted again and again.
            name: Name in tables.

        Raises:
            ValueError: If the number of rounds is negative.
        """
        if num_rounds < 0:
            raise ValueError(f"num_rounds: expected at least 0, got {num_rounds}")
        self.model = model
        self.num_rounds = num_rounds
        self.cavity = cavity
        self.name = name or _name(num_rounds, cavity)

    @property
    def is_exact(self) -> bool:
        """Whether the graphs are trees, and messages reach all of them."""
        # The first messages are answers to nothing, with a cavity or without.
        return (
            (self.cavity or self.num_rounds == 1)
            and self.model.is_tree
            and self.num_rounds >= self.model.num_rounds
        )

    def log_predictive(self, batch: Batch) -> Predictive:
        """Return the beliefs after the last round; uniform for variables that are not there."""
        found, is_present = self._propagate(batch)
        beliefs = found.log_beliefs[:, -1]
        uniform = jnp.full_like(beliefs, -jnp.log(beliefs.shape[-1]))
        return jnp.where(is_present[..., None], beliefs, uniform)

    def residual(self, batch: Batch) -> Float[Array, " sequence"]:
        """Return the largest change of any message in the last round, in nats.

        Args:
            batch: Sequences of the model.

        Returns:
            Zero where messages are at rest, which is no proof that they are right; NaN
            where there was no round.
        """
        residual = self._propagate(batch)[0].residual
        return residual[:, -1] if self.num_rounds else jnp.full(residual.shape[0], jnp.nan)

    def _propagate(self, batch: Batch) -> tuple[RowPropagation, Array]:
        def one(sites: dict[str, Array]) -> tuple[RowPropagation, Array]:
            rows = self.model.rows(sites)
            return propagate_rows(rows, self.num_rounds, cavity=self.cavity), rows.is_present

        return jax.vmap(one)(self.model.engine_sites(batch))


def _name(num_rounds: int, cavity: bool) -> str:
    if num_rounds == 0:
        return "evidence alone"
    if num_rounds == 1:
        return "neighbours alone"
    return f"{'' if cavity else 'naive '}belief propagation, {num_rounds} rounds"
