"""Which part each site plays where a latent is integrated in closed form."""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bayescmp.exact.settings import SettingGrid, element_law, list_settings
from bayescmp.layout import Layout
from bayescmp.program import Program, draw_sites, trace_program

MAX_DISCRETE = 4_096
"""Largest number of joint settings of discrete latents around which a rest is integrated."""


class NotConjugateError(ValueError):
    """Why a program has no conjugate structure, in one line."""


@dataclass(frozen=True)
class Roles:
    """The hidden sites of a program: continuous ones to integrate, discrete ones to list."""

    program: Program
    layout: Layout
    continuous: tuple[str, ...]
    """Continuous sites that are never shown, in the order of execution."""
    grids: tuple[SettingGrid, ...]
    """All values of each discrete site that is never shown."""

    @property
    def num_settings(self) -> int:
        """Number of joint settings of the discrete latents, one where there are none."""
        return math.prod(grid.values.shape[0] for grid in self.grids)

    def setting(self, index: Array) -> dict[str, Array]:
        """Decode the number of a joint setting into a value for each discrete latent."""
        values = {}
        for grid in reversed(self.grids):
            size = grid.values.shape[0]
            # Copied, since JAX converts each NumPy array once, with the precision of then.
            values[grid.name] = jnp.asarray(grid.values.astype(np.int32))[index % size]
            index = index // size
        return values

    def beliefs(self, posterior: Float[Array, "setting position"]) -> dict[str, Array]:
        """Return ``p(site takes its i-th value | s_t)`` of each discrete latent."""
        sizes = [grid.values.shape[0] for grid in self.grids]
        joint = posterior.T.reshape(-1, *sizes)
        found = {}
        for axis, grid in enumerate(self.grids, start=1):
            others = tuple(i for i in range(1, len(sizes) + 1) if i != axis)
            found[grid.name] = joint.sum(axis=others)
        return found

    def treatment(self) -> dict[str, str]:
        """Say how each site was dealt with that is not integrated."""
        layout = self.layout
        how = {grid.name: "enumerated" for grid in self.grids}
        how |= {site.name: "given" for site in layout.given}
        how |= {site.name: "shown" for site in layout.query}
        return how | {layout.outcome.name: "asked, then shown" if layout.reveal else "asked"}

    def around(self) -> str:
        """Say around how many settings something else is done, as the end of a sentence."""
        if not self.grids:
            return ""
        return f", within each of {self.num_settings:,} settings of the discrete latents"

    def messages(self, values: dict[str, Array]) -> dict[str, dict[str, Any]]:
        """Run the program with a value for every site."""
        return trace_program(self.program, key=jax.random.key(0), substituted=values)

    def log_base(self, messages: dict[str, dict[str, Any]]) -> Float[Array, ""]:
        """Return ``log p(discrete latents, given sites | continuous latents)``."""
        names = [site.name for site in self.layout.given] + [grid.name for grid in self.grids]
        parts = [jnp.sum(messages[n]["fn"].log_prob(messages[n]["value"])) for n in names]
        return sum(parts, jnp.zeros(()))

    def log_query(self, messages: dict[str, dict[str, Any]]) -> Float[Array, " position"]:
        """Return ``log p(query at t | all before)`` of the program's own order."""
        total = jnp.zeros(self.layout.length)
        for site in self.layout.query:
            law, value = element_law(messages[site.name]["fn"]), messages[site.name]["value"]
            total = total + law.log_prob(value).reshape(self.layout.length, -1).sum(axis=1)
        return total


def find_roles(program: Program, layout: Layout) -> Roles:
    """Sort a program's hidden sites into continuous and discrete ones.

    Args:
        program: NumPyro program without arguments.
        layout: The program's layout.

    Returns:
        The roles.

    Raises:
        NotConjugateError: If nothing continuous is hidden, discrete latents have too many
            settings, or a shown site has no law for each position.
    """
    shown = {layout.outcome.name, *(site.name for site in (*layout.given, *layout.query))}
    discrete, continuous, joint = set(), [], []

    def visit(name: str, msg: dict[str, Any]) -> None:
        hidden = discrete.add if msg["fn"].is_discrete else continuous.append
        if name not in shown:
            hidden(name)
        if name == layout.outcome.name or any(site.name == name for site in layout.query):
            event_dim = len(element_law(msg["fn"]).event_shape)
            shape = np.shape(msg["value"])
            if shape[: len(shape) - event_dim][:1] != (layout.length,):
                joint.append(name)

    visit_abstractly(program, visit)
    if not continuous:
        raise NotConjugateError("no continuous site is hidden")
    if joint:
        raise NotConjugateError(f"the elements of {joint[0]!r} have one joint law")
    grids = _list_discrete(program, fixed=shown | set(continuous)) if discrete else ()
    return Roles(program, layout, tuple(continuous), grids)


def _list_discrete(program: Program, fixed: set[str]) -> tuple[SettingGrid, ...]:
    """List the values of the discrete latents."""
    try:
        grids = list_settings(program, fixed=fixed, num_nodes=1)
    except ValueError as error:
        raise NotConjugateError(str(error)) from error
    num_settings = math.prod(grid.values.shape[0] for grid in grids)
    if num_settings > MAX_DISCRETE:
        raise NotConjugateError(
            f"the discrete latents have {num_settings:,} joint settings; expected at most "
            f"{MAX_DISCRETE:,} around a closed form"
        )
    return grids


def visit_abstractly(program: Program, visit: Callable[[str, dict[str, Any]], None]) -> None:
    """Trace a program without computing anything, and show each site to a visitor.

    Args:
        program: NumPyro program without arguments.
        visit: Called with the name and NumPyro's message of each sample site.
    """

    def run() -> None:
        for name, msg in trace_program(program, key=jax.random.key(0)).items():
            visit(name, msg)

    jax.eval_shape(run)


def dependents(roles: Roles, on: set[str]) -> set[str]:
    """Return the sites whose law can change with the values of some sites.

    All other sites are held, under ``jax.vmap`` over keys. There what depends on a draw is
    a tracer of the same kind as the key: a proof of what is independent. A site stands in
    the answer by itself where its elements depend on each other.

    Args:
        roles: The program and its sites.
        on: Names of the sites that vary.

    Returns:
        Names of sites.
    """
    shapes = jax.eval_shape(lambda: draw_sites(roles.program, key=jax.random.key(0)))
    values = {name: np.zeros(x.shape, x.dtype) for name, x in shapes.items()}
    found = set()

    def run(key: Array) -> None:
        held = {name: jnp.asarray(value) for name, value in values.items() if name not in on}
        for name, msg in trace_program(roles.program, key=key, substituted=held).items():
            if isinstance(msg["fn"].log_prob(jnp.asarray(values[name])), type(key)):
                found.add(name)

    jax.eval_shape(lambda: jax.vmap(run)(jax.random.split(jax.random.key(0), 2)))
    return found


def reject_late_causes(roles: Roles, may_follow: Collection[str] = ()) -> None:
    """Check that nothing shown in steps bears on the law of hidden or given sites.

    Args:
        roles: The program and its sites.
        may_follow: Hidden sites whose law may depend on queries.

    Raises:
        NotConjugateError: If the law of one depends on a query or an outcome, or a hidden
            outcome bears on anything.
    """
    layout = roles.layout
    queries, outcome = {site.name for site in layout.query}, layout.outcome.name
    steps = {*queries, outcome}
    by_outcome = dependents(roles, {outcome})
    late = by_outcome - steps
    if queries:
        late |= dependents(roles, queries) - steps - set(may_follow)
    if late:
        raise NotConjugateError(f"the law of {sorted(late)[0]!r} depends on what the steps show")
    if not layout.reveal and by_outcome:
        raise NotConjugateError(f"more depends on {outcome!r}, which is asked but never shown")
