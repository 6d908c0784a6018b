"""The audit of an amortised posterior as a group of the tree."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from bayescmp.auditing.posterior_audit import PosteriorAudit
from bayescmp.auditing.sbc_groups import COVERAGE, describe_places, gather_uniformity
from bayescmp.measures.bands import simultaneous_bands
from bayescmp.measures.coverage import LEVELS
from bayescmp.results.tree import make_dataset

POINTS = 100.0
"""Percentage points in one."""


def posterior_group(results: Sequence[PosteriorAudit]) -> xr.Dataset:
    """Gather audits of posteriors, one for each seed.

    Args:
        results: Of the same parameters and as many simulations, with the same tests.

    Returns:
        The group ``/posterior``.

    Raises:
        ValueError: If there is none, or they differ in what was asked.

    Example:
        >>> from bayescmp.auditing.posterior_groups import posterior_group
        >>> rng = np.random.default_rng(0)
        >>> draws, truths = rng.normal(size=(100, 20, 2)), rng.normal(size=(100, 2))
        >>> found = bc.auditing.audit_posterior(draws, truths, key=jax.random.key(0))
        >>> posterior_group([found])["p_value"].dims
        ('seed', 'parameter')
    """
    first = _require_alike(results)
    num = first.places.shape[1]
    curves, limits = describe_places([one.places for one in results])
    arrays: dict[str, object] = {
        **gather_uniformity([one.ranks for one in results]),
        **curves,
        **_gather_sets(results, num),
        "p_value_of_all": np.array([one.p_value for one in results]),
    }
    locals_ = [one.local for one in results if one.local is not None]
    if locals_:
        arrays |= {
            "local_p_value": np.array([one.test.p_value for one in locals_]),
            "local_p_value_by_place": np.stack([one.test.adjusted for one in locals_]),
            "local_shift": np.stack([one.shift for one in locals_]),
            "local_width": np.stack([one.width for one in locals_]),
            "local_feature": np.stack([one.features for one in locals_]),
        }
    attrs = {
        "num_simulations": num,
        "num_draws": min(one.num_draws for one in results),
        "noise": first.ranks[0].noise,
        **limits,
    }
    coords = {
        "parameter": first.names,
        "posterior_set": tuple(first.sets),
        "nominal": np.round(100 * LEVELS).astype(int),
    }
    return make_dataset("/posterior", arrays, coords, attrs)


def _gather_sets(results: Sequence[PosteriorAudit], num: int) -> dict[str, object]:
    """Lay out coverage of sets with its simultaneous band."""
    kinds = tuple(results[0].sets)
    sizes = [num - num // 2 if name == "learnt reference" else num for name in kinds]
    bands = np.array([simultaneous_bands(size, LEVELS, COVERAGE) for size in sizes])
    rows = [[one.sets[name] for name in kinds] for one in results]
    return {
        "set_coverage": np.array([[x.coverage for x in row] for row in rows]),
        "set_low": bands[:, 0],
        "set_high": bands[:, 1],
        "set_error": np.array([[POINTS * x.area for x in row] for row in rows]),
        "set_p_value": np.array([[x.p_value for x in row] for row in rows]),
    }


def _require_alike(results: Sequence[PosteriorAudit]) -> PosteriorAudit:
    """Raise a ValueError for audits that do not fit into one table."""
    if not results:
        raise ValueError("results: expected at least one audit, got none")
    first = results[0]
    for one in results[1:]:
        same = one.names == first.names and one.places.shape == first.places.shape
        if not same or tuple(one.tests) != tuple(first.tests):
            raise ValueError("results: expected the same parameters, simulations and tests in all")
    return first
