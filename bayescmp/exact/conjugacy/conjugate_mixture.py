"""Sums over discrete latents, around what is integrated in closed form for each setting."""

import itertools
import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Array, Bool, Float

from bayescmp.exact.conjugacy.conjugate_roles import Roles
from bayescmp.layout import Layout
from bayescmp.records import Reference

MAX_SEQUENCES = 4_096
"""Largest number of possible sequences that are listed to answer from a window."""

MAX_FLOATS = 2**22
"""Numbers that the settings of one sequence may fill at once: 32 MiB in float64."""


class Part(eqx.Module):
    """The answers within one joint setting of the discrete latents.

    Every array is a log probability or density in nats, jointly with the setting and with
    what the prompt gives.
    """

    log_base: Float[Array, ""]
    """``log p(setting, given)``."""
    log_past: Float[Array, " position"]
    """``log p(setting, given, remembered before step t)``."""
    log_joint: Float[Array, "position outcome"]
    """``log p(query at t, outcome | setting, given, remembered before step t)``."""
    log_shown: Float[Array, " position"]
    """``log p(setting, given, all shown by the end of step t)``."""
    belief: dict[str, Array]
    """Parameters of ``p(latent | setting, given, remembered before step t)``."""


def answer_parts(
    roles: Roles, part_of: Callable[[dict[str, Array]], Part], at_once: int
) -> tuple[Part, Float[Array, "setting position"]]:
    """Answer within every setting of the discrete latents.

    Args:
        roles: The program and its sites.
        part_of: Answers for the values of the discrete latents.
        at_once: Settings answered together, for memory.

    Returns:
        All parts, stacked, and ``log p(setting | s_t)``.
    """
    indices = jnp.arange(roles.num_settings)

    def one(index: Array) -> Part:
        return part_of(roles.setting(index))

    if roles.num_settings <= at_once:
        parts = jax.vmap(one)(indices)
    else:
        parts = jax.lax.map(one, indices, batch_size=at_once)
    log_weights = parts.log_past + logsumexp(parts.log_joint, axis=2)
    return parts, log_weights - logsumexp(log_weights, axis=0)


def settings_at_once(floats_per_setting: int) -> int:
    """Return how many settings to answer together.

    Args:
        floats_per_setting: Numbers in the largest array behind one setting's answers.

    Returns:
        At least one.
    """
    return max(1, MAX_FLOATS // floats_per_setting)


def mixed_predictive(parts: Part) -> Float[Array, "position outcome"]:
    """Return ``log p(y_t | s_t)``: parts weighed by what was remembered.

    Args:
        parts: All parts, stacked.

    Returns:
        Log probabilities in nats.
    """
    log_joint = logsumexp(parts.log_past[:, :, None] + parts.log_joint, axis=0)
    return log_joint - logsumexp(log_joint, axis=1, keepdims=True)


def mixed_reference(
    roles: Roles, parts: Part, log_posterior: Float[Array, "setting position"]
) -> Reference:
    """Put the parts of all settings together.

    ``belief[latent]`` has the axes position and, where discrete latents were listed, joint
    setting (the last latent fastest), before those of the latent's own parameters.

    Args:
        roles: The program and its sites.
        parts: All parts, stacked.
        log_posterior: ``log p(setting | s_t)``.

    Returns:
        The reference of one example.
    """
    belief = {name: jnp.moveaxis(x, 0, 1) for name, x in parts.belief.items()}
    if not roles.grids:
        belief = {name: x[:, 0] for name, x in belief.items()}
    return Reference(
        log_predictive=mixed_predictive(parts),
        log_evidence=logsumexp(parts.log_shown, axis=0) - logsumexp(parts.log_base),
        belief=belief | roles.beliefs(jnp.exp(log_posterior)),
    )


def remembered_steps(layout: Layout, window: int) -> Bool[np.ndarray, "position step"]:
    """Mark the earlier steps that are remembered at each question.

    Args:
        layout: The program's layout.
        window: Number of last steps, the current query among them where nothing is revealed.

    Returns:
        True where a step before question ``t`` is remembered.
    """
    positions = np.arange(layout.length)
    age = positions[:, None] - positions[None, :]
    return (age > 0) & (age <= (window if layout.reveal else window - 1))


def windowed_by_listing(
    roles: Roles,
    log_evidence: Callable[[dict[str, Array]], Float[Array, " position"]],
    sites: dict[str, Array],
    window: int,
) -> Float[Array, "position outcome"]:
    """Answer from a window where steps lean on earlier ones, by listing all sequences.

    What stands before the window is summed out, and that has no closed form there.

    Args:
        roles: The program and its sites.
        log_evidence: Log evidence of one whole example.
        sites: Values of all shown sites.
        window: Number of last steps that are remembered.

    Returns:
        Log probabilities in nats.

    Raises:
        ValueError: If there are too many sequences to list.
    """
    layout = roles.layout
    listed = _list_sequences(layout)
    log_joint = jax.lax.map(
        lambda values: log_evidence({**sites, **values})[-1], listed, batch_size=64
    )
    past = remembered_steps(layout, window)
    query = jnp.ones((*log_joint.shape, layout.length), bool)
    for site in layout.query:
        query &= listed[site.name] == sites[site.name]
    outcomes = listed[layout.outcome.name]
    wrong = ~(query & (outcomes == sites[layout.outcome.name]))
    agrees = query & ~jnp.any(wrong[:, None, :] & past, axis=2)
    values = layout.outcome.lowest + jnp.arange(layout.num_outcomes)
    counted = agrees[:, :, None] & (outcomes[:, :, None] == values)
    log_counts = logsumexp(jnp.where(counted, log_joint[:, None, None], -jnp.inf), axis=0)
    return log_counts - logsumexp(log_counts, axis=1, keepdims=True)


def _list_sequences(layout: Layout) -> dict[str, Array]:
    """List all values of the sites that the steps show."""
    steps = (*layout.query, layout.outcome)
    numbers = [site.name for site in steps if site.num_values is None]
    sizes = [site.num_values or 1 for site in steps for _ in range(layout.length)]
    num_sequences = math.prod(sizes)
    if numbers or not layout.reveal or num_sequences > MAX_SEQUENCES:
        got = f"10^{math.log10(num_sequences):.1f}" if layout.reveal else "outcomes never shown"
        got = f"the continuous {numbers}" if numbers else got
        raise ValueError(
            "window: expected steps that are independent once the latents are known, or at "
            f"most {MAX_SEQUENCES:,} sequences of finite values, all revealed, to sum out what "
            f"stands before the window, got {got}"
            + ("" if numbers else "; use engine='monte carlo'")
        )
    values = [range(s.lowest, s.lowest + (s.num_values or 0)) for s in steps]
    each = [values[i // layout.length] for i in range(len(sizes))]
    table = np.array(list(itertools.product(*each)), np.int32)
    table = table.reshape(-1, len(steps), layout.length)
    return {site.name: jnp.asarray(table[:, i].copy()) for i, site in enumerate(steps)}
