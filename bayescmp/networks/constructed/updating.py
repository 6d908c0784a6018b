"""Feed-forward parts that make messages of cavity messages, in each of four forms.

``m_f(y) = log sum_x exp(log T_f(y, x) + sum_i c_i(x_i))``, minus the same at ``y = 0``.
"""

from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Float

from bayescmp.networks.constructed.softplus_units import STEP, line_shifts, softplus_units
from bayescmp.networks.constructed.stream_layout import StreamLayout

Form = Literal["softplus", "sigmoid", "logsumexp", "softmax"]
FORMS: tuple[Form, ...] = get_args(Form)
BINARY: tuple[Form, ...] = ("softplus", "sigmoid")
"""Forms for two values and two variables of a factor."""

REACH: dict[Form, float] = {
    "softplus": np.inf,
    "sigmoid": 120.0,
    "logsumexp": np.inf,
    "softmax": 40.0,
}
"""Largest number, in nats, that a form computes right unless another one is asked for."""

Rows = Float[np.ndarray, "unit feature"]


class UpdateWeights(NamedTuple):
    """The matrices of one block's feed-forward part."""

    up: Float[np.ndarray, "feature hidden"]
    up_bias: Float[np.ndarray, " hidden"]
    down: Float[np.ndarray, "lowered feature"]
    group: int


def updating(layout: StreamLayout, form: Form, reach: float) -> UpdateWeights:
    """Return the weights of a feed-forward part that turns cavities into messages.

    Args:
        layout: Allotment of the stream.
        form: How logarithms of sums are computed, which is the activation.
        reach: Largest number that sums of sigmoids or shares reproduce, in nats.

    Returns:
        The matrices, in double precision.
    """
    if form == "softplus":
        return _two_sides(layout, np.zeros(1), np.ones(1))
    if form == "sigmoid":
        return _two_sides(layout, *softplus_units(reach))
    return _whole_sums(layout) if form == "logsumexp" else _shares(layout, line_shifts(reach))


def _two_sides(
    layout: StreamLayout, shifts: Float[np.ndarray, " unit"], weights: Float[np.ndarray, " unit"]
) -> UpdateWeights:
    """Write ``sp(c + t11 - t10) - sp(c + t01 - t00)`` as units ``w act(. - shift)``.

    With ``t10 - t00``, which attention has laid there, this is the message's log-odds:
    ``log (T10 + T11 e^c) / (T00 + T01 e^c)``.
    """
    shape = (layout.shape.num_slots, 2, len(shifts), layout.width)
    up, down = np.zeros(shape), np.zeros(shape)
    for slot in range(layout.shape.num_slots):
        up[slot, :, :, layout.cavities[slot, 0, 0]] = 1.0
        for own, sign in ((1, 1.0), (0, -1.0)):
            side = 1 - own
            up[slot, side, :, layout.table[slot, own, 1]] += 1.0
            up[slot, side, :, layout.table[slot, own, 0]] -= 1.0
            down[slot, side, :, layout.messages[slot, 0]] = sign * weights
    bias = np.broadcast_to(-shifts, shape[:3]).ravel()
    return UpdateWeights(_rows(up).T, bias, _rows(down), 1)


def _whole_sums(layout: StreamLayout) -> UpdateWeights:
    """Take ``log sum exp`` over a group of units for each slot and each own value."""
    up = _log_terms(layout)
    down = np.zeros((*up.shape[:2], layout.width))
    for slot, features in enumerate(layout.messages):
        down[slot, 0, features] = -1.0
        down[slot, np.arange(1, up.shape[1]), features] = 1.0
    rows = _rows(up)
    return UpdateWeights(rows.T, np.zeros(len(rows)), _rows(down), up.shape[2])


def _shares(layout: StreamLayout, shifts: Float[np.ndarray, " unit"]) -> UpdateWeights:
    """Add up shares of groups that hold the terms of one own value and of the first one.

    The share of the first half, lowered by ``t``, is ``s(L_y - L_0 - t)``, the sigmoid of the
    message ``L_y - L_0`` itself, however large the two are. Both halves count, the second one
    negatively: their difference is twice the share minus one.
    """
    terms = _log_terms(layout)
    num_slots, num_values, size, width = terms.shape
    shape = (num_slots, num_values - 1, len(shifts), 2, size)
    up, down, bias = np.zeros((*shape, width)), np.zeros((*shape, width)), np.zeros(shape)
    up[:, :, :, 0] = terms[:, 1:, None]
    up[:, :, :, 1] = terms[:, :1, None]
    bias[:, :, :, 0] = -shifts[:, None]
    for slot, value in np.ndindex(shape[:2]):
        down[slot, value, :, 0, :, layout.messages[slot, value]] = 0.5 * STEP
        down[slot, value, :, 1, :, layout.messages[slot, value]] = -0.5 * STEP
    return UpdateWeights(_rows(up).T, bias.ravel(), _rows(down), 2 * size)


def _log_terms(layout: StreamLayout) -> Float[np.ndarray, "slot own term feature"]:
    """Return ``log T_f(y, x) + sum_i c_i(x_i)`` as rows on the stream, ``x`` row by row."""
    shape = layout.shape
    others = tuple(np.ndindex(shape.table_shape[1:]))
    rows = np.zeros((shape.num_slots, shape.num_values, len(others), layout.width))
    for slot, own, term in np.ndindex(rows.shape[:3]):
        rows[slot, own, term, layout.table[(slot, own, *others[term])]] = 1.0
        for other, value in enumerate(others[term]):
            if value > 0:
                rows[slot, own, term, layout.cavities[slot, other, value - 1]] = 1.0
    return rows


def _rows(units: Float[np.ndarray, "*units feature"]) -> Rows:
    return units.reshape(-1, units.shape[-1])
