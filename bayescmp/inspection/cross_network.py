"""Residual streams side by side: places of one network, and two networks on the same sequences."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayescmp.inspection.recording import Recording
from bayescmp.layers.similarity import (
    cka_table,
    debiased_cka_table,
    principal_directions,
    principal_scores,
    subspace_overlap,
)

LARGEST_RANK = 8
"""Most principal directions that are compared."""

MOST_SEQUENCES = 256
"""Drawn sequences on which two recordings are compared."""

Streams = Float[np.ndarray, "stream row feature"]
OtherStreams = Float[np.ndarray, "other_stream row other_feature"]
Matrix = Float[np.ndarray, "stream other_stream"]


@dataclass(frozen=True)
class Similarity:
    """How alike residual streams are."""

    cka: Matrix
    """Linear CKA, which many features and few rows make large by themselves."""
    cka_debiased: Matrix
    """From unbiased estimates; the same as ``cka`` where every sequence is weighted exactly."""
    overlap: Matrix
    """Mean squared cosine between the subspaces of largest variance."""
    overlap_null: float
    """What random subspaces overlap on average."""
    rank: int
    """Dimension of the subspaces."""


def compare_streams(streams: Streams, weights: Float[np.ndarray, " row"] | None) -> Similarity:
    """Compare the places in one network's residual stream with each other.

    Subspaces are those of the stream's features, which all places share.

    Args:
        streams: Vectors at each place.
        weights: Exact weights of the rows; None where they were drawn.

    Returns:
        The similarity; random subspaces overlap by ``rank / features``.
    """
    num_rows, size = streams.shape[1:]
    rank = _rank(num_rows, size)
    bases = [principal_directions(stream, rank, weights) for stream in streams]
    plain, own = cka_table(list(streams), list(streams), weights), debias(streams, streams, weights)
    return Similarity(plain, own, _overlaps(bases, bases), rank / size, rank)


def compare_rows(
    first: Streams, second: OtherStreams, weights: Float[np.ndarray, " row"] | None
) -> Similarity:
    """Compare the residual streams of two networks, which share rows and no features.

    Subspaces are spanned by the principal components as vectors over the rows.

    Args:
        first: Vectors at each place of one network.
        second: Vectors at each place of the other one, for the same rows.
        weights: Exact weights of the rows; None where they were drawn.

    Returns:
        The similarity; random subspaces of centred rows overlap by ``rank / (rows - 1)``.
    """
    num_rows = first.shape[1]
    rank = min(_rank(num_rows, streams.shape[2]) for streams in (first, second))
    bases, others = (
        [principal_scores(stream, rank, weights) for stream in streams]
        for streams in (first, second)
    )
    plain, debiased = cka_table(list(first), list(second), weights), debias(first, second, weights)
    return Similarity(plain, debiased, _overlaps(bases, others), rank / (num_rows - 1), rank)


def compare_networks(first: Recording, second: Recording) -> Similarity:
    """Compare two networks of any architecture that were recorded on the same sequences.

    Args:
        first: Recording of one network.
        second: Recording of another one.

    Returns:
        The similarity of each stream of the first with each stream of the second, on at most
        256 of drawn sequences and on all that are weighted.

    Raises:
        ValueError: If the two were not recorded on the same sequences.

    Example:
        >>> oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=4))
        >>> networks = [bc.networks.LSTMConfig(num_layers=1, model_size=8, state_size=8),
        ...             bc.TransformerConfig(num_layers=2, model_size=16)]
        >>> seen = [bc.inspection.record(config.build(bc.networks.TaskShape.of(oracle.model),
        ...         key=jax.random.key(0)), oracle, key=jax.random.key(1)) for config in networks]
        >>> compare_networks(*seen).cka.shape  # 1 + 2 blocks' places in each
        (3, 5)
    """
    inputs, others = (np.asarray(one.evaluation.batch.inputs) for one in (first, second))
    if not (
        np.array_equal(inputs, others)
        and np.array_equal(first.counts, second.counts)
        and first.is_exhaustive == second.is_exhaustive
    ):
        raise ValueError(
            f"second: expected the {inputs.shape[0]} sequences of first, got others; record both "
            "with one key"
        )
    if not first.is_exhaustive:
        first, second = (one.cut(slice(0, MOST_SEQUENCES)) for one in (first, second))
    weights = first.row_weights if first.is_exhaustive else None
    return compare_rows(_rows(first), _rows(second), weights)


def _rows(recording: Recording) -> Streams:
    """Return the questions that count."""
    return recording.streams[:, recording.counts]


def _rank(num_rows: int, num_features: int) -> int:
    """Return a quarter of the width, and no more than there is."""
    return max(1, min(LARGEST_RANK, num_features // 4, num_rows - 1))


def debias(
    first: Streams, second: OtherStreams, weights: Float[np.ndarray, " row"] | None
) -> Matrix:
    """Return CKA from unbiased estimates where rows were drawn, and exact CKA where not.

    Args:
        first: Vectors at each place.
        second: Vectors at other places, for the same rows.
        weights: Exact weights of the rows; None where they were drawn.

    Returns:
        The table.
    """
    if weights is not None or first.shape[1] < 4:
        return cka_table(list(first), list(second), weights)
    return debiased_cka_table(list(first), list(second))


def _overlaps(bases: list[np.ndarray], others: list[np.ndarray]) -> Matrix:
    return np.array([[subspace_overlap(basis, other) for other in others] for basis in bases])
