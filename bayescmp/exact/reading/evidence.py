"""What each question of a factored program may know."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from bayescmp.exact.reading.factors import FactoredProgram
from bayescmp.exact.reading.leaks import reject_forgetting


def data_indices(factored: FactoredProgram, sites: dict[str, Array]) -> Int[Array, " variable"]:
    """Return which of its values each shown variable has; 0 for all others.

    Args:
        factored: Program as a product of tables.
        sites: Values of all given, query and outcome sites of one example.

    Returns:
        One index for each variable.
    """
    layout = factored.layout
    lowest = {site.name: site.lowest for site in (*layout.query, layout.outcome)}
    parts = [
        jnp.ravel(sites[site.name] - lowest[site.name]).astype(jnp.int32)
        if site.name in lowest and not site.element.is_continuous
        else jnp.zeros(site.num_variables, jnp.int32)
        for site in factored.sites
    ]
    return jnp.concatenate([jnp.zeros(0, jnp.int32), *parts])


Known = tuple[Bool[np.ndarray, "position variable"], Bool[np.ndarray, "position family"]]
"""For each question the variables whose values it knows, and the continuous families."""

KnownNow = tuple[Bool[Array, " variable"], Bool[Array, " family"]]
"""The same for one question."""


def known_when_asked(factored: FactoredProgram, window: int) -> Known:
    """Mark what each question knows if only the last steps are remembered.

    Args:
        factored: Program as a product of tables.
        window: Number of last steps.

    Returns:
        What is known when each question is asked.

    Raises:
        ValueError: If a law depends on a continuous value that is forgotten.
    """
    layout = factored.layout
    if window < layout.length - layout.reveal:
        reject_forgetting(factored.families, layout, factored.sites)
    age = _ages(layout.length)
    past = (age > 0) & ((age <= window) if layout.reveal else (age < window))
    return _known(factored, query=past | (age == 0), outcome=past)


def known_afterwards(factored: FactoredProgram) -> Known:
    """Mark what is known at the end of each step.

    Args:
        factored: Program as a product of tables.

    Returns:
        All queries and, where they are revealed, all outcomes up to then.
    """
    shown = _ages(factored.layout.length) >= 0
    return _known(factored, query=shown, outcome=shown)


def _ages(length: int) -> np.ndarray:
    """Return how many steps before each step (row) each step (column) was."""
    return np.arange(length)[:, None] - np.arange(length)[None, :]


def _known(factored: FactoredProgram, *, query: np.ndarray, outcome: np.ndarray) -> Known:
    layout = factored.layout
    when = {site.name: query for site in layout.query}
    if layout.reveal:
        when[layout.outcome.name] = outcome
    variables = np.zeros((layout.length, len(factored.sizes)), bool)
    for site in factored.sites:
        if site.name in when:
            variables[:, site.numbers] = when[site.name]
    families = np.zeros((layout.length, len(factored.families)), bool)
    for number, family in enumerate(factored.families):
        if family.child is None and family.site in when and family.element is not None:
            families[:, number] = when[family.site][:, family.element]
    return variables, families


def treatment_of(factored: FactoredProgram, how: str) -> dict[str, str]:
    """Say for each site of a factored program how it was dealt with.

    Args:
        factored: Program as a product of tables.
        how: What was done with discrete sites that are not shown.

    Returns:
        A few words for each site.
    """
    layout = factored.layout
    words = {site.name: "given" for site in layout.given}
    words |= {site.name: "shown" for site in layout.query}
    words[layout.outcome.name] = "asked, then shown" if layout.reveal else f"asked; {how}"
    for site in factored.sites:
        nodes = f"quadrature, {site.num_values} nodes; {how}"
        words.setdefault(site.name, nodes if site.element.is_continuous else how)
    return words
