"""Probes: affine read-outs of the exact belief from every place, always beside their controls."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import jax
import numpy as np

from bayescmp._types import Key
from bayescmp.inspection.probe_controlled import Controlled
from bayescmp.inspection.probe_controls import (
    CONSTANT,
    CONTROLS,
    LAST_INPUTS,
    NEXT_OUTCOME,
    SHUFFLED,
    SUBSPACE,
    WRONG_PRIOR,
    default_rungs,
    last_inputs,
    next_outcome_law,
    wrong_prior,
)
from bayescmp.inspection.probe_limits import find_limits, say_how_judged
from bayescmp.inspection.probe_places import (
    PlaceScores,
    Scores,
    head_features,
    score_places,
    stream_features,
)
from bayescmp.inspection.probe_results import ProbeResult, Probes
from bayescmp.inspection.probe_scores import Examples, Score, arrange, design, score
from bayescmp.inspection.probe_tables import probes_group as probes_group
from bayescmp.inspection.probe_untrained import NUM_INITIAL, Untrained, score_untrained
from bayescmp.inspection.recording import Recording
from bayescmp.inspection.subset import take_for_heads
from bayescmp.networks.network import AbstractTracedNetwork
from bayescmp.predictors.predictor import AbstractPredictor


def fit_probes(
    recording: Recording,
    *,
    key: Key,
    num_initial: int = NUM_INITIAL,
    initial_networks: Sequence[AbstractTracedNetwork] | None = None,
    rungs: Sequence[AbstractPredictor] | None = None,
    untrained: Untrained | None = None,
) -> Probes:
    """Read the exact belief, and what follows from it, from every place of a residual stream.

    The same is read from what each attention head writes into it, by itself.

    Each read-out is affine, ``y = b + B^T x`` fitted by ridge regression. It is scored by the
    share of variance that it explains, summed over columns, and, where columns are laws, by the
    divergence of the decoded law: the read-out is projected onto the simplex and mixed with a
    thousandth of the uniform law.

    Args:
        recording: A network on held-out sequences.
        key: Typed key of the controls.
        num_initial: How many networks of the same shape are drawn for the control that nobody
            trained, at least three.
        initial_networks: Such networks, in place of drawn ones.
        rungs: Rival explanations, one of which becomes the control with a wrong prior; by
            default add-one counts, or windows where outcomes are not shown.
        untrained: What :func:`score_untrained` found for networks of this shape on these
            sequences, where it is known already.

    Returns:
        Scores of every target from every place and head, beside their controls.

    Raises:
        ValueError: If fewer than eight sequences were drawn, or there are fewer than three
            networks that nobody trained.

    Example:
        >>> oracle = bc.derive_oracle(bc.models.Mess3(length=3))
        >>> config = bc.TransformerConfig(num_layers=1, num_heads=1, model_size=4, mlp_size=4)
        >>> network = bc.Transformer.for_model(oracle.model, config, key=jax.random.key(0))
        >>> seen = bc.inspection.record(network, oracle, key=jax.random.key(1))
        >>> probes = bc.inspection.fit_probes(seen, key=jax.random.key(2), num_initial=3)
        >>> tuple(probes.targets), sorted(probes.result("predictive", "block 1").r_squared.controls)
        (('belief: state', 'predictive', 'entropy', 'counts: token'),
         ['constant', 'last 2 inputs', 'last 3 inputs', 'last input', 'next-outcome law',
          'random subspace', 'shuffled labels', 'wrong prior'])
    """
    _, rung_key, rng_key = jax.random.split(key, 3)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(rng_key)))
    if untrained is None:
        untrained = score_untrained(
            recording, key=key, num_initial=num_initial, initial_networks=initial_networks
        )
    rungs = default_rungs(recording, key=rung_key) if rungs is None else rungs
    examples, few = arrange(recording), take_for_heads(recording)
    name, fixed = _score_fixed(recording, examples, rungs)
    streams = score_places(stream_features(recording), examples, rng)
    results = _gather_all(examples, streams, untrained.streams, fixed)
    return Probes(
        results,
        _probe_heads(few, rungs, untrained, rng) if few.heads else (),
        {target.name: target.meaning for target in examples.targets},
        {target.name: target.num_columns for target in examples.targets},
        name,
        say_how_judged(examples),
        find_limits(recording, examples, results, name),
    )


def _probe_heads(
    few: Recording,
    rungs: Sequence[AbstractPredictor],
    untrained: Untrained,
    rng: np.random.Generator,
) -> tuple[ProbeResult, ...]:
    """Read the same from what each head writes."""
    examples = arrange(few)
    _, fixed = _score_fixed(few, examples, rungs)
    heads = score_places(head_features(few), examples, rng)
    found = _gather_all(examples, heads, untrained.heads, fixed)
    return tuple(replace(result, is_head=True) for result in found)


def _score_fixed(
    recording: Recording, examples: Examples, rungs: Sequence[AbstractPredictor]
) -> tuple[str, dict[str, Scores]]:
    """Score the controls that do not look into the network."""
    features = {CONSTANT: np.zeros((len(examples.weights), 1))}
    features |= {name: last_inputs(recording, age + 1) for age, name in enumerate(LAST_INPUTS)}
    features[NEXT_OUTCOME] = next_outcome_law(recording)
    other = wrong_prior(recording, rungs)
    if other is not None:
        features[WRONG_PRIOR] = other[1]
    scores = {name: score(design(rows, examples), examples) for name, rows in features.items()}
    return "" if other is None else other[0], scores


def _gather_all(
    examples: Examples,
    own: Mapping[str, PlaceScores],
    untrained: Sequence[Mapping[str, Scores]],
    fixed: Mapping[str, Scores],
) -> tuple[ProbeResult, ...]:
    """Put the scores of every target at every place beside their controls."""
    return tuple(
        _gather(examples, index, place, found, [draw[place][index] for draw in untrained], fixed)
        for index in range(len(examples.targets))
        for place, found in own.items()
    )


def _gather(
    examples: Examples,
    index: int,
    place: str,
    own: PlaceScores,
    initial: Sequence[Score],
    fixed: Mapping[str, Scores],
) -> ProbeResult:
    """Put the score of one target at one place beside its controls."""
    target, found = examples.targets[index], own.scores[index]
    besides = {SHUFFLED: own.shuffled[index]}
    besides |= {name: scores[index] for name, scores in fixed.items()}
    share, kl = own.subspace[index]
    missing = dict.fromkeys(CONTROLS[1:], np.nan)  # the order of tables
    r_squared = Controlled(
        "R2",
        found.r_squared,
        *own.intervals[index][0],
        np.array([one.r_squared for one in initial]),
        missing | {SUBSPACE: share} | {name: one.r_squared for name, one in besides.items()},
    )
    divergence = Controlled(
        "KL in nat",
        found.kl,
        *own.intervals[index][1],
        np.array([one.kl for one in initial]),
        missing | {SUBSPACE: kl} | {name: one.kl for name, one in besides.items()},
    )
    return ProbeResult(
        target.name,
        place,
        r_squared,
        None if target.law_size is None else divergence,
        found.read_out.penalty,
        found.read_out.rank,
        own.num_features,
    )
