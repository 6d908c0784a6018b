"""From the names of sites that are shown and asked to a layout that fits the program."""

import math
from difflib import get_close_matches
from itertools import pairwise

import jax
import jax.numpy as jnp

from bayescmp.layout import Layout, Questions
from bayescmp.program import Site
from bayescmp.row_coder import RowCoder
from bayescmp.row_layout import RowLayout


def arrange(sites: dict[str, Site], questions: Questions) -> Layout:
    """Lay out a program's sites for its questions.

    Args:
        sites: Descriptions of the program's sites, by name.
        questions: Which sites are shown and which is asked.

    Returns:
        The layout.

    Raises:
        ValueError: If a named site is missing, the outcome has neither finite support nor
            bins, edges do not rise, a site asked or shown at each step has no axis of the
            right length, no step shows anything, or rows do not fit the questions.
    """
    roles = [("outcome", questions.outcome)]
    roles += [("given", name) for name in questions.given]
    roles += [("query", name) for name in questions.query]
    for role, name in roles:
        if name not in sites:
            near = get_close_matches(name, sites, n=1, cutoff=0.0)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"{role}: the program has no sample site {name!r}, only {sorted(sites)}{hint}"
            )
    names = [name for _, name in roles]
    if len(set(names)) < len(names):
        raise ValueError(f"outcome, given, query: expected different sites, got {names}")
    outcome = sites[questions.outcome]
    _reject_edges(outcome, questions.edges)
    for site in (outcome, *(sites[name] for name in questions.query)):
        if not site.shape or site.shape[0] != (outcome.shape or (0,))[0] or site.shape[0] < 1:
            raise ValueError(
                f"outcome, query: expected site {site.name!r} to have one element for each "
                f"position, got shape {site.shape} beside outcome shape {outcome.shape}"
            )
        if len(site.shape) != 1 and (site.num_values is not None or site is outcome):
            raise ValueError(
                f"outcome, query: expected one value at each position, got shape {site.shape} "
                f"for site {site.name!r}"
            )
    if questions.rows is not None:
        return _arrange_rows(sites, questions, questions.rows)
    if not questions.query and not questions.reveal:
        raise ValueError(
            "reveal: expected True where no query is shown, since nothing would tell one "
            "question from the next; got False"
        )
    return Layout(
        outcome=outcome,
        given=tuple(sites[name] for name in questions.given),
        query=tuple(sites[name] for name in questions.query),
        reveal=questions.reveal,
        edges=questions.edges,
    )


def _arrange_rows(sites: dict[str, Site], questions: Questions, rows: RowCoder) -> RowLayout:
    """Lay out questions that are answered in rows of their own."""
    outcome = sites[questions.outcome]
    if questions.query or questions.reveal or questions.edges:
        raise ValueError(
            f"rows: expected no query, no edges and reveal=False, since everything is shown "
            f"first, got query={questions.query}, reveal={questions.reveal}"
        )
    if not questions.given:
        raise ValueError("rows: expected given sites to write as rows, got none")
    given = tuple(sites[name] for name in questions.given)
    found = jax.eval_shape(rows, {site.name: _blank(site) for site in given}).shape
    if found != (outcome.shape[0] + 1, rows.num_features):
        raise ValueError(
            f"rows: expected a start row and one for each question, of {rows.num_features} "
            f"features, {(outcome.shape[0] + 1, rows.num_features)}, got {found}"
        )
    return RowLayout(outcome=outcome, given=given, query=(), reveal=False, rows=rows)


def _blank(site: Site) -> jax.ShapeDtypeStruct:
    dtype = jnp.result_type(float if site.num_values is None else int)
    return jax.ShapeDtypeStruct(site.shape, dtype)


def _reject_edges(outcome: Site, edges: tuple[float, ...]) -> None:
    """Check that a finite outcome has no bins, and a continuous one has."""
    if outcome.num_values is not None and edges:
        raise ValueError(
            f"edges: expected none for an outcome with {outcome.num_values} values, got {edges}"
        )
    if outcome.num_values is None and not edges:
        raise ValueError(
            f"outcome: expected a site with finitely many values, got {outcome.name!r} with "
            f"support {outcome.support}; give edges= to ask for the bin of a continuous outcome"
        )
    if any(not math.isfinite(edge) for edge in edges) or any(
        high <= low for low, high in pairwise(edges)
    ):
        raise ValueError(f"edges: expected finite numbers that rise, got {edges}")
