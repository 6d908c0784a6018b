"""Predictors from anywhere: callables that take batches, answer in probabilities, or run NumPy."""

from collections.abc import Callable
from typing import Any, Literal, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bayescmp._types import Inputs
from bayescmp.networks.network import AbstractNetwork

Answers = Literal["logits", "log_prob", "prob"]
ANSWERS: tuple[Answers, ...] = ("logits", "log_prob", "prob")

SUM_TOLERANCE = 1e-3
"""How far from one probabilities may sum: above rounding in half precision."""


@final
class AdaptedPredictor(AbstractNetwork):
    """A callable from elsewhere as a predictor; nothing inside it can be seen.

    Laws: leading axes are sequences, each answered as if alone; rows of the answer are log
    probabilities but for a constant.
    """

    predict: Callable[..., Any]
    answers: Answers = eqx.field(static=True)
    batched: bool = eqx.field(static=True)
    host_outcomes: int | None = eqx.field(static=True)

    def __call__(self, inputs: Inputs) -> Float[Array, "*sequence input_position outcome"]:
        """Return logits at every input position.

        Args:
            inputs: Tokens or vectors of one sequence; leading axes are sequences.

        Returns:
            Unnormalised log probabilities.
        """
        per_position = 0 if jnp.issubdtype(inputs.dtype, jnp.integer) else 1
        sequences = inputs.shape[: inputs.ndim - 1 - per_position]
        rows = inputs.reshape(-1, *inputs.shape[len(sequences) :])
        answers = self._ask(rows)
        return self._as_logits(answers).reshape(*sequences, *answers.shape[1:])

    def _ask(self, rows: Array) -> Array:
        """Ask about a batch of sequences."""
        if self.host_outcomes is not None:
            length = rows.shape[1]
            shape = (rows.shape[0], length, self.host_outcomes)
            wanted = jax.ShapeDtypeStruct(shape, jnp.result_type(float))
            return jax.pure_callback(lambda r: self._ask_host(np.asarray(r), wanted), wanted, rows)
        return self.predict(rows) if self.batched else jax.vmap(self.predict)(rows)

    def _ask_host(self, rows: np.ndarray, wanted: jax.ShapeDtypeStruct) -> np.ndarray:
        """Ask outside of what JAX compiles."""
        found = self.predict(rows) if self.batched else [self.predict(row) for row in rows]
        answers = np.asarray(found).astype(wanted.dtype)
        if answers.shape != wanted.shape:
            raise ValueError(
                f"predict: expected answers of shape {wanted.shape} (sequence, input_position, "
                f"outcome), got {answers.shape}"
            )
        return answers

    def _as_logits(self, answers: Array) -> Array:
        """Turn answers into logits, and refuse what is no law."""
        if self.answers == "logits":
            return answers
        given = answers if self.answers == "prob" else jnp.exp(answers)
        off = jnp.abs(given.sum(axis=-1) - 1.0) > SUM_TOLERANCE
        wrong = off.any() | (given < 0.0).any() | jnp.isnan(given).any()
        checked = eqx.error_if(
            answers, wrong, f"predict: expected {self.answers} over outcomes, got no law"
        )
        return jnp.log(checked) if self.answers == "prob" else checked


def adapt(
    predict: Callable[..., Any],
    *,
    batched: bool = False,
    answers: Answers = "logits",
    host_outcomes: int | None = None,
) -> AdaptedPredictor:
    """Make a predictor of any callable, for :func:`bayescmp.compare` and all outside measures.

    A function of JAX from one sequence's inputs to logits at each position needs no adapter.
    What looks inside a network says that it needs a trace, which such a callable has not.

    Args:
        predict: From the inputs of one sequence to its answers at each input position.
        batched: Whether it takes a batch of sequences instead.
        answers: What it gives: logits, log probabilities (nats) or probabilities.
        host_outcomes: Number of outcomes, for a function of NumPy arrays, which is then called
            outside of what JAX compiles; one of torch converts them itself.

    Returns:
        The predictor.

    Raises:
        TypeError: If ``predict`` cannot be called.
        ValueError: If ``answers`` is another word, or there is no outcome.

    Example:
        >>> def repeat(tokens):  # the last token comes again with probability 0.9
        ...     return np.where(np.arange(2) == tokens[:, None] - 1, 0.9, 0.1)
        >>> network = adapt(repeat, answers="prob", host_outcomes=2)
        >>> np.exp(network(jnp.array([1, 2]))).round(3)
        array([[0.9, 0.1],
               [0.1, 0.9]], dtype=float32)
    """
    if not callable(predict):
        raise TypeError(f"predict: expected a callable, got {type(predict).__name__}")
    if answers not in ANSWERS:
        raise ValueError(f"answers: expected 'logits', 'log_prob' or 'prob', got {answers!r}")
    if host_outcomes is not None and host_outcomes < 1:
        raise ValueError(f"host_outcomes: expected None or at least 1, got {host_outcomes}")
    return AdaptedPredictor(predict, answers, batched, host_outcomes)
