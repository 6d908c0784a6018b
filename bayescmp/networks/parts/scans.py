"""Recurrences along positions: any step one after another, linear ones all at once."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact


def scan_positions[State, Drives](
    step: Callable[[State, Drives], tuple[State, Array]], start: State, drives: Drives
) -> Float[Array, "*sequence input_position output"]:
    """Carry a state from position to position.

    Args:
        step: From the state and a position's drives to the next state and an output.
        start: State before the first position.
        drives: What each position adds: an array of rows, or a tree of them.

    Returns:
        The outputs of all positions.
    """

    # A method of a module has no hash, which the scan needs; a function of its own has.
    def hashable(state: State, drive: Drives) -> tuple[State, Array]:
        return step(state, drive)

    in_time = jax.tree.map(lambda rows: jnp.moveaxis(rows, -2, 0), drives)
    _, outputs = jax.lax.scan(hashable, start, in_time)
    return jnp.moveaxis(outputs, 0, -2)


def linear_recurrence(
    decay: Inexact[Array, "..."], drive: Inexact[Array, "..."], axis: int
) -> Inexact[Array, "..."]:
    """Solve ``h_t = decay_t * h_(t-1) + drive_t`` from ``h_0 = 0``, in logarithmic depth.

    One step is the map ``h -> a h + b``. Two of them in a row are again such a map, with
    ``a = a_2 a_1`` and ``b = a_2 b_1 + b_2``, which is associative.

    Args:
        decay: Factors; axes of size one are spread over the drive's.
        drive: What is added, with as many axes.
        axis: Which axis counts positions.

    Returns:
        The states, of the drive's shape.

    Source: Blelloch, "Prefix sums and their applications", 1990, section 1.4.

    Example:
        >>> from bayescmp.networks.parts.scans import linear_recurrence
        >>> linear_recurrence(jnp.array([0.5, 0.5, 0.5]), jnp.ones(3), axis=0)
        Array([1.  , 1.5 , 1.75], dtype=float32)
    """

    def join(first: tuple[Array, Array], then: tuple[Array, Array]) -> tuple[Array, Array]:
        return then[0] * first[0], then[0] * first[1] + then[1]

    return jax.lax.associative_scan(join, (decay, drive), axis=axis)[1]
