"""Look inside networks with every instrument, and lay the findings out in one tree."""

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import jax
import xarray as xr
from tqdm.auto import tqdm

from bayescmp._types import Key
from bayescmp.comparison.compare import compare
from bayescmp.comparison.evaluation import ask
from bayescmp.graph_model import AbstractGraphModel
from bayescmp.inspection.dynamics import dynamics_group, follow_training
from bayescmp.inspection.geometry import measure_geometry
from bayescmp.inspection.geometry_tables import geometry_group
from bayescmp.inspection.gradients import check_gradients, gradients_group
from bayescmp.inspection.history import History
from bayescmp.inspection.interventions import intervene, interventions_group
from bayescmp.inspection.lenses import lenses_group, read_lenses, read_untrained
from bayescmp.inspection.probe_untrained import score_untrained
from bayescmp.inspection.probes import fit_probes, probes_group
from bayescmp.inspection.recording import Recording, record
from bayescmp.inspection.round_tables import rounds_group
from bayescmp.inspection.rounds import follow_rounds
from bayescmp.inspection.walkthrough import walk_through, walkthrough_group
from bayescmp.networks.network import NetworkLike
from bayescmp.oracle import AbstractOracle
from bayescmp.predictors.ladder import standard_ladder
from bayescmp.predictors.predictor import AbstractPredictor
from bayescmp.results.tree import make_tree


@dataclass(frozen=True)
class Instrument:
    """One way of looking inside."""

    measure: Callable[..., Any]
    """From a recording, with a key, to a record of what was found in one network."""
    group: Callable[[Sequence[Any]], xr.Dataset]
    """From the records of all networks to their group of the tree."""


INSTRUMENTS: Mapping[str, Instrument] = MappingProxyType(
    {
        "lenses": Instrument(read_lenses, lenses_group),
        "probes": Instrument(fit_probes, probes_group),
        "geometry": Instrument(measure_geometry, geometry_group),
        "interventions": Instrument(intervene, interventions_group),
        "gradients": Instrument(check_gradients, gradients_group),
        "walkthrough": Instrument(walk_through, walkthrough_group),
    }
)
"""Instruments that need a network and sequences only, by name."""

READ_UNTRAINED: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {"lenses": read_untrained, "probes": score_untrained}
)
"""What instruments see in untrained networks, where several networks may share that."""

DYNAMICS = "dynamics"
"""The instrument that needs the checkpoints of training."""

ROUNDS = "rounds"
"""The instrument that needs a model of factor graphs."""


def examine(
    networks: NetworkLike | Sequence[NetworkLike],
    oracle: AbstractOracle,
    *,
    key: Key,
    instruments: Sequence[str] | None = None,
    num_sequences: int | None = None,
    histories: Sequence[History] | None = None,
    ladder: Sequence[AbstractPredictor] | None = None,
    tree: xr.DataTree | None = None,
    progress: bool = False,
) -> xr.DataTree:
    """Look inside networks with some instruments.

    Every instrument sees the same sequences, and comes with its own controls.

    Args:
        networks: A network that can be traced, or several that differ in their seed.
        oracle: Oracle of the model.
        key: Typed key of sequences, controls and random interventions.
        instruments: Names of the instruments; all by default, ``dynamics`` where there are
            histories and ``rounds`` where the model is one of factor graphs.
        num_sequences: How many sequences are drawn; see ``inspection.record``.
        histories: Checkpoints of each network's training, for ``dynamics`` and ``gradients``.
        ladder: Rivals; ``standard_ladder`` by default.
        tree: A comparison of the same networks beside the same ladder, which the findings are
            added to; without it one is made.
        progress: Whether to show how far the instruments are, on a terminal.

    Returns:
        The tree, with one group for each instrument.

    Raises:
        TypeError: If a network cannot be traced.
        ValueError: If there is no such instrument, no network, ``dynamics`` is asked for
            without histories or ``rounds`` without factor graphs, or the tree or the histories are
            of another number of networks.

    Example:
        >>> model = bc.models.beta_bernoulli(length=3)
        >>> network = bc.Transformer.for_model(model, key=jax.random.key(0))
        >>> found = examine(network, bc.derive_oracle(model), key=jax.random.key(1),
        ...                 instruments=["walkthrough"])
        >>> "/walkthrough" in found.groups
        True
    """
    has_graph = isinstance(oracle.model, AbstractGraphModel)
    chosen = _choose(instruments, has_histories=histories is not None, has_graph=has_graph)
    seeds = list(networks) if isinstance(networks, Sequence) else [networks]
    if not seeds:
        raise ValueError("networks: expected at least one, got none")
    key_record, key_ladder, key_compare, key_measure = jax.random.split(key, 4)
    rungs = standard_ladder(oracle, key=key_ladder) if ladder is None else tuple(ladder)
    recordings = [record(one, oracle, key=key_record, num_sequences=num_sequences) for one in seeds]
    base = compare(seeds, oracle, key=key_compare, ladder=rungs) if tree is None else tree
    _check_count("tree", base["/divergence"].sizes["seed"], len(seeds))
    if histories is not None:
        _check_count("histories", len(histories), len(seeds))
    groups = {path: base[path].to_dataset() for path in base.groups if path != "/"}
    total, quiet = len(chosen) * len(seeds), None if progress else True
    with tqdm(total=total, desc="looking inside", unit="record", disable=quiet) as bar:
        subjects = _Subjects(recordings, rungs, histories, bar)
        for name in chosen:
            own_key = jax.random.fold_in(key_measure, NAMES.index(name))
            groups[f"/{name}"] = _apply(name, subjects, own_key)
    attrs = {str(name): value for name, value in base.attrs.items() if name != "schema_version"}
    return make_tree(groups, attrs)


NAMES = (*INSTRUMENTS, DYNAMICS, ROUNDS)
"""Names of all instruments, in the order in which they are applied."""


@dataclass(frozen=True)
class _Subjects:
    """What the instruments look at, and the bar that counts what they are done with."""

    recordings: list[Recording]
    rungs: Sequence[AbstractPredictor]
    histories: Sequence[History] | None
    bar: tqdm

    def count[Result](self, results: Iterable[Result]) -> list[Result]:
        """Count results as they come."""
        counted = []
        for result in results:
            counted.append(result)
            self.bar.update()
        return counted


def _apply(name: str, subjects: _Subjects, key: Key) -> xr.Dataset:
    """Apply one instrument to each network."""
    if name == DYNAMICS:
        oracle, rungs = subjects.recordings[0].oracle, subjects.rungs
        followed = (
            follow_training(one, oracle, key=key, ladder=rungs) for one in subjects.histories or ()
        )
        return dynamics_group(subjects.count(followed))
    instrument = INSTRUMENTS.get(name, Instrument(follow_rounds, rounds_group))
    options = [_share(name, subjects, key)] * len(subjects.recordings)
    if name == "gradients" and subjects.histories is not None:
        options = [{"history": one} for one in subjects.histories]
    pairs = zip(subjects.recordings, options, strict=True)
    found = (instrument.measure(one, key=key, **given) for one, given in pairs)
    return instrument.group(subjects.count(found))


def _share(name: str, subjects: _Subjects, key: Key) -> dict[str, Any]:
    """Return what an instrument may use for every network, since all see the same sequences.

    Where they are of one configuration they are held against the same untrained networks; what
    is then said of one seed and of another depends on each other, but each is as sure as before.
    """
    first, shared = subjects.recordings[0], {}
    if name == "lenses":
        laws = {rung.name: ask(rung, first.evaluation) for rung in subjects.rungs}
        shared |= {"rung_laws": laws}
    if name in READ_UNTRAINED and _are_alike(subjects.recordings):
        shared |= {"untrained": READ_UNTRAINED[name](first, key=key)}
    return shared


def _are_alike(recordings: Sequence[Recording]) -> bool:
    """Whether there are several networks, all of one configuration that they know."""
    configs = [getattr(one.network, "config", None) for one in recordings]
    return len(configs) > 1 and None not in configs and len(set(configs)) == 1


def _choose(
    names: Sequence[str] | None, *, has_histories: bool, has_graph: bool
) -> tuple[str, ...]:
    """Look instruments up, in the order of the table."""
    if names is None:
        special = {DYNAMICS: has_histories, ROUNDS: has_graph}
        return tuple(name for name in NAMES if special.get(name, True))
    if isinstance(names, str):
        raise ValueError(f"instruments: expected several names, got the text {names!r}")
    for name in names:
        if name not in NAMES:
            close = difflib.get_close_matches(name, NAMES, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(
                f"instruments: expected some of {', '.join(NAMES)}, got {name!r}{hint}"
            )
    if DYNAMICS in names and not has_histories:
        raise ValueError(
            "histories: expected the checkpoints of each network for 'dynamics', got none; train "
            "with a checkpoint file and Training(num_snapshots=12), then load_snapshots(file)"
        )
    if ROUNDS in names and not has_graph:
        raise ValueError("instruments: expected 'rounds' for models of factor graphs alone")
    return tuple(name for name in NAMES if name in names)


def _check_count(what: str, found: int, wanted: int) -> None:
    """Check that something belongs to as many networks as are looked into."""
    if found != wanted:
        raise ValueError(f"{what}: expected one entry for each of {wanted} network(s), got {found}")
