"""Hold predictors against an oracle, beside the ladder of rivals, as one DataTree."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial, reduce
from operator import add

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from bayescmp import measures
from bayescmp._types import Key
from bayescmp.comparison import groups
from bayescmp.comparison.evaluation import Evaluation, Subject, ask, count_up
from bayescmp.comparison.held_out import EvaluationName, HeldOut, hold_out
from bayescmp.comparison.inside import InsideSums, attention_pattern, look_inside
from bayescmp.comparison.tally import BITS, Tally
from bayescmp.networks.network import AbstractTracedNetwork
from bayescmp.oracle import AbstractOracle
from bayescmp.predictors.ladder import standard_ladder
from bayescmp.predictors.predictor import AbstractPredictor
from bayescmp.provenance import describe_devices, package_versions
from bayescmp.results.tree import make_tree
from bayescmp.training.loop import Fit

NUM_BINS = 15
"""Bins of predicted probability."""


def compare(
    subjects: Subject | Sequence[Subject],
    oracle: AbstractOracle,
    *,
    key: Key,
    num_sequences: int | None = None,
    evaluation: EvaluationName = "auto",
    ladder: Sequence[AbstractPredictor] | None = None,
    fits: Sequence[Fit] | None = None,
) -> xr.DataTree:
    """Compare predictors with exact Bayesian inference.

    All subjects, which are training runs of the same thing that differ in their seed,
    and all rungs of the ladder answer the same sequences: where there are few enough,
    every one that can happen, weighted by its exact probability, so that no figure has a
    sampling error; otherwise held-out ones, drawn from the model. The root attribute
    ``evaluation`` says which.

    Args:
        subjects: A network, an oracle, a rung, or any callable from one sequence's
            inputs to logits at each input position; or several, one for each seed.
        oracle: Oracle of the model.
        key: Typed key of the drawn sequences and of the ladder's.
        num_sequences: How many sequences are drawn, at least two; 4,096 by default. With a
            number given, "auto" draws.
        evaluation: "sampled"; "every sequence", up to 10^6 of them; or "auto", every
            sequence up to 100,000 of them, where nothing shown is continuous or given in a
            prompt, and the oracle is exact.
        ladder: Rivals; ``standard_ladder`` by default.
        fits: How the subjects were trained, for the group ``/training``.

    Returns:
        The tree that ``bayescmp.results.schema`` describes, without claims.

    Raises:
        ValueError: If nothing is to be compared or there is no rival, answers have the
            wrong shape, or the probabilities of all sequences do not sum to one.

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
    key_data, key_ladder = jax.random.split(key)
    held_out = hold_out(oracle, key=key_data, num_sequences=num_sequences, evaluation=evaluation)
    rungs = standard_ladder(oracle, key=key_ladder) if ladder is None else tuple(ladder)
    if not rungs:
        raise ValueError("ladder: expected at least one rival, got none; leave it out for all")
    findings = [_examine(part, seeds, rungs) for part in held_out.parts()]
    tree_groups = _build_groups(findings, held_out.examples, seeds)
    if fits:
        tree_groups["/training"] = groups.training_group(fits)
    return make_tree(tree_groups, _root_attributes(oracle, held_out, len(seeds)))


@dataclass(frozen=True)
class _Findings:
    """What was found on a part of the sequences; lists have one entry for each subject."""

    subjects: list[Tally]
    rungs: dict[str, Tally]
    reliability: list[measures.Reliability]
    inside: list[InsideSums]
    """Of those subjects that can be traced."""
    exact_entropy: Float[np.ndarray, "sequence position"]
    """In nats."""
    supervised: Bool[np.ndarray, "sequence position"]
    weights: Float[np.ndarray, " sequence"] | None


def _examine(
    evaluation: Evaluation, subjects: list[Subject], rungs: Sequence[AbstractPredictor]
) -> _Findings:
    """Ask all predictors about some sequences, and keep what adds up over parts."""
    laws = [ask(subject, evaluation) for subject in subjects]
    rung_laws = {rung.name: ask(rung, evaluation) for rung in rungs}
    with jax.enable_x64(True):
        log_p, supervised = jnp.asarray(evaluation.log_p), jnp.asarray(evaluation.supervised)
        outcomes, weights = (
            None if array is None else jnp.asarray(array)
            for array in (evaluation.outcomes, evaluation.weights)
        )
        tables = [
            _reliability(jnp.asarray(law), outcomes, log_p, supervised, weights=weights)
            for law in laws
        ]
        exact_entropy = np.asarray(measures.entropy(log_p))
    return _Findings(
        subjects=[count_up(law, evaluation) for law in laws],
        rungs={name: count_up(law, evaluation) for name, law in rung_laws.items()},
        reliability=tables,
        inside=[
            look_inside(subject, evaluation, rung_laws)
            for subject in subjects
            if isinstance(subject, AbstractTracedNetwork)
        ],
        exact_entropy=exact_entropy,
        supervised=evaluation.supervised,
        weights=evaluation.weights,
    )


_reliability = jax.jit(partial(measures.reliability, num_bins=NUM_BINS))


def _build_groups(
    findings: list[_Findings], examples: Evaluation, subjects: list[Subject]
) -> dict[str, xr.Dataset]:
    """Add the findings up, and lay them out as groups of the tree."""
    seeds = range(len(subjects))
    measured = [reduce(add, (f.subjects[seed] for f in findings)).measured() for seed in seeds]
    rungs = {
        name: reduce(add, (f.rungs[name] for f in findings)).measured()
        for name in findings[0].rungs
    }
    with jax.enable_x64(True):
        tables = [measures.merge_reliability([f.reliability[s] for f in findings]) for s in seeds]
    supervised = np.any([f.supervised.any(axis=0) for f in findings], axis=0)
    tree_groups = {
        "/observed_data": groups.observed_group(examples),
        "/oracle": groups.oracle_group(examples, measured[0].exact_entropy),
        "/network": groups.network_group(
            subjects[0], [ask(subject, examples) for subject in subjects], measured
        ),
        "/divergence": groups.divergence_group(measured, supervised),
        "/ladder": groups.ladder_group(rungs, _best_constant(findings)),
        "/calibration": groups.calibration_group(tables),
    }
    first = subjects[0]
    if isinstance(first, AbstractTracedNetwork) and len(findings[0].inside) == len(subjects):
        views = [reduce(add, (f.inside[seed] for f in findings)).view() for seed in seeds]
        pattern = attention_pattern(first, examples)
        tree_groups["/layers"] = groups.layers_group(views, pattern, list(rungs))
    return tree_groups


def _best_constant(findings: list[_Findings]) -> float:
    """Return the entropy error of the best single number, in bits."""
    weights = [f.weights for f in findings if f.weights is not None]
    with jax.enable_x64(True):
        entropy, supervised = (
            jnp.asarray(np.concatenate(rows))
            for rows in zip(*((f.exact_entropy, f.supervised) for f in findings), strict=True)
        )
        scale = jnp.asarray(np.concatenate(weights)) if weights else None
        return float(measures.best_constant_entropy_mae(entropy, supervised, scale)) * BITS


def _root_attributes(
    oracle: AbstractOracle, held_out: HeldOut, num_seeds: int
) -> dict[str, object]:
    return {
        "study": "comparison",
        "model": oracle.model.title(),
        "preset": "none",
        "config": {},
        "seeds": list(range(num_seeds)),
        "evaluation": str(held_out),
        "versions": dict(package_versions()),
        "git_revision": "unknown",
        "device": describe_devices(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "wall_time_s": 0.0,
    }
