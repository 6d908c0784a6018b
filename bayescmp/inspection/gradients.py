"""Gradients inside attention, checked against their identities, and updates held beside them."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from bayescmp._types import Key
from bayescmp.comparison.evaluation import Evaluation, draw_evaluation
from bayescmp.comparison.tally import BITS
from bayescmp.inspection.effect import LEVEL, Effect, select
from bayescmp.inspection.history import History, read_history
from bayescmp.inspection.recording import Recording
from bayescmp.inspection.updates import NUM_CONTROLS, Alignment, align, mean_weights, pull
from bayescmp.layers.attention_offsets import (
    unroll,
    why_no_advantage,
)
from bayescmp.results.tree import make_dataset
from bayescmp.training.objectives import ObjectiveName
from bayescmp.training.settings import Training, choose_objective

NUM_SEQUENCES = 64
"""Sequences that are looked at where they are drawn; every one where there are at most 256."""

KINDS = ("routing", "value")
"""What an update moves: where heads look, and what they carry."""


@dataclass(frozen=True)
class Gradients:
    """Gradients inside the attention of one network, in nats of a sequence's loss."""

    missing: str
    """Why there is nothing to tell, in a few words; empty where every block attends by a
    softmax. All tables are empty otherwise."""
    objective: ObjectiveName
    """The loss: the training objective."""
    num_sequences: int
    score_error: Float[np.ndarray, " block"]
    """Largest difference of ``a_ij (b_ij - sum_k a_ik b_ik)`` from automatic differentiation,
    over the largest gradient of the block."""
    value_error: Float[np.ndarray, " block"]
    """The same of ``sum_i a_ij g_i``."""
    score_gradient: Float[np.ndarray, "block head"]
    """Root mean square over sequences of the norm of a head's gradient by its scores."""
    value_gradient: Float[np.ndarray, "block head"]
    """The same by what it looks at; heads that share values have the same."""
    alignment: Alignment | None
    """Of training's updates; None without a history."""

    def effects(self, level: float = LEVEL) -> tuple[Effect, ...]:
        """Return where updates follow the gradient more than random ones of the same size do.

        Args:
            level: Chance of any false effect, over all updates, heads and both kinds.

        Returns:
            The effects, the clearest first; none without a history.
        """
        if self.alignment is None:
            return ()
        found, p_values = self.alignment, self.alignment.p_values
        candidates = []
        for place in np.argwhere(np.isfinite(p_values)):
            update, kind, block, head = (int(index) for index in place)
            where = f"{KINDS[kind]}, block {block + 1} head {head}, step {found.steps[update]}"
            control = float(found.controls[update, :, kind, block, head].mean())
            value, p = (
                float(table[update, kind, block, head]) for table in (found.cosine, p_values)
            )
            candidates.append(Effect(where, value, control, p))
        return select(candidates, level)


def check_gradients(
    recording: Recording, *, key: Key, history: History | None = None, seed: int = 0
) -> Gradients:
    """Differentiate the training objective inside attention, and hold updates beside it.

    For heads ``o_i = sum_j a_ij v_j`` and ``g_i = dL / do_i``, routing by advantage is
    ``dL / ds_ij = a_ij (g_i . v_j - sum_k a_ik g_i . v_k)`` and values gather by responsibility,
    ``dL / dv_j = sum_i a_ij g_i``: exact for any loss. Whether training follows them is told
    by the cosine of the change of scores, and of values, between checkpoints with the gradient
    at the earlier one, downhill.

    Args:
        recording: Network on held-out sequences.
        key: Typed key of random updates, and of sequences where all are too many.
        history: Snapshots of the network's run, or networks by the number of steps done.
        seed: Which of the networks that were trained together, with snapshots.

    Returns:
        The record.

    Raises:
        TypeError: If a network of the history cannot be traced.
        ValueError: If a network of the history does not attend by a softmax.

    Example:
        >>> oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=4))
        >>> network = bc.Transformer.for_model(oracle.model, key=jax.random.key(0))
        >>> seen = bc.inspection.record(network, oracle, key=jax.random.key(1))
        >>> found = check_gradients(seen, key=jax.random.key(2))
        >>> bool((found.score_error < 1e-4).all()), found.effects()
        (True, ())
    """
    key_data, key_controls = jax.random.split(key)
    objective = choose_objective(Training(), recording.oracle)
    missing = why_no_advantage(recording.network)
    if missing:
        return _nothing(missing, objective)
    network = unroll(recording.network)
    evaluation = _choose(recording.evaluation, key_data)
    found = pull(network, evaluation.oracle, evaluation.batch, objective)
    weights = mean_weights(evaluation)
    errors = (np.asarray(each, np.float64) for each in found.errors)
    sizes = (_size(each, weights) for each in (found.scores, found.responsibility))
    score_size, value_size = sizes
    alignment = None
    if history is not None:
        networks = {step: unroll(each) for step, each in read_history(history, seed).items()}
        alignment = align(networks, evaluation, objective, key=key_controls)
    return Gradients(
        missing,
        objective,
        evaluation.log_p.shape[0],
        *errors,
        score_gradient=score_size,
        value_gradient=np.repeat(value_size, score_size.shape[1] // value_size.shape[1], axis=1),
        alignment=alignment,
    )


def gradients_group(results: Sequence[Gradients]) -> xr.Dataset:
    """Lay the gradients of several seeds out as the group ``/gradients``.

    Args:
        results: One for each seed.

    Returns:
        The group; sizes of gradients in bits.

    Raises:
        ValueError: If there is none, or they differ in checkpoints or heads.
    """
    kinds = {
        (each.missing, each.score_gradient.shape, each.alignment and each.alignment.steps)
        for each in results
    }
    if len(kinds) != 1:
        raise ValueError(
            "results: expected at least one, all with the same heads and checkpoints, got "
            f"{len(results)} of {len(kinds)} kinds"
        )
    first = results[0]
    if first.missing:
        return make_dataset("/gradients", {}, {}, {"missing": first.missing})
    arrays: dict[str, object] = {
        "score_error": [each.score_error for each in results],
        "value_error": [each.value_error for each in results],
        "score_gradient": [each.score_gradient * BITS for each in results],
        "value_gradient": [each.value_gradient * BITS for each in results],
    }
    attrs: dict[str, object] = {
        "objective": first.objective,
        "num_sequences": first.num_sequences,
    }
    coords: dict[str, object] = {}
    aligned = [each.alignment for each in results if each.alignment is not None]
    if aligned:
        for index, kind in enumerate(KINDS):
            arrays[f"{kind}_cosine"] = [each.cosine[:, index] for each in aligned]
            controls = [each.controls[:, :, index].mean(axis=1) for each in aligned]
            arrays[f"{kind}_control"] = controls
            arrays[f"{kind}_p"] = [each.p_values[:, index] for each in aligned]
            attrs[f"{kind}_null"] = aligned[0].nulls[index]
        attrs["num_controls"] = NUM_CONTROLS
        coords["update"] = list(aligned[0].steps)
    return make_dataset("/gradients", arrays, coords, attrs)


def _nothing(missing: str, objective: ObjectiveName) -> Gradients:
    """Return the record of a network whose attention has no advantage."""
    empty = np.zeros(0)
    return Gradients(missing, objective, 0, empty, empty, np.zeros((0, 0)), np.zeros((0, 0)), None)


def _choose(evaluation: Evaluation, key: Key) -> Evaluation:
    """Take all sequences where they are listed and few, and 64 drawn ones elsewhere."""
    if evaluation.weights is None:
        return evaluation.first(NUM_SEQUENCES)
    if evaluation.log_p.shape[0] <= 4 * NUM_SEQUENCES:
        return evaluation
    return draw_evaluation(evaluation.oracle, NUM_SEQUENCES, key=key)


def _size(
    gradient: Float[Array, "layer sequence head *rest"], weights: Float[np.ndarray, " sequence"]
) -> Float[np.ndarray, "layer head"]:
    """Return the root of the mean over sequences of the squared norm."""
    table = np.asarray(gradient, np.float64) ** 2
    return np.sqrt(np.einsum("lsh,s->lh", table.sum(axis=(-2, -1)), weights))
