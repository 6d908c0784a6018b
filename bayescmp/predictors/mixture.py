"""A fixed mixture of explanations."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float

from bayescmp.oracle import AbstractOracle
from bayescmp.predictors.predictor import AbstractPredictor, Predictive
from bayescmp.records import Batch

TOLERANCE = 1e-5
"""How far weights may sum from one: a hundred terms in float32 round to 100 * 6e-8."""


class Mixture(AbstractPredictor):
    """The same weighted mean of several laws at every question.

    ``p(y_t | s_t) = sum_i w_i p_i(y_t | s_t)``, where no ``w_i`` learns from the sequence.

    Example:
        >>> fair, sure = (bc.predictors.FixedLaw(jnp.log(jnp.array(law)), name) for law, name in
        ...               [([0.5, 0.5], "fair"), ([0.0, 1.0], "sure")])
        >>> rung = Mixture((fair, sure), np.log([0.5, 0.5]), "half fair")
        >>> batch = bc.models.beta_bernoulli(length=2).sample(1, key=jax.random.key(0))
        >>> np.exp(rung.log_predictive(batch)[0, 0]).round(2)
        array([0.25, 0.75], dtype=float32)
    """

    predictors: tuple[AbstractPredictor | AbstractOracle, ...]
    log_weights: Float[Array, " predictor"]
    """In nats; minus infinity for a predictor without weight."""
    name: str = eqx.field(static=True)

    def __init__(
        self,
        predictors: Sequence[AbstractPredictor | AbstractOracle],
        log_weights: Sequence[float] | Float[np.ndarray, " predictor"] | Float[Array, " predictor"],
        name: str,
    ) -> None:
        """Mix predictors.

        Args:
            predictors: Rungs or oracles that answer the same questions.
            log_weights: Log weight of each, in nats.
            name: Name in tables.

        Raises:
            ValueError: If there is no predictor, or the weights do not fit or sum to one.
        """
        weights = np.exp(np.asarray(log_weights, np.float64))
        if not predictors:
            raise ValueError("predictors: expected at least one, got none")
        if weights.shape != (len(predictors),):
            raise ValueError(
                f"log_weights: expected one for each of {len(predictors)} predictors, got shape "
                f"{weights.shape}"
            )
        if not abs(weights.sum() - 1.0) <= TOLERANCE:
            raise ValueError(f"log_weights: expected weights that sum to 1, got {weights.sum()}")
        self.predictors = tuple(predictors)
        with np.errstate(divide="ignore"), jax.enable_x64(True):
            self.log_weights = jnp.asarray(np.log(weights / weights.sum()))
        self.name = name

    def log_predictive(self, batch: Batch) -> Predictive:
        """Mix the answers of all predictors."""
        real = jnp.result_type(float)  # a weakly typed answer would yield to one in 32 bits
        laws = jnp.stack([_answer(p, batch).astype(real) for p in self.predictors])
        log_weights = self.log_weights.astype(real)
        return logsumexp(laws + log_weights[:, None, None, None], axis=0)


def _answer(predictor: AbstractPredictor | AbstractOracle, batch: Batch) -> Array:
    if isinstance(predictor, AbstractOracle):
        return predictor(batch).log_predictive
    return predictor.log_predictive(batch)
