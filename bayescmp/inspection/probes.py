"""Probes: affine read-outs of the exact belief from every place, always beside their controls."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import jax
import numpy as np
import xarray as xr

from bayescmp._types import Key
from bayescmp.comparison.tally import BITS
from bayescmp.inspection.initial import draw_initial
from bayescmp.inspection.probe_controls import (
    CONSTANT,
    CONTROLS,
    INITIAL,
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
    find_places,
    score_places,
    score_streams,
)
from bayescmp.inspection.probe_results import ALL_PLACES, Controlled, ProbeResult, Probes
from bayescmp.inspection.probe_scores import Examples, Score, arrange, design, score
from bayescmp.inspection.recording import Recording, record_on
from bayescmp.layers.decoding import FLOOR
from bayescmp.networks.network import AbstractTracedNetwork
from bayescmp.predictors.predictor import AbstractPredictor
from bayescmp.results.tree import make_dataset

NUM_INITIAL = 5
"""Networks of the same shape that nobody trained."""

LEAST_INITIAL = 3
"""Fewer say nothing about their spread."""

Table = Callable[[Sequence[object]], np.ndarray]
"""Lays out one entry for each seed, target and place."""


def fit_probes(
    recording: Recording,
    *,
    key: Key,
    num_initial: int = NUM_INITIAL,
    initial_networks: Sequence[AbstractTracedNetwork] | None = None,
    rungs: Sequence[AbstractPredictor] | None = None,
) -> Probes:
    """Read the exact belief, and what follows from it, from every place of a residual stream.

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

    Returns:
        Scores of every target from every place, beside their controls.

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
    drawn_key, rung_key, rng_key = jax.random.split(key, 3)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(rng_key)))
    examples, places = arrange(recording), find_places(recording)
    networks = _initial(recording, initial_networks, num_initial, drawn_key)
    others = (_record_initial(recording, network) for network in networks)
    initial = [score_streams(other, examples, places) for other in others]
    rungs = default_rungs(recording, key=rung_key) if rungs is None else rungs
    name, fixed = _score_fixed(recording, examples, rungs)
    own = score_places(recording, examples, places, rng)
    results = tuple(
        _gather(examples, index, place, own[place], [draw[place][index] for draw in initial], fixed)
        for index in range(len(examples.targets))
        for place in places
    )
    return Probes(
        results,
        {target.name: target.meaning for target in examples.targets},
        {target.name: target.num_columns for target in examples.targets},
        name,
        say_how_judged(examples),
        find_limits(recording, examples, results, name),
    )


def probes_group(results: Sequence[Probes]) -> xr.Dataset:
    """Gather the probes of several networks of one shape, one for each seed.

    Args:
        results: Probes of each network, with the same targets and places.

    Returns:
        The group ``/probes``, divergences in bits.

    Raises:
        ValueError: If there is none, or they differ in targets, places or draws.
    """
    shapes = {(tuple(p.targets), p.places, p.results[0].r_squared.initial.size) for p in results}
    if len(shapes) != 1:
        raise ValueError(
            "results: expected probes of the same targets, places and draws, got "
            f"{len(shapes)} kinds of them"
        )
    ((targets, places, _),) = shapes
    shape = (len(results), len(targets), len(places))

    def table(values: Sequence[object]) -> np.ndarray:
        array = np.array(values, np.float64)
        return array.reshape(*shape, *array.shape[1:])

    every = [result for probes in results for result in probes.results]
    arrays: dict[str, object] = {
        "penalty": table([r.penalty for r in every]),
        "rank": table([r.rank for r in every]).astype(int)[:, 0],
        "p_value": table([np.nan if r.place == ALL_PLACES else r.p_value() for r in every]),
        "meaning": np.array([results[0].targets[name] for name in targets]),
        "num_columns": np.array([results[0].num_columns[name] for name in targets]),
        "num_features": np.array([results[0].result(targets[0], p).num_features for p in places]),
    }
    arrays |= _score_tables("r_squared", [r.r_squared for r in every], 1.0, table)
    arrays |= _score_tables("kl", [r.kl for r in every], BITS, table)
    coords = {"probe_target": targets, "probe_place": places, "probe_control": CONTROLS}
    attrs = {
        "judged": results[0].judged,
        "wrong_prior": results[0].wrong_prior,
        "floor": FLOOR,
        "notes": sorted({note for probes in results for note in probes.notes}),
    }
    return make_dataset("/probes", arrays, coords, attrs)


def _score_tables(
    name: str, scores: Sequence[Controlled | None], scale: float, table: Table
) -> dict[str, np.ndarray]:
    """Lay one kind of score and its controls out, NaN where there is none."""
    like = next((one for one in scores if one is not None), None)
    if like is None:
        return {}
    none = Controlled(
        like.name, np.nan, np.nan, np.nan, np.full(like.initial.size, np.nan), like.controls
    )
    none = replace(none, controls=dict.fromkeys(like.controls, np.nan))
    given = [none if one is None else one for one in scores]
    means = [{INITIAL: float(one.initial.mean()), **one.controls} for one in given]
    controls = table([[mean[control] for control in CONTROLS] for mean in means])
    initial = table([one.initial for one in given])
    return {
        name: scale * table([one.value for one in given]),
        f"{name}_low": scale * table([one.low for one in given]),
        f"{name}_high": scale * table([one.high for one in given]),
        f"control_{name}": scale * np.moveaxis(controls, 2, 3),
        f"initial_{name}": scale * np.moveaxis(initial, 2, 3),
    }


def _initial(
    recording: Recording,
    given: Sequence[AbstractTracedNetwork] | None,
    num: int,
    key: Key,
) -> Sequence[AbstractTracedNetwork]:
    """Return networks that nobody trained."""
    asked = num if given is None else len(given)
    if asked < LEAST_INITIAL:
        argument = "num_initial" if given is None else "initial_networks"
        raise ValueError(f"{argument}: expected at least {LEAST_INITIAL}, got {asked}")
    networks = draw_initial(recording.network, num, key=key) if given is None else given
    if not networks:
        raise ValueError(
            f"initial_networks: expected at least {LEAST_INITIAL}, since "
            f"{type(recording.network).__name__} does not know its own configuration and none "
            "can be drawn, got none"
        )
    return networks


def _record_initial(recording: Recording, network: AbstractTracedNetwork) -> Recording:
    """Record a network that nobody trained on the same sequences."""
    other = record_on(network, recording.evaluation, recording.belief)
    if other.streams.shape != recording.streams.shape:
        raise ValueError(
            f"initial_networks: expected residual streams of shape {recording.streams.shape}, "
            f"got {other.streams.shape}"
        )
    return other


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
