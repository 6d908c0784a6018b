"""The elements of a program's discrete sites, each a variable of its own."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int
from numpyro.infer.util import compute_log_probs

from bayescmp.exact.reading.bins import log_bin_probs
from bayescmp.exact.reading.elements import ElementValues, element_law, element_values, elementwise
from bayescmp.layout import Layout
from bayescmp.program import Program, visit_sites

BINS = "bins of the outcome"
"""Key under which the law over the outcome's bins stands beside the sites' log densities."""


@dataclass(frozen=True, eq=False)
class SiteVariables:
    """The variables that one site contributes."""

    name: str
    first: int
    """Number of its first variable; the others follow, the last axis fastest."""
    batch_shape: tuple[int, ...]
    """One variable for each place in it."""
    element: ElementValues

    @property
    def num_variables(self) -> int:
        """Number of elements."""
        return math.prod(self.batch_shape)

    @property
    def numbers(self) -> Int[np.ndarray, "..."]:
        """Number of the variable at each place."""
        return np.arange(self.first, self.first + self.num_variables).reshape(self.batch_shape)

    @property
    def num_values(self) -> int:
        """Number of values of each element."""
        return self.element.values.shape[0]


def list_variables(
    program: Program, *, fixed: Collection[str], num_nodes: int
) -> tuple[SiteVariables, ...]:
    """List the variables of all sites that are not fixed.

    Args:
        program: NumPyro program without arguments.
        fixed: Names of the sites whose values are given.
        num_nodes: Quadrature nodes for each continuous variable.

    Returns:
        The variables of each other site, in the order of execution.

    Raises:
        ValueError: If a site has neither finitely many values nor quadrature nodes.
    """
    laws: dict[str, tuple[Any, tuple[int, ...]]] = {}

    def visit(name: str, msg: dict[str, Any]) -> None:
        if name not in fixed:
            shape = np.shape(msg["value"])
            laws[name] = (
                element_law(msg["fn"]),
                shape[: len(shape) - len(element_law(msg["fn"]).event_shape)],
            )

    visit_sites(program, visit)
    found, first = [], 0
    for name, (law, batch_shape) in laws.items():
        element = element_values(name, law, num_nodes)
        found.append(SiteVariables(name, first, tuple(map(int, batch_shape)), element))
        first += found[-1].num_variables
    return tuple(found)


def log_densities(program: Program, layout: Layout, values: dict[str, Array]) -> dict[str, Array]:
    """Return the log probability of every element of every site.

    Args:
        program: NumPyro program without arguments.
        layout: The program's layout.
        values: Values of all sites.

    Returns:
        By site, one number for each element; beside them, where the outcome has bins, the
        log probabilities of its bins at each position.
    """
    log_probs, trace = compute_log_probs(program, (), {}, values, sum_log_prob=False)
    for name in log_probs:
        law = elementwise(trace[name]["fn"])
        if law is not trace[name]["fn"]:
            log_probs[name] = law.log_prob(trace[name]["value"])
    if layout.edges:
        law = trace[layout.outcome.name]["fn"]
        log_probs[BINS] = log_bin_probs(law, jnp.array(layout.edges), layout.length)
    return log_probs
