"""Numbers that a law looks up, and that a question may not know.

A discrete value that is not known is summed over. A continuous one can only be looked up, so
that a law which depends on one that is shown later, or was forgotten, has no table.
"""

from collections.abc import Iterable, Mapping, Sequence

from bayescmp.exact.reading.tabulation import Family
from bayescmp.exact.reading.variables import BINS, SiteVariables
from bayescmp.layout import Layout


def ancestors(
    families: Sequence[Family], own: Mapping[int, int], wanted: Iterable[int]
) -> set[int]:
    """Return the wanted variables with all that they descend from.

    Args:
        families: All families.
        own: Number of each variable's own family.
        wanted: Variables to start from.

    Returns:
        Variables.
    """
    found: set[int] = set()
    waiting = list(wanted)
    while waiting:
        variable = waiting.pop()
        if variable not in found:
            found.add(variable)
            waiting += families[own[variable]].scope
    return found


def reject_leaks(
    families: Sequence[Family], layout: Layout, sites: Sequence[SiteVariables]
) -> None:
    """Check that every number is shown by the time that a law looks it up.

    Args:
        families: All families of a program.
        layout: The program's layout.
        sites: All variables.

    Raises:
        ValueError: If the law of a query depends on a continuous outcome of its own step, or any
            law on a number shown later.
    """
    if not any(family.leans_on for family in families):
        return
    own = {f.child: number for number, f in enumerate(families) if f.child is not None}
    steps = [_step(family, layout, sites) for family in families]
    queries = {site.name for site in layout.query}
    for number, family in enumerate(families):
        step = steps[number]
        if step is None and (family.child is not None or family.site == BINS):
            continue  # A latent counts where something that is shown descends from it.
        behind = {own[v] for v in ancestors(families, own, family.scope)} | {number}
        for other in sorted(behind):
            for name, when in families[other].leans_on:
                last = -1 if step is None else step - (name not in queries)
                # What a question asks may depend on its queries, and on earlier outcomes.
                if when > last:
                    raise ValueError(_in_words(family, step, name, when))


def reject_forgetting(
    families: Sequence[Family], layout: Layout, sites: Sequence[SiteVariables]
) -> None:
    """Check that what stands before a window can be summed out.

    Args:
        families: All families of a program.
        layout: The program's layout.
        sites: All variables.

    Raises:
        ValueError: If a law depends on a continuous value of another step.
    """
    idle = _idle_queries(families, layout)
    for family in families:
        step = _step(family, layout, sites)
        for name, when in family.leans_on if family.site not in idle else ():
            if when != step:
                raise ValueError(
                    "window: expected laws that depend on no continuous value of an earlier "
                    f"step, which would have to be integrated out before the window, got "
                    f"{family.site!r}, which depends on {name!r} at step {when}; leave out "
                    "rungs that need a window"
                )


def _idle_queries(families: Sequence[Family], layout: Layout) -> set[str]:
    """Return continuous queries that depend on nothing but each other, and so tell of nothing."""
    idle = {site.name for site in layout.query if site.num_values is None}
    for _ in layout.query:  # each round loses those that depend on one lost before
        idle -= {
            family.site
            for family in families
            if family.scope
            or family.depends_on_conditions
            or not {name for name, _ in family.leans_on} <= idle
        }
    return idle


def _step(family: Family, layout: Layout, sites: Sequence[SiteVariables]) -> int | None:
    """Return the step at which a family's element is shown or asked; None for all others."""
    names = {site.name for site in (*layout.query, layout.outcome)}
    if family.site == BINS:
        return family.element
    if family.site not in names or family.element is None:
        return None
    site = next((site for site in sites if site.name == family.site), None)
    return family.element if site is None or site.batch_shape == (layout.length,) else 0


def _in_words(family: Family, step: int | None, name: str, when: int) -> str:
    site = "the outcome's bins" if family.site == BINS else repr(family.site)
    where = "what the prompt gives" if step is None else f"step {step}"
    return (
        f"program: expected laws that depend on no number shown later, got {site} at {where}, "
        f"which depends on {name!r} at step {when}; a continuous value that is not known yet "
        "cannot be summed out"
    )
