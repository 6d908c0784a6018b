"""All the values that the sites of a program can take, one list a site."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.core import Tracer
from numpyro import distributions as dist

from bayescmp.exact.reading.elements import constant as constant
from bayescmp.exact.reading.elements import element_law as element_law
from bayescmp.exact.reading.elements import element_values
from bayescmp.layout import Layout
from bayescmp.program import Program, trace_program, visit_sites

MAX_SETTINGS = 1_000_000
"""Largest number of joint settings that enumeration accepts."""


@dataclass(frozen=True, eq=False)
class SettingGrid:
    """All values of one site: for a continuous one, quadrature nodes with weights."""

    name: str
    values: np.ndarray
    """Shape (settings, *site shape)."""
    log_weights: np.ndarray
    """Log quadrature weight of each setting; zero for discrete sites."""
    is_continuous: bool


def list_settings(
    program: Program, *, fixed: Collection[str], num_nodes: int
) -> tuple[SettingGrid, ...]:
    """List the settings of every site of a program that is not fixed.

    Args:
        program: NumPyro program without arguments.
        fixed: Names of the sites whose values are given.
        num_nodes: Quadrature nodes for each element of a continuous site.

    Returns:
        One grid for each other site, in the order of execution.

    Raises:
        ValueError: If a site cannot be enumerated, or there are too many joint settings.
    """
    free: dict[str, tuple[Any, tuple[int, ...]]] = {}

    def visit(name: str, msg: dict[str, Any]) -> None:
        if name not in fixed:
            free[name] = (element_law(msg["fn"]), tuple(np.shape(msg["value"])))

    visit_sites(program, visit)
    sizes = {
        name: _num_values(name, law, num_nodes) ** _num_elements(law, shape)
        for name, (law, shape) in free.items()
    }
    total = math.prod(sizes.values())
    if total > MAX_SETTINGS:
        parts = ", ".join(f"{name}: {_in_words(size)}" for name, size in sizes.items())
        raise ValueError(
            f"program: expected at most {MAX_SETTINGS:,} joint settings to enumerate, got "
            f"{_in_words(total)} ({parts}); use a smaller model, or one with a closed form"
        )
    return tuple(_grid(name, law, shape, num_nodes) for name, (law, shape) in free.items())


def reject_dependent(program: Program, layout: Layout, fixed: Collection[str]) -> None:
    """Check that continuous queries depend on nothing but what is fixed.

    Args:
        program: NumPyro program without arguments.
        layout: The program's layout.
        fixed: Names of the sites whose values are given.

    Raises:
        ValueError: If one depends on a free site, or has no density for each position.
    """
    names = {site.name for site in layout.query if site.name in fixed}
    if not names:
        return
    messages = trace_program(program, key=jax.random.key(0))
    values = {name: messages[name]["value"] for name in fixed}

    def visit(name: str, msg: dict[str, Any]) -> None:
        if name not in names:
            return
        log_density = msg["fn"].log_prob(msg["value"])
        if isinstance(log_density, Tracer):
            raise ValueError(
                f"query: expected a continuous site whose law depends on nothing that is asked "
                f"or hidden, got {name!r}; enumeration cannot condition on it"
            )
        if np.shape(log_density)[:1] != (layout.length,):
            raise ValueError(
                f"query: expected a density for each of {layout.length} positions, got shape "
                f"{np.shape(log_density)} for site {name!r}; draw it inside a plate"
            )

    visit_sites(program, visit, substituted=values)


def _num_elements(law: dist.Distribution, shape: tuple[int, ...]) -> int:
    return math.prod(shape[: len(shape) - len(law.event_shape)])


def _num_values(name: str, law: dist.Distribution, num_nodes: int) -> int:
    """Return the number of values of one element.

    A law may state it as ``support_size``, which spares listing them.
    """
    size = getattr(law, "support_size", None)
    return element_values(name, law, num_nodes).values.shape[0] if size is None else int(size)


def _grid(name: str, law: dist.Distribution, shape: tuple[int, ...], num_nodes: int) -> SettingGrid:
    """List all values of a site, the last element fastest."""
    element = element_values(name, law, num_nodes)
    num_elements = _num_elements(law, shape)
    numbers = np.indices((element.values.shape[0],) * num_elements).reshape(num_elements, -1).T
    return SettingGrid(
        name=name,
        values=element.values[numbers].reshape(-1, *shape),
        log_weights=element.log_weights[numbers].sum(axis=1),
        is_continuous=element.is_continuous,
    )


def _in_words(number: int) -> str:
    """Write a number of settings, which may be too large for a float."""
    return f"{number:,}" if number < 10**9 else f"10^{math.log10(number):.0f}"
