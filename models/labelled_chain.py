"""Edge-emitting hidden Markov chains, given by labelled matrices; the next token is asked."""

import abc
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Float
from numpyro.contrib.control_flow import scan

from bayescmp.exact.chains.labelled_chain import LabelledChainEngine, Nested
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.layout import Questions

Labelled = Float[np.ndarray, "symbol state next_state"]
"""``p(symbol, next state = column | state = row)``, one matrix for each symbol."""


class AbstractLabelledChain(AbstractGenerativeModel):
    """A stationary chain that emits a token on each step from one state to the next.

    ``state_0 ~ stationary law``, then in turn ``token_t ~ sum_k T[.][state_t, k]`` and
    ``state_{t+1} ~ T[token_t][state_t, .]``, normalised. ``state_t`` is the state before
    token ``t``, and is never shown.
    """

    num_steps: eqx.AbstractVar[int]
    """Number of tokens in a sequence."""

    @abc.abstractmethod
    def labelled(self) -> Labelled:
        """Return ``p(token, next state | state)``, one matrix for each token."""

    def program(self) -> None:
        """Draw state and token in turn."""
        joint = np.moveaxis(self.labelled(), 0, 1)  # state, token, next state
        emission = joint.sum(axis=2, keepdims=True)
        # What follows a token that a state cannot emit is never drawn; any law will do.
        uniform = np.full_like(joint, 1.0 / joint.shape[0])
        following = np.divide(joint, emission, out=uniform, where=emission > 0.0)
        log_token, log_next = _logs(emission[:, :, 0]), _logs(following)

        def step(log_law: jax.Array, _: None) -> tuple[jax.Array, None]:
            # NumPyro's validation refuses infinite logits, which is what certainty has.
            state = numpyro.sample("state", dist.Categorical(logits=log_law, validate_args=False))
            law = dist.Categorical(logits=log_token[state], validate_args=False)
            token = numpyro.sample("token", law)
            return log_next[state, token], None

        scan(step, _logs(stationary_law(self.labelled().sum(axis=0))), None, length=self.num_steps)

    def questions(self) -> Questions:
        """Ask for each token, then show it."""
        return Questions(outcome="token")

    def closed_form(self) -> LabelledChainEngine:
        """Return the forward filter."""
        labelled = self.labelled()
        return LabelledChainEngine(
            initial=tuple(stationary_law(labelled.sum(axis=0)).tolist()),
            labelled=_nest(labelled),
            symbol_site="token",
            state_site="state",
        )


class LabelledChain(AbstractLabelledChain):
    """Any edge-emitting chain, from its labelled transition matrices.

    Example:
        >>> coin = LabelledChain([[[0.7]], [[0.3]]], length=8, name="a biased coin")
        >>> np.exp(coin.closed_form()({"token": jnp.zeros(8, int)}).log_predictive[0]).round(3)
        array([0.7, 0.3], dtype=float32)
    """

    matrices: Nested = eqx.field(static=True)
    num_steps: int = eqx.field(static=True)
    name: str = eqx.field(static=True)

    def __init__(
        self,
        labelled: Sequence[Sequence[Sequence[float]]] | Labelled,
        length: int = 10,
        name: str = "labelled chain",
    ) -> None:
        """Describe the process.

        Args:
            labelled: ``p(token, next state = column | state = row)``, one matrix for each token.
            length: Number of tokens in a sequence, at least one.
            name: Name for tables.

        Raises:
            ValueError: If the matrices are not square, or the outgoing probabilities of a
                state are negative or do not sum to one, or more than one law is
                stationary, or ``length`` is less than one.
        """
        matrices = np.asarray(labelled, np.float64)
        if matrices.ndim != 3 or matrices.shape[1] != matrices.shape[2]:
            raise ValueError(
                f"labelled: expected one square matrix for each token, got {matrices.shape}"
            )
        totals = matrices.sum(axis=(0, 2))
        if not (np.all(matrices >= 0.0) and np.allclose(totals, 1.0, rtol=0.0, atol=1e-9)):
            raise ValueError(
                "labelled: expected probabilities that sum to one for each state, over tokens "
                f"and next states, got sums {np.round(totals, 6).tolist()}"
            )
        stationary_law(matrices.sum(axis=0))
        require_length(length)
        self.matrices = _nest(matrices / totals[:, None])
        self.num_steps = length
        self.name = name

    def labelled(self) -> Labelled:
        """Return the matrices."""
        return np.array(self.matrices)

    def title(self) -> str:
        """Return the name for tables."""
        return self.name


def stationary_law(
    transition: Float[np.ndarray, "state next_state"],
) -> Float[np.ndarray, " state"]:
    """Return the law that a transition matrix leaves as it is, ``pi T = pi``.

    Args:
        transition: ``p(next state = column | state = row)``.

    Returns:
        The law, also of a periodic chain.

    Raises:
        ValueError: If there is more than one.

    Example:
        >>> stationary_law(np.array([[0.0, 1.0], [1.0, 0.0]])).round(12)
        array([0.5, 0.5])
    """
    num_states = transition.shape[0]
    equations = np.vstack([transition.T - np.eye(num_states), np.ones(num_states)])
    law, _, rank, _ = np.linalg.lstsq(equations, np.eye(num_states + 1)[-1], rcond=1e-12)
    if rank < num_states:
        raise ValueError("labelled: expected a chain with one stationary law, got several")
    law = np.where(law < 1e-13, 0.0, law)  # states that are left for good, up to rounding
    return law / law.sum()


def require_length(length: int) -> None:
    """Raise unless a sequence has at least one token.

    Args:
        length: Number of tokens.

    Raises:
        ValueError: If it has not.
    """
    if length < 1:
        raise ValueError(f"length: expected at least 1, got {length}")


def _nest(labelled: Labelled) -> Nested:
    return tuple(tuple(tuple(row) for row in matrix) for matrix in labelled.tolist())


def _logs(probabilities: np.ndarray) -> jax.Array:
    """Return logs in the precision that holds now."""
    with np.errstate(divide="ignore"):
        return jnp.asarray(np.log(probabilities).astype(jnp.result_type(float)))
