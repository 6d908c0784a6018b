"""Floating-point operations: counted by XLA, and in closed form for a transformer."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.extend.core import Jaxpr, JaxprEqn, jaxpr_as_fun
from jaxtyping import PyTree

from bayescmp.networks.parts.feed_forward import num_lowered
from bayescmp.networks.shape import TaskShape
from bayescmp.networks.transformer import TransformerConfig


def count_operations(function: Callable[..., PyTree], *arguments: PyTree) -> float:
    """Count the floating-point operations of one call, by XLA's cost analysis.

    XLA counts the body of a loop once, however often it runs. Here the body of a scan is
    counted as often as it runs: with ``xla(f)`` for XLA's own count,
    ``count(f) = xla(f) + sum over scans in f of (length * count(body) - seen * xla(body))``,
    where ``seen`` is the number of copies of the body that XLA has counted in ``f``. The
    body of a loop that ends by a condition (a rejection sampler's, say) counts once, and
    exponentials and logarithms count nothing, as in XLA. What ``shard_map`` spreads counts on
    one device, and needs ``check_vma=False``. Nothing is computed or compiled.

    Args:
        function: Function of arrays that can be traced.
        arguments: Arrays, or their shapes.

    Returns:
        Additions, multiplications and comparisons; NaN where XLA tells nothing.

    Example:
        >>> count_operations(lambda x: x @ x, jnp.ones((4, 4)))
        128.0
    """
    return _count(jax.make_jaxpr(function)(*arguments))


def transformer_flops(
    config: TransformerConfig,
    shape: TaskShape,
    batch_size: int,
    *,
    num_questions: int | None = None,
) -> float:
    """Return the operations of a training step's matrix products, in closed form.

    Three times those of the forward pass, since each product ``x w`` has two more in the
    backward pass, ``g w^T`` and ``x^T g``. A product of an ``a * b`` by a ``b * c`` matrix
    counts ``2 a b c``. Attention counts whole patterns: nothing is saved by the mask,
    and a network that looks both ways costs as much.
    Element-wise work, the optimiser, drawing data and the oracle are left out, and so is the
    embedding, which looks tokens up (for vectors of size ``input_size`` its products are
    missing here).

    Args:
        config: Shape of the network.
        shape: What the model fixes.
        batch_size: Sequences in a batch.
        num_questions: Positions of a sequence that are asked, where alone the last
            feed-forward part and the read-out are computed; None computes all.

    Returns:
        Floating-point operations of one step.

    Example:
        >>> shape = bc.networks.TaskShape(input_size=6, num_outcomes=4, max_length=7)
        >>> transformer_flops(bc.TransformerConfig(num_layers=1), shape, batch_size=2)
        4225536.0
    """
    length, width = shape.max_length, config.model_size
    source_heads = config.num_source_heads or config.num_heads
    projections = 2 * width * config.head_size * (2 * config.num_heads + 2 * source_heads)
    patterns = 2 * (2 * length * width)
    read_out = 2 * width * config.head.num_outputs(shape)
    feed_forward, num_asked = _feed_forward_flops(config), num_questions or length
    everywhere = config.depth * (projections + patterns) + (config.depth - 1) * feed_forward
    return 3.0 * batch_size * (length * everywhere + num_asked * (feed_forward + read_out))


def _feed_forward_flops(config: TransformerConfig) -> int:
    """Count the products of a feed-forward part at one position."""
    num_gates = config.activation == "swiglu"
    lowered = num_lowered(config.activation, config.mlp_size, config.activation_group)
    expert = 2 * config.model_size * ((1 + num_gates) * config.mlp_size + lowered)
    if config.num_experts == 1:
        return expert
    # Every expert is computed; the router and the weighted sum are a product each.
    return config.num_experts * (expert + 2 * 2 * config.model_size)


def _count(program: Any) -> float:
    total = _count_once(program)
    for scan in _find_scans(program.jaxpr):
        body, length = scan.params["jaxpr"], scan.params["length"]
        num_rounds, left_over = divmod(length, scan.params["unroll"])
        seen = scan.params["unroll"] * min(num_rounds, 1) + left_over
        if length > seen:
            total += length * _count(body) - seen * _count_once(body)
    return total


def _count_once(program: Any) -> float:
    """Return XLA's own count; it is the processor's, since accelerators give none."""
    shapes = [jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in program.in_avals]
    try:
        processor = jax.devices("cpu")[0]
    except RuntimeError:  # JAX was told to leave the processor out.
        return np.nan
    with jax.default_device(processor):
        costs = jax.jit(jaxpr_as_fun(program)).lower(*shapes).cost_analysis()
    return float(costs.get("flops", 0.0)) if isinstance(costs, dict) else np.nan


def _find_scans(program: Jaxpr) -> Iterator[JaxprEqn]:
    """Yield the outermost scans, wherever they are."""
    for equation in program.eqns:
        if equation.primitive.name == "scan":
            yield equation
            continue
        for parameter in equation.params.values():
            for part in parameter if isinstance(parameter, tuple | list) else (parameter,):
                inner = getattr(part, "jaxpr", part)
                if isinstance(inner, Jaxpr):
                    yield from _find_scans(inner)
