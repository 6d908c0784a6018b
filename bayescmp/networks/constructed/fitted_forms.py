"""Feed-forward parts of practical activations, fitted to those that pass messages exactly."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Float

from bayescmp.exact.graphs.graph_rows import GraphRows
from bayescmp.exact.graphs.graph_shape import GraphShape
from bayescmp.networks.constructed.message_passing import message_passing
from bayescmp.networks.constructed.stream_layout import StreamLayout
from bayescmp.networks.parts.feed_forward import FeedForward
from bayescmp.networks.transformer import Transformer, TransformerConfig

FittedForm = Literal["relu", "gelu", "swiglu"]
FITTED_FORMS: tuple[FittedForm, ...] = get_args(FittedForm)

SLOPES: dict[FittedForm, float] = {"relu": 1.0, "gelu": 2.0, "swiglu": 4.0}
"""How steep units are: smoother ones fit a softplus best where their bend is as narrow as this."""

NUM_UNITS = 16
"""Units for each softplus, by default."""

REACH = 20.0
"""Largest number, in nats, that a fit is for."""


@dataclass(frozen=True)
class SoftplusFit:
    """``sum_j w_j act(a (z - t_j)) / a``, nearly ``log(1 + exp(z))``."""

    shifts: Float[np.ndarray, " unit"]
    """``t_j`` in nats: dense where a softplus bends."""
    weights: Float[np.ndarray, " unit"]
    slope: float
    error: float
    """Largest difference up to ``REACH`` either way, in nats."""


@lru_cache(maxsize=32)
def fit_softplus(form: FittedForm, num_units: int = NUM_UNITS) -> SoftplusFit:
    """Fit a softplus by units of another activation, by least squares over their weights.

    Shifts are ``2 asinh(tan(pi (u - 1/2)))`` at even ``u``: their density goes as the root of the
    softplus' second derivative, at which straight pieces have the same error everywhere. Units of
    ``swiglu`` have a linear part of one, and are ``z sigmoid(z)``.

    Args:
        form: Activation.
        num_units: Units, at least two.

    Returns:
        Shifts, weights and the error.

    Raises:
        ValueError: If the form is unknown or there are fewer than two units.

    Example:
        >>> from bayescmp.networks.constructed.fitted_forms import fit_softplus
        >>> [round(fit_softplus("relu", num).error, 4) for num in (8, 16, 32)]  # as 1 / num^2
        [0.0153, 0.0039, 0.001]
    """
    if form not in FITTED_FORMS:
        raise ValueError(f"form: expected one of {', '.join(FITTED_FORMS)}, got {form!r}")
    if num_units < 2:
        raise ValueError(f"num_units: expected at least 2, got {num_units}")
    slope, middle = SLOPES[form], (np.arange(num_units) + 0.5) / num_units
    shifts = 2.0 * np.arcsinh(np.tan(np.pi * (middle - 0.5)))
    points = np.arange(-REACH, REACH + 0.01, 0.02)
    rows = _activate(form, slope * (points[:, None] - shifts)) / slope
    wanted = np.logaddexp(0.0, points)
    # Smaller singular values would be made up for by weights of opposite sign, large in rounding.
    weights, *_ = np.linalg.lstsq(rows, wanted, rcond=1e-6)
    return SoftplusFit(shifts, weights, slope, float(np.abs(rows @ weights - wanted).max()))


def fitted_message_passing(
    shape: GraphShape,
    num_rounds: int,
    *,
    form: FittedForm = "relu",
    num_units: int = NUM_UNITS,
    graph: GraphRows | None = None,
    shared: bool = False,
) -> Transformer:
    """Build a transformer that passes messages approximately, with a practical activation.

    It is the network of :func:`message_passing` in the form ``softplus``, with ``num_units`` units
    in place of each of its own. A message is the difference of two softpluses, so that it is
    wrong by at most twice :attr:`SoftplusFit.error`, for log-odds up to ``REACH``.

    Args:
        shape: Bounds on the graphs: two values, and two variables of a factor.
        num_rounds: Rounds of messages.
        form: Activation.
        num_units: Units for each softplus.
        graph: A graph with its tables that learned positions hold; see :func:`message_passing`.
        shared: Whether one layer is applied ``num_rounds`` times.

    Returns:
        The network, in the precision that holds now.

    Raises:
        ValueError: As :func:`message_passing` and :func:`fit_softplus` do.

    Example:
        >>> from bayescmp.exact.graphs.graph_shape import GraphShape
        >>> from bayescmp.networks.constructed.fitted_forms import fitted_message_passing
        >>> network = fitted_message_passing(GraphShape(3, 2, num_slots=2), 2, form="gelu")
        >>> network.config.activation, network.config.mlp_size  # two slots, two softpluses each
        ('gelu', 64)
    """
    fit = fit_softplus(form, num_units)
    exact = message_passing(shape, num_rounds, form="softplus", graph=graph, shared=shared)
    layout = StreamLayout(shape)
    constant = np.zeros(layout.width)
    constant[[layout.start, *layout.own]] = 1.0  # one of these features is one at each token
    return _replace_units(exact, form, fit, constant)


def _replace_units(
    network: Transformer,
    form: FittedForm,
    fit: SoftplusFit,
    constant: Float[np.ndarray, " feature"],
) -> Transformer:
    """Put fitted units in place of each softplus."""
    mlp, config = network.blocks.mlp, network.config
    if not isinstance(config, TransformerConfig) or not isinstance(mlp, FeedForward):
        raise TypeError(f"network: expected a transformer, got {type(config).__name__}")
    up, bias, down = (np.asarray(x, np.float64) for x in (mlp.up, mlp.up_bias, mlp.down))
    inward = fit.slope * np.repeat(up, len(fit.shifts), axis=2)
    offsets = fit.slope * (bias[:, :, None] - fit.shifts).reshape(len(bias), -1)
    outward = (down[:, :, None, :] * fit.weights[:, None] / fit.slope).reshape(
        len(down), -1, down.shape[2]
    )
    new = replace(config, activation=form, mlp_size=inward.shape[2])
    shapes = eqx.filter_eval_shape(Transformer, new, network.shape, key=jax.random.key(0))
    if form == "swiglu":  # no gate has a bias: the stream's constant stands for it
        gate = inward + constant[:, None] * offsets[:, None, :]
        parts = [np.zeros_like(inward), np.ones_like(offsets), gate, outward]
    else:
        parts = [inward, offsets, outward]
    units = [jnp.asarray(part, mlp.up.dtype) for part in parts]
    whole = eqx.tree_at(_units, shapes, units)
    return eqx.tree_at(_others, whole, _others(network))


def _units(network: Transformer) -> list[Any]:
    mlp: Any = network.blocks.mlp
    gate = [] if mlp.gate is None else [mlp.gate]
    return [mlp.up, mlp.up_bias, *gate, mlp.down]


def _others(network: Transformer) -> list[Any]:
    return jax.tree.leaves(eqx.tree_at(lambda n: n.blocks.mlp, network, None))


def _activate(form: FittedForm, values: np.ndarray) -> np.ndarray:
    """Return an activation in double precision."""
    if form == "relu":
        return np.maximum(values, 0.0)
    if form == "swiglu":
        return values * scipy.special.expit(values)
    # The tanh form of the network's own GELU.
    inner = np.sqrt(2.0 / np.pi) * (values + 0.044715 * values**3)
    return 0.5 * values * (1.0 + np.tanh(inner))
