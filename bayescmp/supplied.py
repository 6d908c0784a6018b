"""Values of sites that somebody supplies, for sequences of one length or of several."""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Int

from bayescmp.layout import Layout
from bayescmp.program import Site

Lengths = int | Sequence[int] | np.ndarray | Array
"""Number of questions of each sequence."""


def find_batch_shape(
    layout: Layout, sites: Mapping[str, Site], values: Mapping[str, Array]
) -> tuple[int, ...]:
    """Check which sites there are, and return the batch axes that all have in common.

    Args:
        layout: Layout of the model.
        sites: All sites of its program, by name.
        values: Supplied values, by name.

    Returns:
        The axes in front of those of the sites.

    Raises:
        ValueError: If a site is missing or unknown, or shapes do not fit.
    """
    shapes = {}
    for site in (*layout.given, *layout.query, layout.outcome):
        if site.name not in values:
            raise ValueError(f"sites: expected a value for {site.name!r}, got {sorted(values)}")
    for name, value in values.items():
        if name not in sites:
            raise ValueError(f"sites: expected names among {sorted(sites)}, got {name!r}")
        expected = sites[name].shape
        cut = len(value.shape) - len(expected)
        if cut < 0 or value.shape[cut:] != expected:
            raise ValueError(
                f"sites: expected {name!r} to end in shape {expected}, got {value.shape}"
            )
        shapes[name] = value.shape[:cut]
    if len(set(shapes.values())) > 1:
        raise ValueError(f"sites: expected the same batch axes everywhere, got {shapes}")
    return next(iter(shapes.values()))


def read_lengths(
    lengths: Lengths, longest: int, batch_shape: tuple[int, ...]
) -> Int[Array, "*sequence"]:
    """Check the lengths of some sequences.

    Args:
        lengths: Number of questions of each sequence.
        longest: Number of questions that the model has.
        batch_shape: Batch axes of the sequences.

    Returns:
        The lengths.

    Raises:
        TypeError: If they are not integers.
        ValueError: If there is not one for each sequence, or one is out of range. Inside a
            compiled function, where values are unknown, the latter is not checked.
    """
    array = lengths if isinstance(lengths, Tracer) else np.asarray(lengths)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise TypeError(f"lengths: expected integers, got {array.dtype}")
    if array.shape != batch_shape:
        raise ValueError(
            f"lengths: expected shape {batch_shape}, one for each sequence, got {array.shape}"
        )
    if isinstance(array, np.ndarray):
        wrong = array[(array < 1) | (array > longest)]
        if wrong.size:
            raise ValueError(f"lengths: expected integers from 1 to {longest}, got {wrong[0]}")
    return jnp.asarray(array)


def repeat_first(
    layout: Layout, values: Mapping[str, Array], lengths: Int[Array, "*sequence"]
) -> dict[str, Array]:
    """Put the first value of a sequence in place of what stands after its end.

    Whatever stood there, even what a site cannot take, leaves no trace.

    Args:
        layout: Layout of the model.
        values: Value of every query and outcome site, and of any others, by name.
        lengths: Number of questions of each sequence, at least one.

    Returns:
        The values, those of query and outcome sites changed.
    """
    there = jnp.arange(layout.length) < lengths[..., None]
    changed = dict(values)
    for site in (*layout.query, layout.outcome):
        value = values[site.name]
        inside = there.reshape(*there.shape, *(1,) * (len(site.shape) - 1))
        first = jnp.take(value, jnp.zeros(1, jnp.int32), axis=lengths.ndim)
        changed[site.name] = jnp.where(inside, value, first)
    return changed
