"""The whole report, section by section."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import xarray as xr

from bayescmp.report.belief_propagation import (
    build_construction_section,
    build_following_section,
    build_loops_section,
)
from bayescmp.report.blocks import FigureBlock, Page, Section
from bayescmp.report.calibration import build_calibration_section
from bayescmp.report.coverage import build_coverage_section
from bayescmp.report.decisions import build_decisions_section
from bayescmp.report.dynamics import build_dynamics_section
from bayescmp.report.exchangeability import build_exchangeability_section
from bayescmp.report.extra import build_further_sections
from bayescmp.report.gaps import describe_gaps
from bayescmp.report.geometry import build_geometry_section
from bayescmp.report.gradients import build_gradients_section
from bayescmp.report.grounding import build_grounding_section
from bayescmp.report.headline import build_headline
from bayescmp.report.inside import build_attention_section, build_layers_section
from bayescmp.report.interventions import build_interventions_section
from bayescmp.report.ladder import build_ladder_section
from bayescmp.report.lenses import build_lenses_section
from bayescmp.report.local_calibration import build_local_calibration_section
from bayescmp.report.pit import build_pit_section
from bayescmp.report.position import build_position_section
from bayescmp.report.posterior import build_posterior_section
from bayescmp.report.probes import build_probes_section
from bayescmp.report.provenance import (
    build_oracle_section,
    build_run_section,
    build_unchecked_section,
)
from bayescmp.report.reliability import build_reliability_section
from bayescmp.report.rounds import build_rounds_section
from bayescmp.report.sbc import build_sbc_section
from bayescmp.report.selective import build_selective_section
from bayescmp.report.shift import build_shift_section
from bayescmp.report.starts import build_starts_section
from bayescmp.report.training import build_training_section
from bayescmp.report.uncertainty import build_uncertainty_section
from bayescmp.report.verdicts import build_claims, count_verdicts, explain_missing
from bayescmp.report.walkthrough import build_walkthrough_section
from bayescmp.report.words import join_words, read_optional, read_text

SECTIONS = (
    build_ladder_section,
    build_position_section,
    build_layers_section,
    build_training_section,
    build_calibration_section,
    build_attention_section,
    build_run_section,
    build_oracle_section,
    build_unchecked_section,
)
"""What makes each section, in the order of the page."""

INSIDE: Mapping[str, Callable[[xr.DataTree], Section]] = {
    "lenses": build_lenses_section,
    "probes": build_probes_section,
    "geometry": build_geometry_section,
    "interventions": build_interventions_section,
    "dynamics": build_dynamics_section,
    "gradients": build_gradients_section,
    "walkthrough": build_walkthrough_section,
}
"""What makes the section of each instrument that looks inside; only those asked for are shown."""

OUTSIDE: Mapping[str, Callable[[xr.DataTree], Section]] = {
    "pit": build_pit_section,
    "reliability": build_reliability_section,
    "uncertainty": build_uncertainty_section,
    "selective": build_selective_section,
    "decisions": build_decisions_section,
    "coverage": build_coverage_section,
    "local_calibration": build_local_calibration_section,
    "sbc": build_sbc_section,
    "posterior": build_posterior_section,
    "exchangeability": build_exchangeability_section,
    "shift": build_shift_section,
}
"""What makes the section of each audit from outside; only those asked for are shown."""

GRAPHS: Mapping[str, Callable[[xr.DataTree], Section]] = {
    "rounds": build_rounds_section,
    "construction": build_construction_section,
    "loops": build_loops_section,
    "following": build_following_section,
    "starts": build_starts_section,
    "grounding": build_grounding_section,
}
"""What makes the sections that only comparisons on factor graphs have."""

WITHOUT_INSIDE = (
    "these instruments were not asked for. examine(...) adds them, or --inside on the command line."
)

WITHOUT_AUDITS = (
    "these audits were not asked for. bayescmp.audit adds them, or --audit on the command line."
)


def build_page(tree: xr.DataTree) -> Page:
    """Turn a comparison into what stands on the page.

    Args:
        tree: A valid comparison.

    Returns:
        The page, still without layout.
    """
    claims = build_claims(tree)
    headline = build_headline(tree, count_verdicts(claims))
    versions = read_optional(tree, "/", "versions")
    version = versions.get("bayescmp") if isinstance(versions, dict) else None
    schema = read_text(tree, "/", "schema_version")
    footer = f"Made by bayescmp {version or ''} from a results file of schema version {schema}."
    return Page(
        headline=replace(headline, ladder=_tell_gaps(tree, headline.ladder)),
        claims=claims,
        claims_missing=explain_missing(tree),
        sections=tuple(
            replace(section, figures=tuple(_tell_gaps(tree, figure) for figure in section.figures))
            for section in _build_sections(tree)
        ),
        footer=" ".join(footer.split()),
    )


def _tell_gaps(tree: xr.DataTree, figure: FigureBlock) -> FigureBlock:
    """Say which of a figure's numbers are not finite."""
    return replace(figure, gaps=describe_gaps(tree, figure.variables))


def _build_sections(tree: xr.DataTree) -> tuple[Section, ...]:
    """Write all sections: audits follow calibration, instruments attention."""
    sections: list[Section] = []
    for build in SECTIONS:
        if build is build_run_section:
            sections += _build_asked(tree, GRAPHS)
            sections += build_further_sections(tree)
        sections.append(build(tree))
        if build is build_calibration_section:
            sections += _build_asked(tree, OUTSIDE)
            sections += _name_absent(tree, OUTSIDE, "outside", "Further audits", WITHOUT_AUDITS)
        elif build is build_attention_section:
            sections += _build_asked(tree, INSIDE)
            sections += _name_absent(tree, INSIDE, "inside", "Further inside", WITHOUT_INSIDE)
    return tuple(sections)


def _build_asked(
    tree: xr.DataTree, registry: Mapping[str, Callable[[xr.DataTree], Section]]
) -> list[Section]:
    """Write the sections of a registry whose groups are in the tree."""
    return [build(tree) for name, build in registry.items() if f"/{name}" in tree.groups]


def _name_absent(
    tree: xr.DataTree, registry: Mapping[str, object], ident: str, title: str, advice: str
) -> list[Section]:
    """Say which entries of a registry were not asked for."""
    names = [name for name in registry if f"/{name}" not in tree.groups]
    if not names:
        return []
    sentence = f"The tree has no groups of {join_words(names)}: {advice}"
    return [Section(ident, title, missing=(sentence,))]
