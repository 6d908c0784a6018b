"""What can be read off a NumPyro program: its sites, their shapes and supports."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from numpyro import distributions, handlers
from numpyro.distributions import MaskedDistribution, constraints
from numpyro.primitives import Messenger

Program = Callable[[], None]
"""A NumPyro program with all its arguments filled in."""

TRACING_ERRORS = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
)
"""What JAX raises where Python or NumPy needs the value of something drawn."""


SUM_TOLERANCE = 1e-5
"""How far probabilities may sum from one: a hundred terms in float32 round to 100 * 6e-8."""


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
    plate: str | None = None
    """Plate of the first axis, where there is one."""
    is_simplex: bool = False
    """Whether a draw is a law: numbers that are not negative and sum to one."""


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

    Raises:
        ValueError: If two sites or plates share a name, or a prior is improper.
    """
    proper = _OnlyProper(handlers.substitute(program, data=substituted or {}))
    try:
        messages = handlers.trace(handlers.seed(proper, key)).get_trace()
    except AssertionError as error:
        if "unique names" not in str(error):
            raise
        raise ValueError(
            "program: expected every site and plate to have a name of its own, got "
            f"{str(error).removeprefix('all sites must have unique names but got ')}"
        ) from error
    return {name: msg for name, msg in messages.items() if msg["type"] == "sample"}


class _OnlyProper(Messenger):
    """Refuses priors that no draw can come from."""

    def process_message(self, msg: dict[str, Any]) -> None:
        """Look at a site before it is drawn."""
        law: Any = msg["fn"] if msg["type"] == "sample" else None
        while isinstance(law, distributions.ExpandedDistribution | distributions.Independent):
            law = law.base_dist
        endless = isinstance(law, distributions.Uniform) and not any(
            isinstance(bound, Tracer) for bound in (law.low, law.high)
        )
        if isinstance(law, distributions.ImproperUniform) or (
            endless and not np.all(np.isfinite(np.asarray(law.high) - np.asarray(law.low)))
        ):
            raise ValueError(
                f"program: expected a proper prior for site {msg['name']!r}, got a flat one "
                "without bounds, from which nothing can be drawn"
            )


def draw_sites(program: Program, *, key: jax.Array) -> dict[str, jax.Array]:
    """Draw the values of all sample sites of a program, by name.

    Args:
        program: NumPyro program without arguments.
        key: Typed key.

    Returns:
        One joint draw from the program.
    """
    return {name: msg["value"] for name, msg in trace_program(program, key=key).items()}


def blank_values(program: Program) -> dict[str, jax.Array]:
    """Return zeros in the shape and type that every site has now, without any draw.

    Types follow the precision that holds: whole numbers have 64 bits where floats do.

    Args:
        program: NumPyro program without arguments.

    Returns:
        One array for each site.
    """
    shapes = jax.eval_shape(lambda key: draw_sites(program, key=key), jax.random.key(0))
    return {name: jnp.zeros(each.shape, each.dtype) for name, each in shapes.items()}


def visit_sites(
    program: Program,
    visit: Callable[[str, dict[str, Any]], None],
    *,
    substituted: dict[str, jax.Array] | None = None,
) -> None:
    """Run a program once under ``jax.vmap`` over keys and show each site to a visitor.

    There every value that depends on a draw is a tracer, and every other is a plain
    array: a proof of what depends on draws, which no number of trial runs could give.

    Args:
        program: NumPyro program without arguments.
        visit: Called with the name and NumPyro's message of each sample site.
        substituted: Values to put in place of draws.

    Raises:
        ValueError: If plain Python branches on a draw, or shapes do not fit together.
    """

    def run(key: jax.Array) -> None:
        for name, msg in trace_program(program, key=key, substituted=substituted).items():
            visit(name, msg)

    try:
        jax.vmap(run)(jax.random.split(jax.random.key(0), 2))
    except ValueError as error:
        if "Incompatible shapes for broadcasting" not in str(error):
            raise
        raise ValueError(
            "program: expected parameters, plates and masks whose shapes fit together, got "
            f"{str(error).partition('=')[2]}"
        ) from error
    except TRACING_ERRORS as error:
        raise ValueError(
            "program: expected only JAX functions on drawn values, got Python control flow, the "
            f"size of a plate or a NumPy function ({type(error).__name__}); use jnp.where, "
            "jax.lax.cond or jax.numpy, and plates of the largest size"
        ) from error


def inspect_program(program: Program) -> dict[str, Site]:
    """Describe the sample sites of a program from one trial run.

    Args:
        program: NumPyro program without arguments.

    Returns:
        A description of each site, in the order of execution.

    Raises:
        ValueError: If a site has data fixed inside the program (``obs=`` or a factor), is
            scaled or masked, or can take values that depend on other draws; or if plain
            Python branches on a draw.
    """
    sites: dict[str, Site] = {}

    def visit(name: str, msg: dict[str, Any]) -> None:
        _reject_unsampled(name, msg)
        sites[name] = _describe(name, msg)

    visit_sites(program, visit)
    return sites


def _reject_unsampled(name: str, msg: dict[str, Any]) -> None:
    """Check that what a site contributes to the joint law is the law it is drawn from."""
    if msg["is_observed"]:
        raise ValueError(
            f"program: site {name!r} is observed inside the program; expected every site to be "
            "sampled, since data is drawn from the program and conditioned on afterwards"
        )
    scale, fn = msg.get("scale"), msg["fn"]
    scaled = isinstance(scale, Tracer) or np.any(np.asarray(1 if scale is None else scale) != 1)
    while not isinstance(fn, MaskedDistribution) and hasattr(fn, "base_dist"):
        fn = fn.base_dist
    if scaled or isinstance(fn, MaskedDistribution):
        raise ValueError(
            f"program: site {name!r} is {'scaled' if scaled else 'masked'}; expected a plain site, "
            "since its draws would not follow its contribution to the joint law"
        )


def _describe(name: str, msg: dict[str, Any]) -> Site:
    support = msg["fn"].support
    num_values, lowest = _finite_range(name, support)
    return Site(
        name=name,
        shape=tuple(int(size) for size in np.shape(msg["value"])),
        event_dim=len(msg["fn"].event_shape),
        num_values=num_values,
        lowest=lowest,
        support=str(support),
        plate=_outermost_plate(msg),
        is_simplex=support is constraints.simplex,
    )


def _outermost_plate(msg: dict[str, Any]) -> str | None:
    """Return the plate whose axis comes first in the value's shape."""
    frames = sorted(msg["cond_indep_stack"], key=lambda frame: frame.dim)
    return frames[0].name if frames else None


def _finite_range(name: str, support: Any) -> tuple[int | None, int]:
    """Return the number of values of one element and the smallest value."""
    if isinstance(support, constraints.independent):
        return _finite_range(name, support.base_constraint)
    if support is constraints.boolean:
        return 2, 0
    if not isinstance(support, type(constraints.integer_interval(0, 1))):
        return None, 0
    bounds = (support.lower_bound, support.upper_bound)
    if any(isinstance(bound, Tracer) for bound in bounds):
        raise ValueError(
            f"program: the values that site {name!r} can take depend on other draws; expected "
            "fixed bounds: take the widest range, and a Categorical that rules the rest out"
        )
    lowest, highest = (np.asarray(bound) for bound in bounds)
    return int(highest.max() - lowest.min()) + 1, int(lowest.min())


def reject_outside(site: Site, values: np.ndarray) -> None:
    """Check that a site can take all of its values.

    Args:
        site: Description of the site.
        values: Any number of values, batch axes in front.

    Raises:
        ValueError: If one is out of range, naming the first and where it stands.
    """
    if site.num_values is not None:
        highest = site.lowest + site.num_values - 1
        allowed = (values >= site.lowest) & (values <= highest) & (values % 1 == 0)
        expected = f"whole numbers from {site.lowest} to {highest}"
    elif site.is_simplex:
        near_one = np.abs(values.sum(axis=-1) - 1.0) <= SUM_TOLERANCE
        allowed = (values >= 0.0).all(axis=-1) & near_one
        expected = "rows of probabilities that sum to one"
    else:
        allowed, expected = np.isfinite(values), "finite numbers"
    if not allowed.all():
        index = tuple(np.argwhere(~allowed)[0].tolist())
        got = " ".join(str(values[index]).split())
        raise ValueError(
            f"sites: expected {site.name!r} to hold {expected}, got {got} at index {index}"
        )
