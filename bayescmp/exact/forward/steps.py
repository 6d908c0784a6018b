"""The order in which a factored program is read along its questions.

Variables come in, parents first, as soon as a step shows or asks something that depends on
them, and are summed out as soon as nothing to come mentions them. What must be kept from one
step to the next is the frontier: the hidden state of a Markov chain, whatever its order, and
every latent that all steps share.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bayescmp.exact.reading.factors import FactoredProgram
from bayescmp.exact.reading.leaks import ancestors
from bayescmp.exact.reading.tabulation import Family
from bayescmp.exact.reading.variables import BINS

MAX_KEPT = 2**12
"""Most joint values of latents that are kept only to report what is believed of them."""


@dataclass(frozen=True)
class Operation:
    """One thing to do with the table of what is not summed out yet."""

    kind: str
    """``multiply``, ``observe``, ``weigh``, ``ask``, ``ask bins``, ``believe``, ``sum`` or
    ``forget``."""
    axes: tuple[int, ...] = ()
    """Axes of the step that the operation is about."""
    slot: int = -1
    """Which of the step's tables, data, potentials or conditions it uses."""
    data: tuple[tuple[int, int], ...] = ()
    """Axes of the table that are observed, each with its slot among the step's data."""
    gate: int = -1
    """Which of the step's gates switches it, where only some steps are remembered."""


@dataclass(frozen=True)
class Recipe:
    """The operations of one step; equal recipes differ in numbers alone."""

    entering: tuple[int, ...]
    """Sizes of the frontier's axes."""
    operations: tuple[Operation, ...]
    leaving: tuple[int, ...]
    """Axes of the step that become the frontier, in this order."""


@dataclass
class Step:
    """One step while it is planned: which variable each axis stands for."""

    axes: list[int]
    operations: list[Operation] = field(default_factory=list)
    families: list[int] = field(default_factory=list)
    data: list[int] = field(default_factory=list)
    potentials: list[int] = field(default_factory=list)
    gates: list[int] = field(default_factory=list)
    entering: tuple[int, ...] = ()
    leaving: tuple[int, ...] = ()
    largest: int = 1

    @property
    def recipe(self) -> Recipe:
        """The operations alone, which equal steps share."""
        return Recipe(self.entering, tuple(self.operations), self.leaving)


@dataclass(frozen=True, eq=False)
class Questioning:
    """Which variables and families each step shows, asks and needs."""

    asked: tuple[int, ...]
    """Variable asked in each step; -1 where bins are asked."""
    queries: tuple[tuple[int, ...], ...]
    """Finite queries shown in each step."""
    needed: tuple[tuple[int, ...], ...]
    """Families that come in with each step, parents first."""
    after: tuple[tuple[int, ...], ...]
    """Families of continuous outcomes, shown after the question."""
    bins: tuple[int, ...]
    """Family of the bins asked in each step; empty where the outcome is finite."""
    conditions: tuple[tuple[int, ...], tuple[int, ...]]
    """Families of fixed latents and of given sites that depend on variables, each with the
    families of all that they descend from, parents first."""
    shown_in: dict[int, int]
    """The step that shows each variable which is shown."""


def read_questions(factored: FactoredProgram) -> Questioning:
    """Sort a factored program's families by the step that needs them.

    Args:
        factored: Program as a product of tables.

    Returns:
        What each step shows, asks and needs.

    Raises:
        ValueError: If a site shown step by step is one draw, and has no element per step.
    """
    layout, length = factored.layout, factored.layout.length
    asked = [-1] * length if layout.edges else _steps_of(factored, layout.outcome.name)
    finite = [site.name for site in layout.query if site.num_values is not None]
    queries = list(zip(*(_steps_of(factored, name) for name in finite), strict=True))
    queries = queries or [()] * length
    others: dict[tuple[str, int | None], int] = {
        (f.site, f.element): n for n, f in enumerate(factored.families) if f.child is None
    }
    conditions = _conditions(factored, others)
    continuous = [site.name for site in layout.query if site.num_values is None]
    own = {f.child: n for n, f in enumerate(factored.families) if f.child is not None}
    shown_in = {v: step for step, row in enumerate(queries) for v in row}
    if layout.reveal and not layout.edges:
        shown_in |= {v: step for step, v in enumerate(asked)}
    done: set[int] = set()
    needed, after, bins = [], [], []
    for step in range(length):
        density = [others[name, step] for name in continuous]
        late = [others[layout.outcome.name, step]] if layout.edges and layout.reveal else []
        asks = [others[BINS, step]] if layout.edges else []
        wanted = {*queries[step], *(v for v in (asked[step],) if v >= 0)}
        wanted |= _mentioned(factored.families, [*density, *late, *asks])
        if step == 0:
            fixed = _mentioned(factored.families, [n for each in conditions for n in each])
            wanted |= fixed | _shared_latents(factored)
        variables = ancestors(factored.families, own, wanted) - done
        done |= variables
        needed.append((*sorted(own[v] for v in variables), *density))
        after.append(tuple(late))
        bins += asks
    return Questioning(
        asked=tuple(asked),
        queries=tuple(queries),
        needed=tuple(needed),
        after=tuple(after),
        bins=tuple(bins),
        conditions=conditions,
        shown_in=shown_in,
    )


def _conditions(
    factored: FactoredProgram, others: Mapping[tuple[str, int | None], int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the families of fixed latents and of given sites, after all that they need."""
    layout, families = factored.layout, factored.families
    own = {f.child: n for n, f in enumerate(families) if f.child is not None}
    given = {site.name for site in layout.given}
    known = given | {site.name for site in (*layout.query, layout.outcome)} | {BINS}

    def after_parents(members: list[int]) -> tuple[int, ...]:
        above = ancestors(families, own, _mentioned(families, members))
        return (*sorted(own[v] for v in above), *members)

    latents = [n for (name, _), n in others.items() if name not in known]
    return after_parents(latents), after_parents([n for (s, _), n in others.items() if s in given])


def _steps_of(factored: FactoredProgram, name: str) -> list[int]:
    """Return the variable of a site at each step."""
    site = factored.site(name)
    if site is None or site.batch_shape != (factored.layout.length,):
        raise ValueError(
            f"program: expected site {name!r} to be drawn step by step, got one joint draw; "
            "use engine='enumeration'"
        )
    return site.numbers.tolist()


def _shared_latents(factored: FactoredProgram) -> set[int]:
    """Return latents that belong to no step and are few enough to keep from the first on."""
    layout, kept = factored.layout, 1
    shown = {site.name for site in layout.shown_sites} | {layout.outcome.name}
    used = {v for f in factored.families for v in f.scope if v != f.child}
    found: set[int] = set()
    for site in factored.sites:
        own = set(site.numbers.ravel().tolist())
        size = kept * site.num_values**site.num_variables
        by_step = site.batch_shape[:1] == (layout.length,)
        if site.name not in shown and not by_step and own <= used and size <= MAX_KEPT:
            found, kept = found | own, size
    return found


def _mentioned(families: Sequence[Family], numbers: Iterable[int]) -> set[int]:
    return {v for number in numbers for v in families[number].scope}


def reported(factored: FactoredProgram, questions: Questioning) -> dict[str, bool]:
    """Say of which latent sites a belief is reported, and whether it is one for each step.

    A site with one row for each step is reported at its own step, where its row has come in
    by then. Any other is reported whole at every step, if all of it comes in with the first
    and its joint values are few enough to keep.

    Args:
        factored: Program as a product of tables.
        questions: What each step needs.

    Returns:
        By site, whether its belief is that of the step's own row.
    """
    layout = factored.layout
    arrives = {
        factored.families[number].child: step
        for step, numbers in enumerate(questions.needed)
        for number in numbers
    }
    never = layout.length
    shown = {site.name for site in layout.shown_sites}
    found: dict[str, bool] = {}
    kept = 1
    for site in factored.sites:
        if site.name in shown:
            continue
        rows = site.numbers
        if rows.shape[:1] == (layout.length,) and all(
            arrives.get(int(v), never) <= step
            for step, row in enumerate(rows.reshape(layout.length, -1))
            for v in row
        ):
            found[site.name] = True
            continue
        size = math.prod([site.num_values] * site.num_variables)
        if all(arrives.get(int(v), never) == 0 for v in rows.ravel()) and kept * size <= MAX_KEPT:
            found[site.name] = False
            kept *= size
    return found
