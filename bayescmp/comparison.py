"""Hold predictors against an oracle, beside the ladder of rivals, as one DataTree."""

from collections.abc import Sequence
from datetime import UTC, datetime

import jax
import xarray as xr

from bayescmp import groups
from bayescmp._types import Key
from bayescmp.evaluation import Subject, ask, draw_evaluation, measure
from bayescmp.inside import look_inside
from bayescmp.networks.network import AbstractTracedNetwork
from bayescmp.oracle import Oracle
from bayescmp.predictors.ladder import standard_ladder
from bayescmp.predictors.predictor import AbstractPredictor
from bayescmp.provenance import describe_devices, package_versions
from bayescmp.training.loop import Fit
from bayescmp.tree import make_tree


def compare(
    subjects: Subject | Sequence[Subject],
    oracle: Oracle,
    *,
    key: Key,
    num_sequences: int = 4_096,
    ladder: Sequence[AbstractPredictor] | None = None,
    fits: Sequence[Fit] | None = None,
) -> xr.DataTree:
    """Compare predictors with exact Bayesian inference.

    All subjects, which are training runs of the same thing that differ in their seed,
    and all rungs of the ladder answer the same held-out sequences.

    Args:
        subjects: A network, an oracle, a rung, or any callable from one sequence's
            inputs to logits at each input position; or several, one for each seed.
        oracle: Oracle of the model.
        key: Typed key of the held-out sequences and of the ladder's.
        num_sequences: How many sequences are drawn, at least two.
        ladder: Rivals; ``standard_ladder`` by default.
        fits: How the subjects were trained, for the group ``/training``.

    Returns:
        The tree that ``bayescmp.schema`` describes, without claims.

    Raises:
        ValueError: If nothing is to be compared or there is no rival, or answers have the
            wrong shape.

    Example:
        >>> oracle = bc.derive_oracle(bc.models.Bijection(size=4))
        >>> rivals = [bc.predictors.WindowPredictor(oracle, 1)]
        >>> tree = compare(oracle, oracle, key=jax.random.key(0), num_sequences=64, ladder=rivals)
        >>> float(tree["/divergence/mean_kl"][0]), float(tree["/ladder/mean_kl"][0]) > 0.1
        (0.0, True)
    """
    seeds: list[Subject] = list(subjects) if isinstance(subjects, Sequence) else [subjects]
    if not seeds:
        raise ValueError("subjects: expected at least one predictor, got none")
    if num_sequences < 2:
        raise ValueError(f"num_sequences: expected at least 2, got {num_sequences}")
    key_data, key_ladder = jax.random.split(key)
    rungs = standard_ladder(oracle, key=key_ladder) if ladder is None else tuple(ladder)
    if not rungs:
        raise ValueError("ladder: expected at least one rival, got none; leave it out for all")
    evaluation = draw_evaluation(oracle, num_sequences, key=key_data)
    laws = [ask(subject, evaluation) for subject in seeds]
    measured = [measure(law, evaluation) for law in laws]
    rung_laws = {rung.name: ask(rung, evaluation) for rung in rungs}
    views = [
        look_inside(subject, evaluation, rung_laws)
        for subject in seeds
        if isinstance(subject, AbstractTracedNetwork)
    ]
    tree_groups = {
        "/observed_data": groups.observed_group(evaluation),
        "/oracle": groups.oracle_group(evaluation),
        "/network": groups.network_group(seeds[0], laws, measured),
        "/divergence": groups.divergence_group(measured, evaluation),
        "/ladder": groups.ladder_group(rung_laws, evaluation),
        "/calibration": groups.calibration_group(laws, evaluation),
    }
    if len(views) == len(seeds):
        tree_groups["/layers"] = groups.layers_group(views, list(rung_laws))
    if fits:
        tree_groups["/training"] = groups.training_group(fits)
    return make_tree(tree_groups, _root_attributes(oracle, num_sequences, len(seeds)))


def _root_attributes(oracle: Oracle, num_sequences: int, num_seeds: int) -> dict[str, object]:
    return {
        "study": "comparison",
        "model": oracle.model.title(),
        "preset": "none",
        "config": {},
        "seeds": list(range(num_seeds)),
        "evaluation": f"sampled, {num_sequences} sequences",
        "versions": dict(package_versions()),
        "git_revision": "unknown",
        "device": describe_devices(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "wall_time_s": 0.0,
    }
