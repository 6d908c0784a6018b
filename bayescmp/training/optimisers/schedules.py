"""How a learning rate rises and falls over a run."""

from typing import Literal

import optax

Schedule = Literal["constant", "cosine", "linear", "wsd"]
"""``wsd`` warms up, stays stable, and falls linearly over the last steps."""


def falling(
    schedule: Schedule, peak: float, num_steps: int, *, final: float, num_cooldown: int
) -> optax.Schedule:
    """Return a learning rate that begins at its peak and ends at a share of it.

    Args:
        schedule: How it falls.
        peak: Learning rate at step 0.
        num_steps: Step at which the final rate is reached.
        final: Share of the peak there; a constant rate has no use for it.
        num_cooldown: Steps over which ``wsd`` falls.

    Returns:
        Optax schedule.

    Example:
        >>> linear = falling("linear", 2.0, 10, final=0.5, num_cooldown=0)
        >>> [float(linear(step)) for step in (0, 5, 10)]
        [2.0, 1.5, 1.0]
    """
    if schedule == "cosine":
        return optax.cosine_decay_schedule(peak, num_steps, alpha=final)
    if schedule == "linear":
        return optax.linear_schedule(peak, final * peak, num_steps)
    if schedule == "wsd":
        num_cooldown = min(max(num_cooldown, 1), num_steps)
        begin = num_steps - num_cooldown
        return optax.linear_schedule(peak, final * peak, num_cooldown, transition_begin=begin)
    return optax.constant_schedule(peak)


def warmed_up(peak: float, num_warmup: int, after: optax.Schedule) -> optax.Schedule:
    """Return a learning rate that rises to its peak in equal steps before it falls.

    Args:
        peak: Learning rate at the last step of the warm-up.
        num_warmup: Steps of the warm-up; the first one has ``peak / num_warmup``.
        after: Schedule from there on.

    Returns:
        Optax schedule.

    Example:
        >>> rises = warmed_up(1.0, 4, optax.constant_schedule(1.0))
        >>> [float(rises(step)) for step in range(5)]
        [0.25, 0.5, 0.75, 1.0, 1.0]
    """
    if not num_warmup:
        return after
    warmup = optax.linear_schedule(peak / num_warmup, peak, max(num_warmup - 1, 1))
    return optax.join_schedules([warmup, after], [num_warmup])
