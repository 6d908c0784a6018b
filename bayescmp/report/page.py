"""The whole report, section by section."""

import xarray as xr

from bayescmp.report.blocks import Page, Section
from bayescmp.report.calibration import build_calibration_section
from bayescmp.report.dynamics import build_dynamics_section
from bayescmp.report.extra import build_further_sections
from bayescmp.report.geometry import build_geometry_section
from bayescmp.report.gradients import build_gradients_section
from bayescmp.report.headline import build_headline
from bayescmp.report.inside import build_attention_section, build_layers_section
from bayescmp.report.interventions import build_interventions_section
from bayescmp.report.ladder import build_ladder_section
from bayescmp.report.lenses import build_lenses_section
from bayescmp.report.position import build_position_section
from bayescmp.report.probes import build_probes_section
from bayescmp.report.provenance import (
    build_oracle_section,
    build_run_section,
    build_unchecked_section,
)
from bayescmp.report.training import build_training_section
from bayescmp.report.verdicts import build_claims, count_verdicts, explain_missing
from bayescmp.report.walkthrough import build_walkthrough_section
from bayescmp.report.words import join_words, read_optional, read_text

SECTIONS = (
    build_ladder_section,
    build_position_section,
    build_layers_section,
    build_attention_section,
    build_calibration_section,
    build_training_section,
    build_run_section,
    build_oracle_section,
    build_unchecked_section,
)
"""What makes each section, in the order of the page."""

INSIDE = {
    "lenses": build_lenses_section,
    "probes": build_probes_section,
    "geometry": build_geometry_section,
    "interventions": build_interventions_section,
    "dynamics": build_dynamics_section,
    "gradients": build_gradients_section,
    "walkthrough": build_walkthrough_section,
}
"""What makes the section of each instrument that looks inside; only those asked for are shown."""


def build_page(tree: xr.DataTree) -> Page:
    """Turn a comparison into what stands on the page.

    Args:
        tree: A valid comparison.

    Returns:
        The page, still without layout.
    """
    claims = build_claims(tree)
    versions = read_optional(tree, "/", "versions")
    version = versions.get("bayescmp") if isinstance(versions, dict) else None
    schema = read_text(tree, "/", "schema_version")
    footer = f"Made by bayescmp {version or ''} from a results file of schema version {schema}."
    return Page(
        headline=build_headline(tree, count_verdicts(claims)),
        claims=claims,
        claims_missing=explain_missing(tree),
        sections=_build_sections(tree),
        footer=" ".join(footer.split()),
    )


def _build_sections(tree: xr.DataTree) -> tuple[Section, ...]:
    """Write all sections; instruments follow attention, and those not asked for are named."""
    sections: list[Section] = []
    for build in SECTIONS:
        sections.append(build(tree))
        if build is build_attention_section:
            asked = [name for name in INSIDE if f"/{name}" in tree.groups]
            sections += [INSIDE[name](tree) for name in asked]
            sections += _name_absent([name for name in INSIDE if name not in asked])
        elif build is build_training_section:
            sections += build_further_sections(tree)
    return tuple(sections)


def _name_absent(names: list[str]) -> list[Section]:
    """Say which instruments were not asked for."""
    if not names:
        return []
    sentence = (
        f"The tree has no groups of {join_words(names)}: these instruments were not asked for. "
        "examine(...) adds them, or --inside on the command line."
    )
    return [Section("inside", "Further inside", missing=(sentence,))]
