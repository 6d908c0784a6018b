"""Is a block a round? Every layer's answer against every round of belief propagation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from bayescmp._types import Key
from bayescmp.comparison.evaluation import Evaluation
from bayescmp.comparison.tally import BITS, LogLaws
from bayescmp.exact.graphs.row_propagation import propagate_rows
from bayescmp.graph_model import AbstractGraphModel
from bayescmp.inspection.lens_fitting import Plan, normalised, plan_fitting, read_out
from bayescmp.inspection.recording import Recording
from bayescmp.layers.affine_lens import fit_bayes_lens
from bayescmp.records import Batch

LENSES = ("read-out", "fitted")
"""The network's own read-out of each layer, and a softmax regression for each law."""

MOST_FITTED = 1_000
"""Questions that a lens is fitted to at most."""

TOLD_APART = 1e-9
"""Divergence, in bits, from which on two laws differ by more than rounding."""

Laws = Float[np.ndarray, "law sequence position outcome"]


@dataclass(frozen=True)
class Rounds:
    """What every layer answers, beside beliefs after every round; means over questions, in bits."""

    lenses: tuple[str, ...]
    """Names of the lenses."""
    kl: Float[np.ndarray, "lens layer round"]
    """``KL(b_t || lens_l)`` of the beliefs after ``t`` rounds and the lens after block ``l``."""
    exact_kl: Float[np.ndarray, "lens layer"]
    """``KL(p || lens_l)`` of the exact law."""
    round_exact_kl: Float[np.ndarray, " round"]
    """``KL(p || b_t)``: what the rounds lack."""
    progress: float
    """Where the read-out stands on the way from ``b_t``, 0, to ``p``, 1, over the blocks told
    apart; NaN where there is none."""
    misfit: float
    """Root mean square distance from that way, in units of its length."""
    fitting: str
    """Which questions lenses were fitted to and judged on."""

    @property
    def told_apart(self) -> tuple[int, ...]:
        """Blocks, from one, after whose number of rounds beliefs are not exact yet."""
        return _told_apart(self.round_exact_kl, self.kl.shape[1] - 1)

    @property
    def own_round_kl(self) -> float:
        """Mean over those blocks of ``KL(b_t || read-out after block t)``; NaN where none is."""
        return _mean([self.kl[0, t, t] for t in self.told_apart])

    @property
    def own_exact_kl(self) -> float:
        """Mean over the same blocks of ``KL(p || read-out after block t)``."""
        return _mean([self.exact_kl[0, t] for t in self.told_apart])

    @property
    def closest(self) -> Int[np.ndarray, "lens layer"]:
        """The first round whose beliefs are as close as any."""
        return np.argmax(self.kl <= self.kl.min(axis=-1, keepdims=True) + TOLD_APART, axis=-1)


def follow_rounds(recording: Recording, *, key: Key, lenses: tuple[str, ...] = LENSES) -> Rounds:
    """Hold every layer against every round of belief propagation, and against the exact law.

    Where a block is a round, the beliefs after ``t`` rounds are what the read-out says after block
    ``t``: divergences on the diagonal are zero. Nearest alone says little, for beliefs after few
    rounds are soft, and so is the read-out of a layer that knows nothing. Hence ``progress``, the
    slope ``s`` of least squares in ``q - b_t = s (p - b_t)`` over all questions: 0 for rounds, 1
    for a network that is at the exact answer already, and ``misfit`` well above 0 for one that
    does neither. The fitted lens asks for less, whether beliefs can be told from the layer by an
    affine map; that many can be is no sign of their being used.

    Args:
        recording: A network on held-out sequences of factor graphs.
        key: Typed key of the questions that lenses are fitted to.
        lenses: Which lenses; the read-out has to be the first, and is quick by itself.

    Returns:
        Divergences for each layer and round.

    Raises:
        ValueError: If the model is not one of factor graphs, or a lens is unknown.

    Example:
        >>> from bayescmp.inspection.rounds import follow_rounds
        >>> chain = bc.models.graph_structures.chain(3)
        >>> model = bc.models.FactorGraphModel(chain, bc.models.UniformTables())
        >>> config = bc.TransformerConfig(num_layers=1, model_size=8, mlp_size=8, causal=False)
        >>> network = bc.Transformer.for_model(model, config, key=jax.random.key(0))
        >>> seen = bc.inspection.record(network, bc.derive_oracle(model), key=jax.random.key(1),
        ...                             num_sequences=64)
        >>> found = follow_rounds(seen, key=jax.random.key(2))
        >>> found.kl.shape, bool(found.round_exact_kl[2] < 1e-9)  # exact after the diameter
        ((2, 2, 3), True)
    """
    if lenses not in (LENSES, LENSES[:1]):
        raise ValueError(f"lenses: expected {LENSES} or {LENSES[:1]}, got {lenses}")
    depth = recording.streams.shape[0] // 2
    beliefs = propagate_beliefs(recording.evaluation, depth)
    part, judged = recording.split()
    plan = plan_fitting(part, MOST_FITTED, key=key)
    laws = np.concatenate([beliefs, recording.evaluation.log_p[None]])
    own = laws[:, -judged.streams.shape[1] :]
    answers: dict[str, Callable[[int], list[LogLaws]]] = {
        "read-out": lambda layer: [read_out(judged, judged.streams[2 * layer])] * len(own),
        "fitted": lambda layer: _fit(part, judged, laws, plan, layer),
    }
    to_lens = np.array(
        [
            [_distances(judged, own, answers[lens](layer)) for layer in range(depth + 1)]
            for lens in lenses
        ]
    )
    lacking = np.array(_distances(judged, own[-1:].repeat(len(beliefs), 0), list(own[:-1])))
    progress, misfit = _locate(judged, own, _told_apart(lacking, depth))
    return Rounds(
        lenses=lenses,
        kl=to_lens[..., :-1],
        exact_kl=to_lens[..., -1],
        round_exact_kl=lacking,
        progress=progress,
        misfit=misfit,
        fitting=f"fitted to {plan.fitting.rows.size:,} questions and judged on "
        f"{judged.row_weights.size:,}",
    )


def propagate_beliefs(evaluation: Evaluation, num_rounds: int) -> Laws:
    """Return the beliefs of cavity belief propagation after every round, from none on.

    Args:
        evaluation: Sequences of factor graphs.
        num_rounds: Rounds, at least; as many as the diameter are done in any case.

    Returns:
        Log beliefs in nats, in 64 bits; what no question asks for may be minus infinity.

    Raises:
        ValueError: If the model is not one of factor graphs.
    """
    model = evaluation.model
    if not isinstance(model, AbstractGraphModel):
        raise ValueError(
            f"model: expected one of factor graphs to send messages on, got {model.title()}"
        )
    with jax.enable_x64(True):
        batch = jax.tree.map(_widen, evaluation.batch)
        beliefs = _propagate(model, batch, max(num_rounds, model.num_rounds))
        return np.moveaxis(np.asarray(beliefs, np.float64), 1, 0)


@eqx.filter_jit
def _propagate(
    model: AbstractGraphModel, batch: Batch, num_rounds: int
) -> Float[Array, "sequence round position outcome"]:
    def one(sites: dict[str, Array]) -> Float[Array, "round position outcome"]:
        return propagate_rows(model.rows(sites), num_rounds).log_beliefs

    return jax.vmap(one)(model.engine_sites(batch))


def _widen(leaf: Array) -> Array:
    return leaf.astype(jnp.float64) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf


def _told_apart(lacking: Float[np.ndarray, " round"], depth: int) -> tuple[int, ...]:
    return tuple(t for t in range(1, depth + 1) if lacking[t] > TOLD_APART)


def _locate(judged: Recording, laws: Laws, blocks: Sequence[int]) -> tuple[float, float]:
    """Return how far read-outs are on the way from rounds to the exact law, and how far off it."""
    if not blocks:
        return float("nan"), float("nan")
    exact = np.exp(judged.rows(laws[-1]))
    rounds = [np.exp(judged.rows(laws[t])) for t in blocks]
    answers = [np.exp(judged.rows(read_out(judged, judged.streams[2 * t]))) for t in blocks]
    root = np.sqrt(judged.row_weights)[:, None]
    way = np.concatenate([root * (exact - belief) for belief in rounds]).ravel()
    pairs = zip(answers, rounds, strict=True)
    gone = np.concatenate([root * (answer - belief) for answer, belief in pairs]).ravel()
    progress = float(gone @ way / (way @ way))
    return progress, float(np.linalg.norm(gone - progress * way) / np.linalg.norm(way))


def _fit(
    part: Recording, judged: Recording, laws: Laws, plan: Plan, layer: int
) -> list[Float[np.ndarray, "judged position outcome"]]:
    """Fit a lens of one layer to each law on one part, and return their answers on the other."""
    stream = normalised(part.network, part.rows(part.streams[2 * layer]))
    features = normalised(judged.network, judged.streams[2 * layer])
    answers = []
    for law in laws[:, : part.streams.shape[1]]:
        rows = np.exp(part.rows(law))
        lens = fit_bayes_lens(plan.fitting.of(stream, rows), plan.choosing.of(stream, rows))
        flat = lens.log_law(features.reshape(-1, features.shape[-1]))
        answers.append(flat.reshape(*features.shape[:-1], -1))
    return answers


def _distances(judged: Recording, laws: Laws, answers: Sequence[LogLaws]) -> list[float]:
    """Return the mean KL divergence from each law to its answer, in bits."""
    return [
        BITS * float(judged.row_weights @ _kl_rows(judged.rows(law), judged.rows(answer)))
        for law, answer in zip(laws, answers, strict=True)
    ]


def _kl_rows(
    log_p: Float[np.ndarray, "row outcome"], log_q: Float[np.ndarray, "row outcome"]
) -> Float[np.ndarray, " row"]:
    """Return ``KL(p || q)`` of each row, in nats, with ``0 log 0 = 0``."""
    possible = log_p > -np.inf
    gap = np.where(possible, log_p, 0.0) - np.where(possible, log_q, 0.0)
    return np.sum(np.where(possible, np.exp(log_p) * gap, 0.0), axis=-1)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
