"""The history of a network: its checkpoints, all looked at on the same sequences."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Bool, PyTree

from bayescmp._types import Key
from bayescmp.all_sequences import is_little_work, list_sequences
from bayescmp.comparison.evaluation import Evaluation, answer_exactly, draw_evaluation
from bayescmp.inspection.recording import Recording, record_on
from bayescmp.networks.network import AbstractTracedNetwork
from bayescmp.oracle import AbstractOracle
from bayescmp.training.checkpoints.snapshots import Snapshot

NUM_SEQUENCES = 512
"""Sequences that are drawn; every one is taken where there are at most four times as many."""

History = Sequence[Snapshot] | Mapping[int, AbstractTracedNetwork]
"""Snapshots of a run, or networks by the number of optimiser steps done."""


def read_history(history: History, seed: int = 0) -> dict[int, AbstractTracedNetwork]:
    """Return the networks of a history by the number of steps done.

    Args:
        history: Snapshots of a run, or networks by the number of steps done.
        seed: Which of the networks that were trained together, with snapshots.

    Returns:
        Networks in the order of their steps.

    Raises:
        TypeError: If one of them cannot be traced.
        ValueError: If there are fewer than two.
    """
    if isinstance(history, Mapping):
        networks = dict(history)
    else:
        networks = {snapshot.step: snapshot.network(seed) for snapshot in history}
    if len(networks) < 2:
        raise ValueError(
            f"history: expected at least 2 checkpoints, got {len(networks)}; train with a "
            "checkpoint file and Training(num_snapshots=12)"
        )
    traced: dict[int, AbstractTracedNetwork] = {}
    for step in sorted(networks):
        network = networks[step]
        if not isinstance(network, AbstractTracedNetwork):
            raise TypeError(
                f"history: expected networks that can be traced, got {type(network).__name__}"
            )
        traced[step] = network
    return traced


def take_few(oracle: AbstractOracle, num_sequences: int | None, *, key: Key) -> Evaluation:
    """Take sequences that every checkpoint answers.

    Args:
        oracle: Oracle of the model.
        num_sequences: How many are drawn; None for all where they are few, and 512 elsewhere.
        key: Typed key.

    Returns:
        The sequences with exact answers; where every one is there, weights that sum to one.

    Raises:
        ValueError: If fewer than four are asked for.
    """
    if num_sequences is not None and num_sequences < 4:
        raise ValueError(f"num_sequences: expected at least 4, got {num_sequences}")
    if num_sequences is None and is_little_work(oracle):
        every = list_sequences(oracle)
        if len(every.numbers) <= 4 * NUM_SEQUENCES:
            listed = answer_exactly(oracle, every.batch(slice(None)))
            return replace(listed, weights=every.weights / every.weights.sum())
    return draw_evaluation(oracle, num_sequences or NUM_SEQUENCES, key=key)


def find_reach(evaluation: Evaluation) -> Bool[np.ndarray, "sequence input_position"]:
    """Tell which input positions come no later than the last question that counts.

    Args:
        evaluation: Sequences.

    Returns:
        True where what a network computes can matter for an answer that counts.
    """
    positions = np.asarray(evaluation.model.asked_positions)
    last = np.where(evaluation.supervised, positions, -1).max(axis=1)
    return np.arange(evaluation.batch.inputs.shape[1]) <= last[:, None]


def over_checkpoints[Result](
    instrument: Callable[[Recording], Result],
    history: History,
    oracle: AbstractOracle,
    *,
    key: Key,
    seed: int = 0,
    num_sequences: int | None = None,
) -> dict[int, Result]:
    """Apply an instrument to every checkpoint, always on the same sequences.

    Args:
        instrument: From a recording to what it finds.
        history: Snapshots of a run, or networks by the number of steps done.
        oracle: Oracle of the model.
        key: Typed key of the sequences.
        seed: Which of the networks that were trained together, with snapshots.
        num_sequences: How many sequences are drawn, at least four.

    Returns:
        What it finds, by the number of steps done.

    Raises:
        TypeError: If a network cannot be traced.
        ValueError: If there are fewer than two checkpoints or four sequences.

    Example:
        >>> model = bc.models.beta_bernoulli(length=4)
        >>> ends = [bc.Transformer.for_model(model, key=jax.random.key(k)) for k in (0, 1)]
        >>> from bayescmp.inspection.history import over_checkpoints
        >>> over_checkpoints(lambda seen: seen.streams.shape[:2], dict(zip([0, 9], ends)),
        ...                  bc.derive_oracle(model), key=jax.random.key(2))
        {0: (7, 16), 9: (7, 16)}
    """
    networks = read_history(history, seed)
    evaluation = take_few(oracle, num_sequences, key=key)
    return {step: instrument(record_on(network, evaluation)) for step, network in networks.items()}


def go_straight[Network: eqx.Module](networks: Sequence[Network]) -> tuple[Network, ...]:
    """Put weights on the straight line between the first checkpoint and the last.

    ``theta_0 + lambda_c (theta_T - theta_0)``, where ``lambda_c`` is the distance from
    ``theta_0`` that checkpoint ``c`` has reached, over that of the last one and at most one.

    Args:
        networks: Checkpoints, in order.

    Returns:
        Networks that end where these do, without whatever happened on the way.
    """
    parts = [eqx.partition(network, eqx.is_inexact_array) for network in networks]
    (first, static), last = parts[0], parts[-1][0]
    way = _distance(last, first)
    shares = [min(_distance(each, first) / way, 1.0) if way else 0.0 for each, _ in parts]
    return tuple(
        eqx.combine(
            jax.tree.map(lambda a, b, s=share: a + (b - a) * np.asarray(s, a.dtype), first, last),
            static,
        )
        for share in shares
    )


def _distance(left: PyTree[Array], right: PyTree[Array]) -> float:
    """Return the Euclidean distance between two sets of weights."""
    squares = jax.tree.map(
        lambda a, b: float(np.sum((np.asarray(a, np.float64) - np.asarray(b, np.float64)) ** 2)),
        left,
        right,
    )
    return float(np.sqrt(sum(jax.tree.leaves(squares))))
