"""Predictors: anything that gives a law over the outcomes at each question."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp.exact.chains.filtering import FilterEngine
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.oracle import AbstractOracle, Oracle
from bayescmp.records import Batch

Predictive = Float[Array, "sequence position outcome"]


class AbstractPredictor(eqx.Module):
    """A rival explanation: it answers the same questions as a network.

    Law: the answers normalise over outcomes.

    Example:
        >>> class Swapped(AbstractPredictor):  # of two outcomes: right entropy, wrong law
        ...     oracle: bc.Oracle
        ...     name: str = "swapped"
        ...
        ...     def log_predictive(self, batch):
        ...         return self.oracle(batch).log_predictive[..., ::-1]
        >>> model = bc.models.beta_bernoulli(length=4)
        >>> batch = model.batch_from_sites({"token": jnp.array([[1, 1, 1, 1]])})
        >>> np.exp(Swapped(bc.derive_oracle(model)).log_predictive(batch)[0, :, 1]).round(3)
        array([0.5  , 0.333, 0.25 , 0.2  ], dtype=float32)
    """

    name: eqx.AbstractVar[str]
    """Name in tables."""

    @abc.abstractmethod
    def log_predictive(self, batch: Batch) -> Predictive:
        """Answer every question of a batch, log probabilities in nats."""


class FixedLaw(AbstractPredictor):
    """The same law at every question, or one law for each position.

    Example:
        >>> model = bc.models.beta_bernoulli(length=4)
        >>> batch = model.batch_from_sites({"token": jnp.array([[1, 1, 1, 1]])})
        >>> fair = FixedLaw(log_law=jnp.log(jnp.array([0.5, 0.5])), name="fair coin")
        >>> jnp.exp(fair.log_predictive(batch)[0, :, 1])
        Array([0.5, 0.5, 0.5, 0.5], dtype=float32)
    """

    log_law: Float[Array, "*position outcome"]
    """Log probabilities, with or without an axis for positions."""
    name: str = eqx.field(static=True)

    def log_predictive(self, batch: Batch) -> Predictive:
        """Repeat the law for every question."""
        shape = (*batch.outcomes.shape, self.log_law.shape[-1])
        return jnp.broadcast_to(self.log_law, shape)


class WindowPredictor(AbstractPredictor):
    """The oracle with a short memory: exact given the last steps alone.

    Example:
        >>> model = bc.models.beta_bernoulli(length=4)
        >>> batch = model.batch_from_sites({"token": jnp.array([[1, 1, 1, 1]])})
        >>> rung = WindowPredictor(bc.derive_oracle(model), window=1)
        >>> np.exp(rung.log_predictive(batch)[0, :, 1]).round(3)  # never surer than 2 in 3
        array([0.5  , 0.667, 0.667, 0.667], dtype=float32)
    """

    oracle: AbstractOracle
    window: int = eqx.field(static=True)
    name: str = eqx.field(static=True)

    def __init__(self, oracle: AbstractOracle, window: int) -> None:
        """Shorten an oracle's memory.

        Args:
            oracle: Oracle to shorten.
            window: Number of last steps that it remembers, at least one.

        Raises:
            ValueError: If ``window`` is less than one.
        """
        if window < 1:
            raise ValueError(f"window: expected at least 1, got {window}")
        self.oracle = oracle
        self.window = window
        self.name = f"window {window}"

    def log_predictive(self, batch: Batch) -> Predictive:
        """Answer from the last steps."""
        return self.oracle.windowed(batch, self.window)


class RestartPredictor(AbstractPredictor):
    """A forward filter that is started anew some steps ago, from the chain's first law.

    Weaker than :class:`WindowPredictor`, and the "window" of the published figures.

    Example:
        >>> model = bc.models.HiddenMarkov(num_states=2, num_symbols=2, length=4)
        >>> RestartPredictor(bc.derive_oracle(model), window=2).name
        'restart 2'
    """

    model: AbstractGenerativeModel
    engine: FilterEngine
    window: int = eqx.field(static=True)
    name: str = eqx.field(static=True)

    def __init__(self, oracle: AbstractOracle, window: int) -> None:
        """Restart an oracle's filter.

        Args:
            oracle: Oracle whose engine is a forward filter.
            window: Number of last steps that are filtered, at least one.

        Raises:
            TypeError: If the oracle's engine is no forward filter.
            ValueError: If ``window`` is less than one.
        """
        if not isinstance(oracle, Oracle) or not isinstance(oracle.engine, FilterEngine):
            raise TypeError(
                f"oracle: expected one with a forward filter, got engine "
                f"{oracle.certificate.engine!r}"
            )
        if window < 1:
            raise ValueError(f"window: expected at least 1, got {window}")
        self.model = oracle.model
        self.engine = oracle.engine
        self.window = window
        self.name = f"restart {window}"

    def log_predictive(self, batch: Batch) -> Predictive:
        """Answer from the last steps, as if they were the first."""
        sites = self.model.engine_sites(batch)
        return jax.vmap(lambda example: self.engine.restarted(example, self.window))(sites)
