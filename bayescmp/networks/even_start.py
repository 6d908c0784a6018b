"""A start token for networks that never saw one: a row for which they answer evenly."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bayescmp.networks.transformer import Transformer

MOST_STEPS = 100
"""Steps in which such a row must be found."""


def answer_start_evenly(network: Transformer) -> Transformer:
    """Give the start token a row of the embedding for which the first answer is even.

    A network that never saw a start token knows nothing when it is asked what comes first. Its
    row ``e`` solves ``z_i(e) = mean z(e)`` for the logits ``z`` there, by Gauss and Newton's
    steps of least length from the mean row of the other tokens at the next position.

    Args:
        network: Transformer whose first input is hidden from later ones.

    Returns:
        The same with another first row in the embedding, and zeros as its position.

    Raises:
        ValueError: If no such row is found.
    """
    tokens, places = network.embedding[1:], network.position_embedding
    row = np.asarray(tokens.mean(axis=0), np.float64)
    if places is not None:
        row = row + np.asarray(places[1], np.float64)
        network = eqx.tree_at(lambda n: n.position_embedding, network, places.at[0].set(0.0))
    tolerance = 16.0 * float(jnp.finfo(tokens.dtype).eps)
    gap, slope, size = _measure(network, row)
    for _ in range(MOST_STEPS):
        if np.abs(gap).max() <= tolerance * max(1.0, size):
            return _with_start(network, jnp.asarray(row, tokens.dtype))
        step = np.linalg.lstsq(slope, -gap, rcond=1e-6)[0]
        row, gap, slope, size = _descend(network, row, step, float(np.abs(gap).max()))
    raise ValueError(
        "weights: expected a network that can answer evenly where nothing is shown, got one whose "
        f"logits there stay {np.abs(gap).max():.2g} apart; import it without a model"
    )


def _descend(
    network: Transformer, row: np.ndarray, step: np.ndarray, before: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Go along a step until the logits are nearer to each other than before."""
    for share in 0.5 ** np.arange(12):
        gap, slope, size = _measure(network, row + share * step)
        if np.abs(gap).max() < before:
            break
    return row + share * step, gap, slope, size


def _measure(
    network: Transformer, row: Float[np.ndarray, " feature"]
) -> tuple[Float[np.ndarray, " outcome"], Float[np.ndarray, "outcome feature"], float]:
    """Return the logits above their mean, their slopes along the row, and their size."""
    logits, slope = _first_answer(network, jnp.asarray(row, network.embedding.dtype))
    values, slopes = np.asarray(logits, np.float64), np.asarray(slope, np.float64)
    return values - values.mean(), slopes - slopes.mean(axis=0), float(np.abs(values).max())


@eqx.filter_jit
def _first_answer(
    network: Transformer, row: Float[Array, " feature"]
) -> tuple[Float[Array, " outcome"], Float[Array, "outcome feature"]]:
    def answer(row: Array) -> Array:
        return _with_start(network, row)(jnp.zeros(1, jnp.int32))[0]

    return answer(row), jax.jacrev(answer)(row)


def _with_start(network: Transformer, row: Float[Array, " feature"]) -> Transformer:
    return eqx.tree_at(lambda n: n.embedding, network, network.embedding.at[0].set(row))
