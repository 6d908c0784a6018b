"""What can be read off a NumPyro program: its sites, their shapes and supports."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from numpyro import handlers
from numpyro.distributions import constraints

Program = Callable[[], None]
"""A NumPyro program with all its arguments filled in."""


@dataclass(frozen=True)
class Site:
    """One sample site of a program."""

    name: str
    shape: tuple[int, ...]
    """Shape of the site's value."""
    event_dim: int
    """How many trailing axes belong to one draw."""
    num_values: int | None
    """Number of values one element can take; None where it is not finite."""
    lowest: int
    """The smallest of them; 0 where the support is not finite."""
    support: str
    """The support in NumPyro's words, for messages."""


def trace_program(
    program: Program, *, key: jax.Array, substituted: dict[str, jax.Array] | None = None
) -> dict[str, dict[str, Any]]:
    """Run a program once and return the messages of its sample sites, by name.

    Args:
        program: NumPyro program without arguments.
        key: Typed key that seeds the sites that are not substituted.
        substituted: Values to put in place of draws.

    Returns:
        NumPyro's message for each sample site, in the order of execution.
    """
    seeded = handlers.seed(handlers.substitute(program, data=substituted or {}), key)
    messages = handlers.trace(seeded).get_trace()
    return {name: msg for name, msg in messages.items() if msg["type"] == "sample"}


def draw_sites(program: Program, *, key: jax.Array) -> dict[str, jax.Array]:
    """Draw the values of all sample sites of a program, by name.

    Args:
        program: NumPyro program without arguments.
        key: Typed key.

    Returns:
        One joint draw from the program.
    """
    return {name: msg["value"] for name, msg in trace_program(program, key=key).items()}


def inspect_program(program: Program) -> dict[str, Site]:
    """Describe the sample sites of a program from one trial run.

    Args:
        program: NumPyro program without arguments.

    Returns:
        A description of each site, in the order of execution.

    Raises:
        ValueError: If a site has data fixed inside the program (``obs=``): bayescmp
            conditions by itself, on whatever a sequence shows.
    """
    messages = trace_program(program, key=jax.random.key(0))
    for name, msg in messages.items():
        if msg["is_observed"]:
            raise ValueError(
                f"program: site {name!r} is observed inside the program; expected every site to be "
                "sampled, since data is drawn from the program and conditioned on afterwards"
            )
    return {name: _describe(name, msg) for name, msg in messages.items()}


def _describe(name: str, msg: dict[str, Any]) -> Site:
    support = msg["fn"].support
    num_values, lowest = _finite_range(support)
    return Site(
        name=name,
        shape=tuple(int(size) for size in np.shape(msg["value"])),
        event_dim=len(msg["fn"].event_shape),
        num_values=num_values,
        lowest=lowest,
        support=str(support),
    )


def _finite_range(support: Any) -> tuple[int | None, int]:
    """Return the number of values of one element and the smallest value."""
    if isinstance(support, constraints.independent):
        return _finite_range(support.base_constraint)
    if support is constraints.boolean:
        return 2, 0
    if isinstance(support, type(constraints.integer_interval(0, 1))):
        lowest = np.unique(np.asarray(support.lower_bound))
        highest = np.unique(np.asarray(support.upper_bound))
        return int(highest.max() - lowest.min()) + 1, int(lowest.min())
    return None, 0
