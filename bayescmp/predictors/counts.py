"""Rungs that only count what was shown."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from bayescmp.generative import AbstractGenerativeModel
from bayescmp.predictors.predictor import AbstractPredictor, Predictive
from bayescmp.records import Batch

CHUNK = 256
"""Sequences that are counted at once."""

ORDERS = ("counts", "bigram", "trigram")
"""Words for orders 0, 1 and 2 in names."""


class AddAlphaCounts(AbstractPredictor):
    """Frequencies of the outcomes shown so far, each count raised by ``alpha``.

    With ``c`` the last ``order`` outcomes, ``n(c, y)`` how often ``y`` has followed them
    in this sequence and ``n(c) = sum_y n(c, y)``,
    ``p(y_t = y | s_t) = (n(c, y) + alpha) / (n(c) + alpha num_outcomes)``.

    Order 0 is the in-context unigram: exact under a symmetric Dirichlet prior with
    concentration ``alpha``. Order 1 is the in-context bigram: exact for a Markov chain
    whose rows have that prior. A position with fewer than ``order`` outcomes before it
    takes all of them for its context, which has never occurred before; its law is uniform.

    Source: Edelman et al., "The Evolution of Statistical Induction Heads", arXiv 2402.11004.

    Example:
        >>> model = bc.models.beta_bernoulli(length=4)
        >>> batch = model.batch_from_sites({"token": jnp.array([[1, 0, 1, 0]])})
        >>> np.exp(AddAlphaCounts(model, order=1).log_predictive(batch)[0, :, 1]).round(3)
        array([0.5  , 0.5  , 0.5  , 0.333], dtype=float32)
    """

    model: AbstractGenerativeModel
    alpha: float = eqx.field(static=True)
    order: int = eqx.field(static=True)
    name: str = eqx.field(static=True)

    def __init__(
        self,
        model: AbstractGenerativeModel,
        alpha: float = 1.0,
        order: int = 0,
        *,
        name: str | None = None,
    ) -> None:
        """Count a model's outcomes.

        Args:
            model: Model of the sequences; its outcomes are finite and shown when asked.
            alpha: What is added to each count, positive.
            order: Number of last outcomes that make up the context.
            name: Name in tables; "add-one counts", "add-0.5 bigram" and so on by default.

        Raises:
            ValueError: If the outcomes are not shown or not finite, or a number is out of
                range.
        """
        reason = why_not_countable(model)
        if reason is not None:
            raise ValueError(f"model: expected {reason}")
        if not 0.0 < alpha < math.inf:
            raise ValueError(f"alpha: expected a positive number, got {alpha}")
        if order < 0:
            raise ValueError(f"order: expected at least 0, got {order}")
        self.model = model
        self.alpha = float(alpha)
        self.order = order
        kind = ORDERS[order] if order < len(ORDERS) else f"counts of order {order}"
        self.name = name or f"add-{'one' if alpha == 1.0 else f'{alpha:g}'} {kind}"

    def log_predictive(self, batch: Batch) -> Predictive:
        """Answer from the counts in each sequence."""
        return jax.lax.map(self._one, batch.outcomes, batch_size=CHUNK)

    def _one(self, outcomes: Int[Array, " position"]) -> Float[Array, "position outcome"]:
        num_outcomes = self.model.num_outcomes
        one_hot = jax.nn.one_hot(outcomes, num_outcomes, dtype=jnp.result_type(float))
        counts = _same_context(outcomes, self.order).astype(one_hot.dtype) @ one_hot
        total = jnp.sum(counts, axis=1, keepdims=True) + self.alpha * num_outcomes
        return jnp.log(counts + self.alpha) - jnp.log(total)


def why_not_countable(model: AbstractGenerativeModel) -> str | None:
    """Say what a model would need for its outcomes to be counted.

    Args:
        model: Generative model.

    Returns:
        What was expected and what was found; None where outcomes can be counted.
    """
    layout = model.layout
    if not layout.reveal:
        return f"outcomes that are shown after they are asked, got {layout.outcome.name!r} hidden"
    if layout.outcome.num_values is None:
        return (
            f"outcomes with finitely many values to count, got {layout.outcome.name!r} with "
            f"support {layout.outcome.support}"
        )
    return None


def _same_context(outcomes: Int[Array, " position"], order: int) -> Array:
    """Mark ``[t, s]`` where ``s < t`` and the same ``order`` outcomes stand before both."""
    positions = jnp.arange(outcomes.shape[0])
    same = (positions[None, :] < positions[:, None]) & (positions[None, :] >= order)
    for age in range(1, order + 1):
        before = jnp.roll(outcomes, age)  # what wraps around stands before position ``order``
        same &= before[:, None] == before[None, :]
    return same
