"""When in training a part of a network has become what it ends as, and the phases on the way."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

SHARE = 0.9
"""Share of its change after which a part counts as settled."""

LEAST_CHANGE = 1e-7
"""A change of a curve by less than this is rounding of networks in 32 bits."""

Curves = Float[np.ndarray, "*rows checkpoint"]
Steps = Sequence[int]


@dataclass(frozen=True)
class Dissociation:
    """How much later the output settles than what it is computed from."""

    frame_step: float
    """Step at which attention, or what mixes positions, has covered most of its change."""
    output_step: float
    """Step at which the divergence from exact has."""
    ratio: float
    """``output_step / frame_step``; NaN where one of the two has not changed."""
    low: float
    """Lower end of the ratio's bootstrap interval over sequences."""
    high: float
    """Upper end; equal to the ratio where every sequence is looked at."""


@dataclass(frozen=True)
class Phase:
    """A stretch of training in which one explanation is the nearest to a network."""

    nearest: str
    """Its name."""
    first: int
    """Step of the first checkpoint of the stretch."""
    last: int
    """Step of the last one."""


def share_covered(curves: Curves) -> Curves:
    """Return the share of its total change that a curve has covered for good.

    ``c_t = (d_0 - d_t) / (d_0 - d_T)``, then the monotone envelope
    ``max(0, min_{u >= t} c_u)``: what a curve loses again later does not count as covered.

    Args:
        curves: Curves ``d`` over checkpoints, at least two.

    Returns:
        Shares that never fall, from 0 at the first checkpoint to 1 at the last; NaN where
        a curve ends within 1e-7 of where it began, or is not finite.

    Raises:
        ValueError: If there are fewer than two checkpoints.

    Example:
        >>> from bayescmp.layers.phases import share_covered
        >>> share_covered(np.array([8.0, 2.0, 4.0, 0.0])).tolist()  # 2.0 is not yet for good
        [0.0, 0.5, 0.5, 1.0]
    """
    if curves.shape[-1] < 2:
        raise ValueError(f"curves: expected at least 2 checkpoints, got {curves.shape[-1]}")
    start, end = curves[..., :1], curves[..., -1:]
    with np.errstate(invalid="ignore", divide="ignore"):
        covered = (start - curves) / (start - end)
        known = np.isfinite(curves).all(axis=-1, keepdims=True)
        known &= np.abs(start - end) > LEAST_CHANGE
    for_good = np.minimum.accumulate(covered[..., ::-1], axis=-1)[..., ::-1]
    return np.where(known, np.maximum(for_good, 0.0), np.nan)


def coverage_step(
    steps: Steps, curves: Curves, share: float = SHARE
) -> Float[np.ndarray, "*rows"] | np.float64:
    """Return the step at which curves have covered a share of their change for good.

    Between checkpoints the share is interpolated linearly in ``log(1 + step)``, as
    checkpoints are spaced.

    Args:
        steps: Step of each checkpoint, increasing.
        curves: Curves over checkpoints, such as a distance to where training ends.
        share: Which share, above 0 and at most 1.

    Returns:
        Steps, not whole ones; NaN where a curve has not changed.

    Raises:
        ValueError: If steps do not increase, or the share is out of range.

    Example:
        >>> from bayescmp.layers.phases import coverage_step
        >>> float(coverage_step([0, 1, 3, 7], np.array([1.0, 0.5, 0.0, 0.0]), share=1.0).round(9))
        3.0
    """
    if len(steps) != curves.shape[-1] or np.any(np.diff(steps) <= 0):
        raise ValueError(
            f"steps: expected {curves.shape[-1]} increasing numbers, got {list(steps)}"
        )
    if not 0.0 < share <= 1.0:
        raise ValueError(f"share: expected a number above 0 and at most 1, got {share}")
    covered = share_covered(curves)
    after = np.argmax(covered >= share, axis=-1)[..., None]
    before = np.maximum(after - 1, 0)
    times = np.broadcast_to(np.log1p(np.asarray(steps, float)), covered.shape)
    (low, high), (first, last) = (
        tuple(np.take_along_axis(table, index, axis=-1)[..., 0] for index in (before, after))
        for table in (covered, times)
    )
    with np.errstate(invalid="ignore"):
        found = np.expm1(first + (last - first) * (share - low) / (high - low))
    return np.where(np.isnan(covered[..., 0]), np.nan, found)[()]


def dissociate(
    steps: Steps,
    frame: Float[np.ndarray, "sequence checkpoint"],
    output: Float[np.ndarray, "sequence checkpoint"],
    weights: Float[np.ndarray, " sequence"] | None = None,
    *,
    rng: np.random.Generator,
    num_resamples: int = 1_000,
    level: float = 0.95,
) -> Dissociation:
    """Return when attention and output settle, and the ratio of the two steps.

    Args:
        steps: Step of each checkpoint, increasing.
        frame: Distance of each sequence's attention to that of the last checkpoint.
        output: Divergence of each sequence's answers from exact.
        weights: Probability of each sequence, where every one is there; None where drawn.
        rng: Draws the resamples.
        num_resamples: How often sequences are drawn anew, with replacement.
        level: Coverage of the percentile interval.

    Returns:
        Steps and ratio; NaN where one of the two has not changed.

    Raises:
        ValueError: If steps do not increase.

    Example:
        >>> from bayescmp.layers.phases import dissociate
        >>> early, late = np.array([[1.0, 0.0, 0.0]] * 3), np.array([[1.0, 1.0, 0.0]] * 3)
        >>> found = dissociate([0, 10, 100], early, late, rng=np.random.default_rng(0))
        >>> round(found.ratio, 1), found.low <= found.ratio <= found.high
        (10.4, True)
    """
    num = len(frame)
    means = np.full((1, num), 1.0 / num) if weights is None else weights[None] / weights.sum()
    frame_step, output_step = (
        np.asarray(coverage_step(steps, means @ each))[0] for each in (frame, output)
    )
    ratio = output_step / frame_step
    low = high = ratio
    if weights is None:
        draws = rng.multinomial(num, means[0], num_resamples) / num
        ratios = coverage_step(steps, draws @ output) / coverage_step(steps, draws @ frame)
        low, high = np.quantile(ratios, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return Dissociation(*map(float, (frame_step, output_step, ratio, low, high)))


def find_phases(steps: Steps, nearest: Sequence[str]) -> tuple[Phase, ...]:
    """Join neighbouring checkpoints that the same explanation is nearest to.

    Args:
        steps: Step of each checkpoint.
        nearest: Name of the nearest explanation at each.

    Returns:
        Stretches in the order of training.

    Example:
        >>> from bayescmp.layers.phases import find_phases
        >>> [phase.last for phase in find_phases([0, 1, 9], ["uniform", "uniform", "exact"])]
        [1, 9]
    """
    phases: list[Phase] = []
    for step, name in zip(steps, nearest, strict=True):
        if phases and phases[-1].nearest == name:
            phases[-1] = Phase(name, phases[-1].first, step)
        else:
            phases.append(Phase(name, step, step))
    return tuple(phases)


def js_divergence(
    p: Float[Array, "*rows source_position"], q: Float[Array, "*rows source_position"]
) -> Float[Array, "*rows"]:
    """Return the Jensen-Shannon divergence of two patterns of attention.

    ``(KL(p || m) + KL(q || m)) / 2`` with ``m = (p + q) / 2``; a place without attention in
    either adds nothing.

    Args:
        p: Attention weights, rows that sum to one.
        q: Others.

    Returns:
        Divergence in nats, between 0 and log 2.

    Example:
        >>> from bayescmp.layers.phases import js_divergence
        >>> js_divergence(jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0]))
        Array(0.6931472, dtype=float32)
    """
    middle = (p + q) / 2.0

    def half(law: Array) -> Array:
        safe = jnp.where(law > 0.0, law, 1.0)
        terms = law * (jnp.log(safe) - jnp.log(jnp.where(law > 0.0, middle, 1.0)))
        return jnp.sum(terms, axis=-1) / 2.0

    return half(p) + half(q)
