"""The factor graph behind the questions of a program: what they ask is a variable, too."""

import jax.numpy as jnp
from jaxtyping import Array

from bayescmp.exact.reading.evidence import KnownNow
from bayescmp.exact.reading.factors import FactoredProgram
from bayescmp.exact.reading.variables import BINS


def question_scopes(factored: FactoredProgram) -> tuple[tuple[int, ...], ...]:
    """Return the variables of each table; the bins of each question are a variable, too.

    Args:
        factored: Program as a product of tables.

    Returns:
        One scope for each family.
    """
    first = len(factored.sizes)
    return tuple(
        (*family.scope, first + (family.element or 0)) if family.site == BINS else family.scope
        for family in factored.families
    )


def question_sizes(factored: FactoredProgram) -> tuple[int, ...]:
    """Return the number of values of each variable, the bins of each question included.

    Args:
        factored: Program as a product of tables.

    Returns:
        One number for each variable.
    """
    layout = factored.layout
    return factored.sizes + ((layout.num_outcomes,) * layout.length if layout.edges else ())


def asked_variables(factored: FactoredProgram) -> tuple[int, ...]:
    """Return the variable that each question asks.

    Args:
        factored: Program as a product of tables.

    Returns:
        One variable for each position.
    """
    site = factored.site(factored.layout.outcome.name)
    if site is None:
        return tuple(range(len(factored.sizes), len(question_sizes(factored))))
    return tuple(site.numbers.tolist())


def reject_joint_draws(factored: FactoredProgram) -> None:
    """Check that what is shown and asked has one variable for each step.

    Args:
        factored: Program as a product of tables.

    Raises:
        ValueError: If a site is one joint draw.
    """
    layout = factored.layout
    for site in (layout.outcome, *layout.query):
        found = factored.site(site.name)
        if found is not None and found.batch_shape != (layout.length,):
            raise ValueError(
                f"program: expected site {site.name!r} to be drawn step by step, got one joint "
                "draw; use engine='enumeration'"
            )


def weigh_evidence(
    factored: FactoredProgram, tables: tuple[Array, ...], indices: Array, known: KnownNow
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """Return tables and potentials that hold what a question knows and nothing else.

    Args:
        factored: Program as a product of tables.
        tables: Log table of each family, in nats.
        indices: Which of its values each shown variable has.
        known: The variables and continuous families that the question knows.

    Returns:
        Log tables, and a log potential for each variable: minus infinity for all values but
        the known one, 0 where nothing is known.
    """
    variables, families = known
    potentials = [jnp.zeros(size) for size in question_sizes(factored)]
    for variable, size in enumerate(factored.sizes):
        is_value = jnp.arange(size) == indices[variable]
        potentials[variable] = jnp.where(is_value | ~variables[variable], 0.0, -jnp.inf)
    shown = {site.name for site in (*factored.layout.query, factored.layout.outcome)}
    gated = [
        jnp.where(families[number], table, 0.0)
        if family.child is None and family.site in shown
        else table
        for number, (family, table) in enumerate(zip(factored.families, tables, strict=True))
    ]
    return tuple(gated), tuple(potentials)
