"""The tuned lens: an affine map of the residual stream before the network's own read-out."""

from dataclasses import dataclass

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bayescmp.layers.affine_lens import Questions, Vector, Whitening, follow_path, whiten
from bayescmp.layers.lens import read_streams
from bayescmp.networks.network import AbstractTracedNetwork

PENALTIES = (1e-2, 1e-3, 1e-4)
"""Ridge penalties that are tried, from the strongest on, until one does not help."""

NUM_STEPS = 30
"""Steps of L-BFGS at each penalty, begun where the one before ended."""


@dataclass(frozen=True)
class TunedLens:
    """``read_out(x + x @ weight + bias)`` for the residual stream ``x`` of one place."""

    weight: Float[np.ndarray, "feature feature"]
    bias: Float[np.ndarray, " feature"]
    penalty: float
    """The ridge penalty that was chosen; infinite where the unchanged stream is best."""

    def move(self, stream: Float[np.ndarray, "*row feature"]) -> np.ndarray:
        """Return what is read out, in the precision of the stream."""
        moved = stream.astype(np.float64) @ self.weight + self.bias
        return (stream + moved).astype(stream.dtype)


def fit_tuned_lens(
    network: AbstractTracedNetwork,
    fitting: Questions,
    choosing: Questions,
    *,
    penalties: tuple[float, ...] = PENALTIES,
    num_steps: int = NUM_STEPS,
) -> TunedLens:
    """Fit an affine map of one place's residual stream to the network's own answers.

    Minimised is ``E[KL(output || lens)]`` from the identity on, which is the logit lens. The
    penalty is on the mean square by which the map moves the stream, in units of the stream's own
    variance, and is the one with the least divergence on questions that were not fitted to. The
    search is not convex, so that another start might end elsewhere.

    Args:
        network: Network of the stream.
        fitting: Questions to fit to; ``law`` is the network's own answer.
        choosing: Questions on which the penalty is chosen.
        penalties: Those that are tried, from the strongest on.
        num_steps: Steps of L-BFGS at each of them.

    Returns:
        The lens.

    Source: Belrose et al., "Eliciting latent predictions from transformers with the tuned
    lens", arXiv 2303.08112, section 2.
    """
    whitening = whiten(fitting.stream, fitting.weights)
    scale = float(np.sqrt(fitting.weights @ np.mean((fitting.stream - whitening.mean) ** 2, 1)))
    fit_rows, choose_rows = (_rows(part, whitening, scale) for part in (fitting, choosing))

    def loss(flat: Vector, penalty: float) -> tuple[float, Vector]:
        value, slope = _slope(jnp.asarray(flat, jnp.float32), penalty, network, fit_rows)
        return float(value), np.asarray(slope, np.float64)

    def judge(flat: Vector) -> float:
        return float(_value(jnp.asarray(flat, jnp.float32), 0.0, network, choose_rows))

    size = fitting.stream.shape[1]
    start = np.zeros((whitening.directions.shape[1] + 1) * size)
    found, penalty = follow_path(loss, judge, start, penalties, num_steps)
    change = scale * found.reshape(-1, size)
    weight = whitening.directions @ change[:-1]
    return TunedLens(weight, change[-1] - whitening.mean @ weight, penalty)


Rows = tuple[Array, Array, Array, Array]
"""Stream, whitened stream in units of it, the network's answers, and weights."""


def _rows(questions: Questions, whitening: Whitening, scale: float) -> Rows:
    components = jnp.asarray(scale * whitening(questions.stream), jnp.float32)
    stream, law, weights = (
        jnp.asarray(part, jnp.float32)
        for part in (questions.stream, questions.law, questions.weights)
    )
    return stream, components, law, weights


def _loss(flat: Array, penalty: float | Array, network: AbstractTracedNetwork, rows: Rows) -> Array:
    """Return the divergence above its least possible value but for a constant."""
    stream, components, law, weights = rows
    change = flat.reshape(components.shape[1], stream.shape[1])
    log_lens = read_streams(network, stream + components @ change).astype(jnp.float32)
    terms = jnp.where(law > 0, law * (jnp.log(jnp.where(law > 0, law, 1.0)) - log_lens), 0.0)
    return weights @ terms.sum(axis=-1) + 0.5 * penalty * jnp.sum(change[:-1] ** 2)


_value = eqx.filter_jit(_loss)
_slope = eqx.filter_jit(eqx.filter_value_and_grad(_loss))
