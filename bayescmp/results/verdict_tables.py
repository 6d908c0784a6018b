"""Verdicts as the group ``/claims`` of the tree, and as JSON."""

import json
import math
from collections.abc import Sequence

import xarray as xr

from bayescmp.results.schema import SCHEMA_VERSION
from bayescmp.results.tree import make_dataset
from bayescmp.results.verdicts import Verdict, round_to_error


def claims_dataset(verdicts: Sequence[Verdict]) -> xr.Dataset:
    """Lay verdicts out as the group ``/claims`` of the tree.

    Args:
        verdicts: At least one, all judged on one tree.

    Returns:
        Dataset by the tree's table.

    Raises:
        ValueError: If there is no verdict, or they are of different seeds.

    Example:
        >>> claim = bc.Claim("KL is below 0.01 bits", "/divergence/mean_kl", 0.01, "below")
        >>> claims_dataset([bc.judge(claim, tree)])["value"].sizes
        Frozen({'claim': 1, 'seed': 5})
    """
    if not verdicts:
        raise ValueError("verdicts: expected at least one, got none; leave /claims out instead")
    seeds = verdicts[0].seeds
    if any(verdict.seeds != seeds for verdict in verdicts):
        raise ValueError("verdicts: expected the same seeds in all, got different ones")
    arrays = {
        "statement": [verdict.claim.statement for verdict in verdicts],
        "metric": [verdict.claim.metric for verdict in verdicts],
        "metric_units": [verdict.units for verdict in verdicts],
        "rung": [verdict.claim.rung or "" for verdict in verdicts],
        "direction": [verdict.claim.direction for verdict in verdicts],
        "threshold": [verdict.threshold for verdict in verdicts],
        "value": [verdict.values for verdict in verdicts],
        "mean": [verdict.mean for verdict in verdicts],
        "low": [verdict.low for verdict in verdicts],
        "high": [verdict.high for verdict in verdicts],
        "level": [verdict.claim.level for verdict in verdicts],
        "min_seeds": [verdict.claim.min_seeds for verdict in verdicts],
        "verdict": [verdict.verdict for verdict in verdicts],
        "reason": [verdict.reason for verdict in verdicts],
    }
    return make_dataset("/claims", arrays, {"seed": list(seeds)})


def claims_json(verdicts: Sequence[Verdict]) -> str:
    """Write verdicts as JSON that every reader takes.

    Args:
        verdicts: Verdicts, possibly none.

    Returns:
        Object with ``schema_version`` and the list ``claims``, ended by a line break. A
        number that is not finite is null, the ends of an unknown interval among them. What
        is measured against an oracle with an ``error`` is rounded to its decimal place.

    Example:
        >>> claim = bc.Claim("KL is below 0.01 bits", "/divergence/mean_kl", 0.01, "below")
        >>> json.loads(claims_json([bc.judge(claim, tree)]))["claims"][0]["verdict"]
        'supported'
    """
    rows = [
        {
            "statement": verdict.claim.statement,
            "verdict": verdict.verdict,
            "reason": verdict.reason,
            "metric": verdict.claim.metric,
            "units": verdict.units,
            "direction": verdict.claim.direction,
            "rung": verdict.claim.rung,
            "threshold": _finite(verdict.threshold),
            "mean": _finite(round_to_error(verdict.mean, verdict.error)),
            "low": _finite(round_to_error(verdict.low, verdict.error)),
            "high": _finite(round_to_error(verdict.high, verdict.error)),
            "level": verdict.claim.level,
            "min_seeds": verdict.claim.min_seeds,
            "seeds": list(verdict.seeds),
            "values": [_finite(round_to_error(value, verdict.error)) for value in verdict.values],
            "error": _finite(verdict.error),
        }
        for verdict in verdicts
    ]
    document = {"schema_version": SCHEMA_VERSION, "claims": rows}
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
