"""What is read in networks that nobody trained: the first control of every probe."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import jax

from bayescmp._types import Key
from bayescmp.inspection.initial import draw_initial
from bayescmp.inspection.probe_places import (
    Features,
    Scores,
    head_features,
    score_features,
    stream_features,
)
from bayescmp.inspection.probe_scores import arrange
from bayescmp.inspection.recording import Recording, record_on
from bayescmp.inspection.subset import take_for_heads
from bayescmp.networks.network import AbstractTracedNetwork

NUM_INITIAL = 5
"""Networks of the same shape that nobody trained."""

LEAST_INITIAL = 3
"""Fewer say nothing about their spread."""

TIMES_HEADS = 3
"""Times as many for heads, some of which read much by chance."""


@dataclass(frozen=True)
class Untrained:
    """What is read in networks that nobody trained, one entry for each."""

    streams: tuple[Mapping[str, Scores], ...]
    """Scores by place in the stream."""
    heads: tuple[Mapping[str, Scores], ...]
    """Scores by head; no entry where nothing attends."""


def score_untrained(
    recording: Recording,
    *,
    key: Key,
    num_initial: int = NUM_INITIAL,
    initial_networks: Sequence[AbstractTracedNetwork] | None = None,
) -> Untrained:
    """Read the same from networks of the same shape that nobody trained.

    Seeds of one configuration that see the same sequences may share these networks: each is then
    held against as many draws, and only statements on different seeds depend on each other.

    Args:
        recording: A network on held-out sequences.
        key: Typed key, the same as for :func:`fit_probes`.
        num_initial: How many networks, at least three; heads are held against three times as
            many, since some heads of such networks read much by chance.
        initial_networks: Such networks, in place of drawn ones.

    Returns:
        For each network the scores of every target, by place and by head.

    Raises:
        ValueError: If there are fewer than three networks, or they are of another shape.
    """
    drawn_key, few = jax.random.split(key, 3)[0], take_for_heads(recording)
    networks = _initial(recording, initial_networks, num_initial, drawn_key)
    streams = _score_each(recording, networks, stream_features)
    if not few.heads:
        return Untrained(streams, ())
    if initial_networks is None:
        num, further = TIMES_HEADS * num_initial, jax.random.fold_in(drawn_key, 1)
        networks = draw_initial(recording.network, num, key=further)
    return Untrained(streams, _score_each(few, networks, head_features))


def _score_each(
    recording: Recording,
    networks: Sequence[AbstractTracedNetwork],
    read: Callable[[Recording], Features],
) -> tuple[Mapping[str, Scores], ...]:
    """Score networks on the sequences of a recording."""
    examples = arrange(recording)
    others = (_record_initial(recording, network) for network in networks)
    return tuple(score_features(read(other), examples) for other in others)


def _initial(
    recording: Recording,
    given: Sequence[AbstractTracedNetwork] | None,
    num: int,
    key: Key,
) -> Sequence[AbstractTracedNetwork]:
    """Return networks that nobody trained."""
    asked = num if given is None else len(given)
    if asked < LEAST_INITIAL:
        argument = "num_initial" if given is None else "initial_networks"
        raise ValueError(f"{argument}: expected at least {LEAST_INITIAL}, got {asked}")
    networks = draw_initial(recording.network, num, key=key) if given is None else given
    if not networks:
        raise ValueError(
            f"initial_networks: expected at least {LEAST_INITIAL}, since "
            f"{type(recording.network).__name__} does not know its own configuration and none "
            "can be drawn, got none"
        )
    return networks


def _record_initial(recording: Recording, network: AbstractTracedNetwork) -> Recording:
    """Record a network that nobody trained on the same sequences."""
    other = record_on(network, recording.evaluation, recording.belief)
    if other.streams.shape != recording.streams.shape:
        raise ValueError(
            f"initial_networks: expected residual streams of shape {recording.streams.shape}, "
            f"got {other.streams.shape}"
        )
    return other
