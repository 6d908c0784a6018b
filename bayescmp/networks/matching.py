"""Networks of different kinds with the same number of parameters."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp

from bayescmp.generative import AbstractGenerativeModel
from bayescmp.networks.config import AbstractNetworkConfig, AbstractResidualConfig
from bayescmp.networks.gru import GRUConfig
from bayescmp.networks.hypernetwork import HypernetworkConfig
from bayescmp.networks.linear_ssm import LinearSSMConfig
from bayescmp.networks.lstm import LSTMConfig
from bayescmp.networks.shape import TaskShape
from bayescmp.networks.transformer import TransformerConfig

TOLERANCE = 0.02
"""Largest relative difference of two matched counts."""


class _Widths(NamedTuple):
    """Fields that grow together, and the one that is moved by itself at the end."""

    main: str
    others: tuple[str, ...]
    fine: str


_RESIDUAL = _Widths("model_size", ("mlp_size",), "mlp_size")
_WITH_STATE = _Widths("model_size", ("mlp_size", "state_size"), "mlp_size")
_WIDTHS: MappingProxyType[type[AbstractNetworkConfig], _Widths] = MappingProxyType(
    {
        LSTMConfig: _WITH_STATE,
        GRUConfig: _WITH_STATE,
        LinearSSMConfig: _WITH_STATE,
        HypernetworkConfig: _Widths(
            "feature_size", ("hidden_size", "code_size", "main_size"), "hidden_size"
        ),
    }
)
"""Kinds whose widths are not those of every residual network."""


def match_parameters[Config: AbstractNetworkConfig](
    config: Config,
    *,
    to: AbstractNetworkConfig | int,
    shape: TaskShape | AbstractGenerativeModel,
) -> Config:
    """Change a configuration's widths until it has as many parameters as another one.

    All widths grow or shrink together, in the proportions that they have, to the multiple of
    the number of heads that comes nearest; then the width of the feed-forward part alone
    makes up for the rest. Depth, heads and everything else stay. Nothing is compiled.

    Args:
        config: Configuration to change.
        to: Configuration to match, or a number of parameters.
        shape: What the model fixes, or the model.

    Returns:
        A configuration of the same kind whose count agrees within 2 %.

    Raises:
        ValueError: If no width meets the count; the message names the nearest.

    Example:
        >>> shape = bc.networks.TaskShape(input_size=3, num_outcomes=2, max_length=8)
        >>> match_parameters(bc.networks.LSTMConfig(), to=50_000, shape=shape).model_size
        31
    """
    task = shape if isinstance(shape, TaskShape) else TaskShape.of(shape)
    target = to if isinstance(to, int) else count_of(to, task)
    if target < 1:
        raise ValueError(f"to: expected at least one parameter, got {target}")
    tried: list[tuple[int, Config]] = []
    for candidate in _candidates(config, task, target):
        count = count_of(candidate, task)
        if abs(count - target) <= TOLERANCE * target:
            return candidate
        tried.append((count, candidate))
    count, nearest = min(tried, key=lambda pair: abs(pair[0] - target))
    raise ValueError(
        f"to: expected a count that {type(config).__name__} can meet within "
        f"{100 * TOLERANCE:.0f} %, got {target:,}; the nearest is {count:,}{_describe(nearest)}"
    )


@lru_cache(maxsize=1024)
def count_of(config: AbstractNetworkConfig, shape: TaskShape) -> int:
    """Count the parameters of a network that is not built.

    Args:
        config: Configuration.
        shape: What the model fixes.

    Returns:
        Number of trainable numbers.

    Raises:
        ValueError: If the two do not go together.

    Example:
        >>> shape = bc.networks.TaskShape(input_size=3, num_outcomes=2, max_length=8)
        >>> count_of(bc.networks.NGramConfig(order=2), shape)  # 4 x 4 runs, 2 outcomes
        32
    """
    network = eqx.filter_eval_shape(config.build, shape, key=jax.random.key(0))
    arrays = [leaf for leaf in jax.tree.leaves(network) if isinstance(leaf, jax.ShapeDtypeStruct)]
    return sum(math.prod(leaf.shape) for leaf in arrays if jnp.issubdtype(leaf.dtype, jnp.inexact))


def _candidates[Config: AbstractNetworkConfig](
    config: Config, task: TaskShape, target: int
) -> Iterator[Config]:
    """Yield configurations near the target, those of the best proportions first."""
    widths = _widths_of(config)
    if widths is None or count_of(config, task) == target:
        yield config
        return
    step = _step(config)
    share = (target / count_of(config, task)) ** 0.5
    guess = max(1, round(getattr(config, widths.main) * share / step))
    below = _last_within(lambda k: count_of(_scale(config, widths, k * step), task), target, guess)
    pair = [_scale(config, widths, k * step) for k in (below, below + 1)]
    for candidate in sorted(pair, key=lambda near: abs(count_of(near, task) - target)):
        yield _tune(candidate, widths, task, target)


def _widths_of(config: AbstractNetworkConfig) -> _Widths | None:
    """Return the widths of a kind of network, or None where it has none."""
    is_residual = isinstance(config, AbstractResidualConfig)
    return _WIDTHS.get(type(config), _RESIDUAL if is_residual else None)


def _step(config: AbstractNetworkConfig) -> int:
    """Return what the main width must be a multiple of."""
    if not isinstance(config, TransformerConfig):
        return 1
    return config.num_heads * (2 if config.positions == "rotary" else 1)


def _scale[Config: AbstractNetworkConfig](config: Config, widths: _Widths, main: int) -> Config:
    """Set the main width and keep the proportions of the others; what is left out stays out."""
    factor = main / getattr(config, widths.main)
    present = [name for name in widths.others if getattr(config, name)]
    others = {
        name: _round(factor * getattr(config, name), _grain(config, name)) for name in present
    }
    return _change(config, {widths.main: main, **others})


def _round(size: float, grain: int) -> int:
    """Return the multiple of a grain that is nearest, and no zero."""
    return grain * max(1, round(size / grain))


def _grain(config: AbstractNetworkConfig, name: str) -> int:
    """Return what a width must be a multiple of."""
    if isinstance(config, AbstractResidualConfig) and name == "mlp_size":
        return config.activation_group  # groups of hidden units are not cut
    return 1


def _last_within(count: Callable[[int], int], target: int, guess: int) -> int:
    """Return the last index, from one, whose count is within the target, or one."""
    low, high = 1, guess + 1
    while count(high) <= target:
        low, high = high, 2 * high
    while high - low > 1:
        # Counts grow about as the square of widths, so that their roots point the way.
        start, end = count(low) ** 0.5, count(high) ** 0.5
        middle = low + int((high - low) * (target**0.5 - start) / (end - start))
        middle = min(max(middle, low + 1), high - 1)
        low, high = (middle, high) if count(middle) <= target else (low, middle)
    return low


def _tune[Config: AbstractNetworkConfig](
    config: Config, widths: _Widths, task: TaskShape, target: int
) -> Config:
    """Move one width alone, along which the count is a straight line."""
    name = widths.fine
    size = getattr(config, name)
    if not size:
        return config
    count, grain = count_of(config, task), _grain(config, name)
    slope = count_of(_change(config, {name: size + grain}), task) - count
    return _change(config, {name: max(grain, size + grain * round((target - count) / slope))})


def _change[Config: AbstractNetworkConfig](config: Config, widths: dict[str, int]) -> Config:
    return replace(cast(Any, config), **widths)  # every concrete configuration is a dataclass


def _describe(config: AbstractNetworkConfig) -> str:
    """Name a configuration's widths."""
    widths = _widths_of(config)
    if widths is None:
        return ", and there is no width to change"
    names = (widths.main, *(name for name in widths.others if getattr(config, name)))
    return " with " + ", ".join(f"{name} = {getattr(config, name)}" for name in names)
