"""What each checkpoint of a network does on the same sequences, as curves over training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Bool, Float

from bayescmp import measures
from bayescmp.comparison.evaluation import Evaluation
from bayescmp.comparison.tally import BITS, LogLaws
from bayescmp.inspection.history import find_reach
from bayescmp.layers.phases import js_divergence
from bayescmp.layers.streams import all_streams
from bayescmp.networks.network import AbstractTracedNetwork

CHUNK = 128
"""Sequences that are traced in one call."""


@dataclass(frozen=True)
class Curves:
    """What each sequence says of each checkpoint, in bits.

    A sequence's divergences are summed over its questions that count and divided by the mean
    number of such questions, so that means over sequences are means over questions.
    """

    weights: Float[np.ndarray, " sequence"]
    """Their sum is one."""
    lens_kl: Float[np.ndarray, "checkpoint sequence stream"]
    """``KL(exact || logit lens)``; the last place is the output."""
    rung_kl: Float[np.ndarray, "checkpoint sequence rung"]
    """``KL(rung || network)``."""
    frame: Float[np.ndarray, "checkpoint sequence"]
    """Distance of attention, or of the mixers' output, to the last checkpoint's."""
    head_frame: Float[np.ndarray, "checkpoint sequence block head"] | None
    """Distance of each head's attention; None where nothing attends with probabilities."""

    @property
    def kl(self) -> Float[np.ndarray, "checkpoint sequence"]:
        """``KL(exact || network)``."""
        return self.lens_kl[..., -1]

    def mean(
        self, values: Float[np.ndarray, "checkpoint sequence *rest"]
    ) -> Float[np.ndarray, "checkpoint *rest"]:
        """Average over sequences.

        Args:
            values: One of the fields.

        Returns:
            Its mean.
        """
        return np.einsum("cs...,s->c...", values, self.weights)


def trace_curves(
    networks: Sequence[AbstractTracedNetwork],
    evaluation: Evaluation,
    laws: Mapping[str, LogLaws],
) -> Curves:
    """Trace every checkpoint on the same sequences, a few at a time.

    Args:
        networks: Checkpoints, in order.
        evaluation: Sequences and exact answers.
        laws: Log probabilities of each rung on them.

    Returns:
        The curves.

    Raises:
        ValueError: If a network's answers are not finite.
    """
    num = evaluation.log_p.shape[0]
    weights = np.full(num, 1.0 / num) if evaluation.weights is None else evaluation.weights
    scale = float(weights @ evaluation.supervised.sum(axis=1))
    parts = []
    for start in range(0, num, CHUNK):
        cut = slice(start, min(start + CHUNK, num))
        few = _Few.of(evaluation, laws, cut)
        last = _frame(*_look(networks[-1], few.inputs, few.positions)[1:])
        parts.append([few.compare(network, last) for network in networks])
    lens, rungs, frame = (
        np.concatenate([np.stack([each[i] for each in part]) for part in parts], axis=1)
        for i in range(3)
    )
    attends = frame.ndim == 4
    return Curves(
        weights=weights / weights.sum(),
        lens_kl=lens / scale,
        rung_kl=rungs / scale,
        frame=frame.mean(axis=(2, 3)) if attends else frame,
        head_frame=frame if attends else None,
    )


@dataclass(frozen=True)
class _Few:
    """Some of the sequences."""

    inputs: Array
    positions: Array
    log_p: LogLaws
    rungs: Sequence[LogLaws]
    counts: Bool[np.ndarray, "sequence position"]
    reach: Bool[np.ndarray, "sequence input_position"]

    @staticmethod
    def of(evaluation: Evaluation, laws: Mapping[str, LogLaws], cut: slice) -> "_Few":
        return _Few(
            evaluation.batch.inputs[cut],
            jnp.asarray(evaluation.model.asked_positions),
            evaluation.log_p[cut],
            [law[cut] for law in laws.values()],
            evaluation.supervised[cut],
            find_reach(evaluation)[cut],
        )

    def compare(
        self, network: AbstractTracedNetwork, last: Array
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return divergences of the lens and from the rungs, and the distance to the end."""
        logits, pattern, mixer_out = _look(network, self.inputs, self.positions)
        log_lens = scipy.special.log_softmax(np.asarray(logits, np.float64), axis=-1)
        if not np.isfinite(log_lens[:, self.counts]).all():
            raise ValueError("network: expected finite answers at every checkpoint, got others")
        lens = [self._sum(self.log_p, law) for law in log_lens]
        rungs = [self._sum(rung, log_lens[-1]) for rung in self.rungs]
        distance = _distance(_frame(pattern, mixer_out), last, self.reach)
        num = len(self.counts)
        return (
            np.stack(lens, axis=-1),
            np.stack(rungs, axis=-1) if rungs else np.zeros((num, 0)),
            np.asarray(distance, np.float64),
        )

    def _sum(self, log_p: LogLaws, log_q: LogLaws) -> Float[np.ndarray, " sequence"]:
        with jax.enable_x64(True):
            rows = np.asarray(_kl(jnp.asarray(log_p), jnp.asarray(log_q))) * BITS
        return np.where(self.counts, rows, 0.0).sum(axis=1)


_kl = jax.jit(measures.kl)


@eqx.filter_jit
def _look(
    network: AbstractTracedNetwork, inputs: Array, positions: Array
) -> tuple[Array, Array | None, Array]:
    """Return what each place of the stream would answer, attention, and the mixers' output."""
    trace = network.trace_layers(inputs)
    logits = network.read_out(all_streams(trace)[..., positions, :])
    return logits, trace.attn_pattern, trace.mixer_out


def _frame(pattern: Array | None, mixer_out: Array) -> Array:
    """Return attention where its weights are probabilities, and the mixers' output elsewhere.

    A thousandth is far above a row's rounding in half precision and far below what the
    sigmoid's and the linear kernel's rows lack.
    """
    if pattern is None:
        return mixer_out
    rows = np.asarray(pattern)
    is_law = (rows >= 0.0).all() and (np.abs(rows.sum(axis=-1) - 1.0) < 1e-3).all()
    return pattern if is_law else mixer_out


def _distance(
    frame: Array, last: Array, reach: Bool[np.ndarray, "sequence input_position"]
) -> Array:
    """Return each sequence's distance to the end: of each head, or of the mixers' output."""
    measure = _attention_distance if last.ndim == 5 else _mixer_distance
    with jax.enable_x64(True):
        both = [jnp.asarray(np.asarray(each, np.float64)) for each in (frame, last)]
        return measure(*both, jnp.asarray(reach))


@jax.jit
def _attention_distance(
    frame: Float[Array, "layer sequence head input_position source_position"],
    last: Float[Array, "layer sequence head input_position source_position"],
    reach: Bool[Array, "sequence input_position"],
) -> Float[Array, "sequence layer head"]:
    """Return the mean Jensen-Shannon divergence in bits over the positions in reach."""
    rows = jnp.moveaxis(js_divergence(frame, last), 0, 1) * BITS
    shown = reach[:, None, None, :]
    return jnp.sum(jnp.where(shown, rows, 0.0), axis=-1) / jnp.sum(shown, axis=-1)


@jax.jit
def _mixer_distance(
    frame: Float[Array, "layer sequence input_position feature"],
    last: Float[Array, "layer sequence input_position feature"],
    reach: Bool[Array, "sequence input_position"],
) -> Float[Array, " sequence"]:
    """Return the squared distance over the squared norm, mean over blocks.

    NaN where no mixer writes anything.
    """

    def total(x: Array) -> Array:
        return jnp.sum(jnp.where(reach[..., None], x**2, 0.0), axis=(-2, -1))

    return jnp.mean(total(frame - last) / total(last), axis=0)
