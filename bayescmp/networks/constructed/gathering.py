"""Attention that gathers what the other variables of each factor tell this factor.

Token ``v`` has, for each slot ``f`` and other variable ``i`` of the factor in it, a head for each
slot ``b`` in which that other variable ``u`` may have the same factor: of these heads one finds
``u``, and the others find the start, which says nothing. Head ``(f, i, b)`` reads at ``u`` the sum
of its evidence and of all messages but the one in slot ``b``: the cavity message from ``u`` to
the factor. It is linear in the stream of ``u``, so that a value matrix computes it; a belief would
not do, for the factor's own message cannot be taken out of it again at ``v``. A sum over a
variable's neighbours needs a head for each of them, since a softmax averages.

Scores are one where numbers match, zero elsewhere, and at the start one half for the right slot
``b`` and three halves for another one, all times ``beta``. One more head looks at its own token:
it takes away what the round before has left in the stream.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from bayescmp.exact.graphs.graph_shape import GraphShape
from bayescmp.networks.constructed.stream_layout import StreamLayout

MARGIN = 80.0
"""Nats by which what a head is to find is ahead of everything else together."""


class AttentionWeights(NamedTuple):
    """The matrices of one block's attention, heads side by side."""

    query: Float[np.ndarray, "feature heads_times_size"]
    key: Float[np.ndarray, "feature heads_times_size"]
    value: Float[np.ndarray, "feature heads_times_size"]
    out: Float[np.ndarray, "heads_times_size feature"]
    num_heads: int


def count_heads(shape: GraphShape) -> int:
    """Count the heads that a round of messages needs: ``D (r - 1) D + 1``.

    Args:
        shape: Bounds on the graphs: ``D`` slots, arity ``r``.

    Returns:
        Number of heads of a block.

    Example:
        >>> from bayescmp.exact.graphs.graph_shape import GraphShape
        >>> count_heads(GraphShape(num_variables=8, num_values=2, num_slots=3, arity=3))
        19
    """
    return shape.num_slots * shape.num_others * shape.num_slots + 1


def gathering(layout: StreamLayout, *, lays_differences: bool) -> AttentionWeights:
    """Return the weights of attention that gathers cavity messages.

    ``beta = 2 (MARGIN + log(N + 1))``: the winner of a softmax is ahead by half of it of each of
    ``N`` others at most, whose weights together are then below ``exp(-MARGIN)``, 2e-35: nothing,
    beside numbers near one, in double precision and in single precision.

    Args:
        layout: Allotment of the stream.
        lays_differences: Whether the last head puts ``log T(1, 0) - log T(0, 0)`` of each slot
            in the place of its message, as forms for two values need it.

    Returns:
        The matrices, in double precision.
    """
    shape = layout.shape
    free, num_slots = shape.num_values - 1, shape.num_slots
    old = np.concatenate([layout.messages.ravel(), layout.cavities.ravel()])
    head_size = max(shape.num_variables + 1, old.size)
    size = (layout.width, count_heads(shape), head_size)
    query, key, value, out = (np.zeros(size) for _ in range(4))
    _address(query, key, layout)
    for head, (slot, other, back) in enumerate(np.ndindex(num_slots, shape.num_others, num_slots)):
        heard = [features for g, features in enumerate(layout.messages) if g != back]
        for features in (layout.evidence, *heard):
            value[features, head, np.arange(free)] = 1.0
        out[layout.cavities[slot, other], head, np.arange(free)] = 1.0
    value[old, -1, np.arange(old.size)] = -1.0
    out[old, -1, np.arange(old.size)] = 1.0
    if lays_differences:
        value[layout.table[:, 1, 0], -1, np.arange(num_slots)] += 1.0
        value[layout.table[:, 0, 0], -1, np.arange(num_slots)] -= 1.0
    query, key, value, out = (part.reshape(layout.width, -1) for part in (query, key, value, out))
    return AttentionWeights(query, key, value, out.T, count_heads(shape))


def _address(
    query: Float[np.ndarray, "feature head component"],
    key: Float[np.ndarray, "feature head component"],
    layout: StreamLayout,
) -> None:
    """Write who is looked up: a component for each variable, and the next one for the start."""
    num, num_slots = layout.shape.num_variables, layout.shape.num_slots
    beta = 2.0 * (MARGIN + np.log(num + 1)) * query.shape[-1] ** 0.5
    key[layout.own, :, np.arange(num)] = 1.0
    key[layout.start, :, num] = 1.0
    places = np.ndindex(num_slots, layout.shape.num_others, num_slots)
    for head, (slot, other, back) in enumerate(places):
        query[layout.address[slot, other], head, np.arange(num)] = beta
        # One of these features is one at each token: a constant.
        query[[layout.start, *layout.own], head, num] = 1.5 * beta
        query[layout.back[slot, other, back], head, num] = -beta
    query[layout.own, -1, np.arange(num)] = beta
    query[layout.start, -1, num] = beta
