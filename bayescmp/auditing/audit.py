"""Audit predictors from outside in every way, and lay the findings out in one tree."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import jax
import xarray as xr
from tqdm.auto import tqdm

from bayescmp._types import Key
from bayescmp.auditing.coverage import check_coverage, coverage_group
from bayescmp.auditing.decisions import decisions_group, score_decisions_of
from bayescmp.auditing.exchangeability import check_exchangeability
from bayescmp.auditing.exchangeability_tables import exchangeability_group
from bayescmp.auditing.judged import NUM_JUDGED, Judged, judge_on
from bayescmp.auditing.local_calibration import local_calibration_group, locate_miscalibration
from bayescmp.auditing.pit import check_pit, pit_group
from bayescmp.auditing.reliability import fit_reliability, reliability_group
from bayescmp.auditing.selective import select_predictions, selective_group
from bayescmp.auditing.uncertainty import split_uncertainty, uncertainty_group
from bayescmp.comparison.compare import compare
from bayescmp.comparison.evaluation import Subject, draw_evaluation
from bayescmp.oracle import AbstractOracle
from bayescmp.predictors.ladder import standard_ladder
from bayescmp.predictors.predictor import AbstractPredictor
from bayescmp.results.tree import make_tree


@dataclass(frozen=True)
class Audit:
    """One way of auditing a predictor."""

    measure: Callable[[Judged, Key], Any]
    """From laws on drawn sequences, with a key, to a record of one predictor."""
    group: Callable[[Sequence[Any]], xr.Dataset]
    """From the records of all predictors to their group of the tree."""


AUDITS: Mapping[str, Audit] = MappingProxyType(
    {
        "pit": Audit(lambda judged, key: check_pit(judged, key=key), pit_group),
        "reliability": Audit(
            lambda judged, key: fit_reliability(judged, key=key), reliability_group
        ),
        "coverage": Audit(lambda judged, key: check_coverage(judged, key=key), coverage_group),
        "local_calibration": Audit(
            lambda judged, key: locate_miscalibration(judged, key=key), local_calibration_group
        ),
        "uncertainty": Audit(
            lambda judged, key: split_uncertainty(judged, key=key), uncertainty_group
        ),
        "selective": Audit(lambda judged, _: select_predictions(judged), selective_group),
        "decisions": Audit(lambda judged, _: score_decisions_of(judged), decisions_group),
        "exchangeability": Audit(
            lambda judged, key: check_exchangeability(judged, key=key), exchangeability_group
        ),
    }
)
"""Audits that need a predictor and sequences only, by name, in the order of the page."""

LEAST_SEQUENCES = 64
"""Fewer than this are refused: intervals over sequences would mean nothing."""


def audit(
    subjects: Subject | Sequence[Subject],
    oracle: AbstractOracle,
    *,
    key: Key,
    audits: Sequence[str] | None = None,
    num_sequences: int = NUM_JUDGED,
    ladder: Sequence[AbstractPredictor] | None = None,
    tree: xr.DataTree | None = None,
    progress: bool = False,
) -> xr.DataTree:
    """Audit predictors: calibration, uncertainty, decisions, exchangeability.

    Every audit sees the same drawn sequences. What needs more than a predictor has a call of
    its own: ``auditing.simulate_calibration`` for posteriors, ``auditing.measure_shift`` for
    sequences off the training prior.

    Args:
        subjects: A network, any callable from one sequence's inputs to logits, a rung, or an
            oracle; or several that differ in their seed.
        oracle: Oracle of the model.
        key: Typed key of sequences and tests.
        audits: Names of the audits; all by default.
        num_sequences: How many sequences are drawn, at least 64.
        ladder: Rivals of the comparison; ``standard_ladder`` by default.
        tree: A comparison of the same predictors, which the findings are added to; without it
            one is made.
        progress: Whether to show how far the audits are, on a terminal.

    Returns:
        The tree, with one group for each audit.

    Raises:
        ValueError: If there is no such audit, no predictor, too few sequences, or the tree is
            of another number of predictors.

    Example:
        >>> model = bc.models.beta_bernoulli(length=3)
        >>> fair = bc.predictors.FixedLaw(jnp.log(jnp.array([0.5, 0.5])), "fair")
        >>> oracle, rivals = bc.derive_oracle(model), [fair]
        >>> found = audit(rivals[0], oracle, key=jax.random.key(1), audits=["selective"],
        ...               num_sequences=64, ladder=rivals)
        >>> "/selective" in found.groups
        True
    """
    chosen = _choose(audits)
    if num_sequences < LEAST_SEQUENCES:
        raise ValueError(f"num_sequences: expected at least {LEAST_SEQUENCES}, got {num_sequences}")
    seeds: list[Subject] = list(subjects) if isinstance(subjects, Sequence) else [subjects]
    if not seeds:
        raise ValueError("subjects: expected at least one predictor, got none")
    key_data, key_ladder, key_compare, key_audit = jax.random.split(key, 4)
    if tree is None:
        rungs = standard_ladder(oracle, key=key_ladder) if ladder is None else tuple(ladder)
        tree = compare(seeds, oracle, key=key_compare, ladder=rungs)
    num_seeds = tree["/divergence"].sizes["seed"]
    if num_seeds != len(seeds):
        raise ValueError(f"tree: expected {len(seeds)} predictor(s), got one of {num_seeds}")
    evaluation = draw_evaluation(oracle, num_sequences, key=key_data)
    judged = [judge_on(subject, evaluation) for subject in seeds]
    groups = {path: tree[path].to_dataset() for path in tree.groups if path != "/"}
    total, quiet = len(chosen) * len(seeds), None if progress else True
    with tqdm(total=total, desc="auditing", unit="record", disable=quiet) as bar:
        for name in chosen:
            own_key = jax.random.fold_in(key_audit, NAMES.index(name))
            records = []
            for one in judged:
                records.append(AUDITS[name].measure(one, own_key))
                bar.update()
            groups[f"/{name}"] = AUDITS[name].group(records)
    attrs = {str(name): value for name, value in tree.attrs.items() if name != "schema_version"}
    return make_tree(groups, attrs)


NAMES = tuple(AUDITS)
"""Names of all audits, in the order in which they are made."""


def _choose(names: Sequence[str] | None) -> tuple[str, ...]:
    """Look audits up, in the order of the table."""
    if names is None:
        return NAMES
    if isinstance(names, str):
        raise ValueError(f"audits: expected several names, got the text {names!r}")
    for name in names:
        if name not in NAMES:
            close = difflib.get_close_matches(name, NAMES, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"audits: expected some of {', '.join(NAMES)}, got {name!r}{hint}")
    return tuple(name for name in NAMES if name in names)
