"""The whole report, section by section."""

import xarray as xr

from bayescmp.report.blocks import Page
from bayescmp.report.calibration import build_calibration_section
from bayescmp.report.headline import build_headline
from bayescmp.report.inside import build_attention_section, build_layers_section
from bayescmp.report.ladder import build_ladder_section
from bayescmp.report.position import build_position_section
from bayescmp.report.provenance import (
    build_oracle_section,
    build_run_section,
    build_unchecked_section,
)
from bayescmp.report.training import build_training_section
from bayescmp.report.verdicts import build_claims, count_verdicts, explain_missing
from bayescmp.report.words import read_optional, read_text

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
        sections=tuple(build(tree) for build in SECTIONS),
        footer=" ".join(footer.split()),
    )
