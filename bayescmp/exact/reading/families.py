"""Which elements of a program's sites depend on which others, as one family for each law."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool

from bayescmp.exact.reading.dependence import find_dependence
from bayescmp.exact.reading.tabulation import Family
from bayescmp.exact.reading.variables import BINS, SiteVariables, log_densities
from bayescmp.layout import Layout
from bayescmp.program import Program, blank_values


def find_families(
    program: Program,
    layout: Layout,
    sites: tuple[SiteVariables, ...],
    *,
    fixed: Collection[str] = (),
) -> list[Family]:
    """Prove on the jaxpr of a program's log densities which law depends on what.

    Args:
        program: NumPyro program without arguments.
        layout: The program's layout.
        sites: All variables.
        fixed: Latent sites that are conditioned on, beside what the prompt gives and
            continuous sites that are shown.

    Returns:
        The family of every variable, parents first; then those of shown numbers, of bins, and
        of given sites and fixed latents that depend on variables.

    Raises:
        ValueError: If variables seem to depend on each other, or a continuous site that the
            steps show has no density for each step.
    """
    numbering = _number(layout, sites)
    values = blank_values(program)
    labels = {
        name: numbering.labels(name, value.shape, sites, layout.length)
        for name, value in values.items()
    }
    found = find_dependence(partial(log_densities, program, layout), values, labels, numbering.size)
    rows = {name: mask.reshape(-1, numbering.size) for name, mask in found.items()}
    children = [
        numbering.family(site.name, element, row, child=site.first + element)
        for site in sites
        for element, row in enumerate(rows[site.name])
    ]
    families = _parents_first(children)
    for name in numbering.shown:
        _reject_joint_density(name, found[name].shape[:-1], layout.length)
        steps = rows[name].reshape(layout.length, -1, numbering.size).any(axis=1)
        families += [numbering.family(name, element, row) for element, row in enumerate(steps)]
    if layout.edges:
        steps = found[BINS].any(axis=1)
        families += [numbering.family(BINS, element, row) for element, row in enumerate(steps)]
    for name in sorted(site.name for site in layout.given):
        if rows[name][:, : numbering.num_variables].any():
            families.append(numbering.family(name, None, rows[name].any(axis=0)))
    for name in sorted(fixed):
        if rows[name][:, : numbering.num_variables].any():
            families += _latent_families(numbering, name, rows[name])
    return families


@dataclass(frozen=True)
class _Numbering:
    """Numbers of all that a law can depend on.

    First the variables, then one number for all that is given or fixed, and then one for each
    step of each continuous site that the steps show.
    """

    num_variables: int
    shown: tuple[str, ...]
    """Continuous sites that the steps show."""
    steps: tuple[tuple[str, int], ...]
    """Their steps, in the order of their numbers."""

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return self.num_variables + 1 + len(self.steps)

    def labels(
        self, name: str, shape: tuple[int, ...], sites: tuple[SiteVariables, ...], length: int
    ) -> np.ndarray:
        """Return the number of each element of a site."""
        own = next((site for site in sites if site.name == name), None)
        if own is not None:
            return own.numbers
        if name in self.shown:
            first = self.num_variables + 1 + self.steps.index((name, 0))
            return np.arange(first, first + length)
        return np.full(shape, self.num_variables)

    def family(
        self,
        name: str,
        element: int | None,
        row: Bool[np.ndarray, " number"],
        child: int | None = None,
    ) -> Family:
        """Turn what an element depends on into a family."""
        parents = np.flatnonzero(row[: self.num_variables]).tolist()
        leans_on = (self.steps[i] for i in np.flatnonzero(row[self.num_variables + 1 :]))
        return Family(
            site=name,
            element=element,
            scope=(*(v for v in parents if v != child), *(() if child is None else (child,))),
            child=child,
            depends_on_fixed=bool(row[self.num_variables :].any()),
            depends_on_conditions=bool(row[self.num_variables]),
            leans_on=tuple(each for each in leans_on if each != (name, element)),
        )


def _number(layout: Layout, sites: tuple[SiteVariables, ...]) -> _Numbering:
    given = {site.name for site in layout.given}
    shown = sorted({s.name for s in layout.kept_sites if s.num_values is None} - given)
    return _Numbering(
        num_variables=sum(site.num_variables for site in sites),
        shown=tuple(shown),
        steps=tuple((name, step) for name in shown for step in range(layout.length)),
    )


def _latent_families(
    numbering: _Numbering, name: str, rows: Bool[np.ndarray, "element number"]
) -> list[Family]:
    """Return one family for all elements of a fixed latent, or one each if parents differ."""
    if (rows == rows[0]).all():
        return [numbering.family(name, None, rows[0])]
    return [numbering.family(name, element, row) for element, row in enumerate(rows)]


def _reject_joint_density(name: str, shape: tuple[int, ...], length: int) -> None:
    """Check that a continuous site has a density for each position."""
    if shape[:1] != (length,):
        raise ValueError(
            f"query: expected a density for each of {length} positions, got shape {shape} for "
            f"site {name!r}; draw it inside a plate"
        )


def _parents_first(families: list[Family]) -> list[Family]:
    """Order families so that parents come before their children."""
    waiting = {family.child: set(family.scope) - {family.child} for family in families}
    ordered: list[Family] = []
    while waiting:
        ready = [f for f in families if f.child in waiting and not waiting[f.child]]
        if not ready:
            names = sorted({f.site for f in families if f.child in waiting})
            raise ValueError(
                f"program: expected each site's law to depend on earlier draws alone, got "
                f"{names} that seem to depend on each other; use engine='enumeration'"
            )
        for family in ready:
            del waiting[family.child]
        done = {family.child for family in ready}
        for parents in waiting.values():
            parents -= done
        ordered += ready
    return ordered
