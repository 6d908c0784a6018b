"""Geometry of keys, attention, values and streams, each beside what chance and start give."""

from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Float

from bayescmp._types import Key
from bayescmp.inspection.cross_network import compare_streams, debias
from bayescmp.inspection.domain_restriction import (
    Domains,
    find_families,
    restrict_domain,
    row_sequences,
)
from bayescmp.inspection.geometry_record import Controlled, Geometry
from bayescmp.inspection.geometry_tables import geometry_group as geometry_group
from bayescmp.inspection.heads import (
    control,
    mark_sources,
    measure_chance,
    measure_even,
    measure_heads,
    there,
)
from bayescmp.inspection.initial import draw_initial
from bayescmp.inspection.manifolds import measure_manifolds
from bayescmp.inspection.readings import Reading, read_network
from bayescmp.inspection.recording import Recording
from bayescmp.inspection.simplex import read_simplex
from bayescmp.inspection.subset import make_generator, take_subset
from bayescmp.layers.key_frame import mean_abs_cosine

NUM_INITIAL = 8
"""Untrained networks of the same shape."""

ATTENTION_PARTS = ("keys", "sharpening")
"""Parts that only networks with attention have."""


def measure_geometry(
    recording: Recording,
    *,
    key: Key,
    num_initial: int = NUM_INITIAL,
    require: Sequence[str] = (),
    target: str | None = None,
) -> Geometry:
    """Measure directions inside a network, beside their nulls.

    Args:
        recording: A network on held-out sequences.
        key: Typed key of untrained networks and random draws.
        num_initial: Untrained networks of the same shape; three are needed for effects.
        require: ``keys`` or ``sharpening``, where it must not be left out silently.
        target: Latent site whose belief is drawn as a simplex; by default the first whose
            belief is one law over its values, or else the predictive.

    Returns:
        The geometry. Parts that a network has not are absent, and it is said which.

    Raises:
        ValueError: If a required part is unknown or does not exist in this network, or the
            target is no such site.

    Example:
        >>> oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=3))
        >>> network = bc.Transformer.for_model(oracle.model, key=jax.random.key(0))
        >>> seen = bc.inspection.record(network, oracle, key=jax.random.key(1))
        >>> sorted(measure_geometry(seen, key=jax.random.key(2), num_initial=3).heads)[:2]
        ['alignment', 'attention_entropy']
    """
    key_subset, key_initial, key_null = jax.random.split(key, 3)
    some = take_subset(recording, key=key_subset)
    subjects = (some.network, *draw_initial(some.network, num_initial, key=key_initial))
    readings = [read_network(subject, some, mark_sources(some)) for subject in subjects]
    first, untrained = readings[0], readings[1:]
    heads = measure_heads(some, readings)
    absent = _absent(some, first, heads)
    _check_required(some, require, absent)
    weights = some.row_weights if some.is_exhaustive else None
    return Geometry(
        network=_name(some),
        stream_names=some.stream_names,
        heads=heads,
        even=measure_even(some) if first.entropy is not None else {},
        chance=measure_chance(first),
        embedding=control(readings, _embedding_cosine) if first.embeddings is not None else None,
        manifolds=measure_manifolds(some, readings, make_generator(key_null)),
        simplex=read_simplex(some, first.streams, [one.streams for one in untrained], target),
        similarity=compare_streams(first.streams, weights),
        similarity_initial=_similarities(untrained, len(some.stream_names), weights),
        domains=_measure_domains(some, first, key_null),
        inputs=np.asarray(some.evaluation.batch.inputs),
        streams=first.streams,
        row_weights=weights,
        absent=tuple(absent.values()),
    )


def _name(recording: Recording) -> str:
    return type(recording.network).__name__


def _absent(recording: Recording, reading: Reading, heads: dict[str, Controlled]) -> dict[str, str]:
    """Say what this network, or this process, has not."""
    network, missing = _name(recording), {}
    if reading.values is None:
        reason = f"{network} does not attend, so that it has no"
        return {"keys": f"{reason} keys", "sharpening": f"{reason} attention weights"}
    if reading.token_keys is None and reading.columns is None:
        missing["keys"] = f"{network} reads no tokens, and its key matrices are not known"
    elif reading.token_keys is None:
        missing["token keys"] = "inputs are vectors, so that no key belongs to a token"
    if reading.entropy is None:
        missing["sharpening"] = f"the attention weights of {network} are no probabilities"
    elif "spent_mass" not in heads:
        missing["spent evidence"] = (
            "no outcome is ruled out by being shown, so that no source position is spent evidence"
        )
    return missing


def _check_required(recording: Recording, require: Sequence[str], absent: dict[str, str]) -> None:
    for part in require:
        if part not in ATTENTION_PARTS:
            raise ValueError(f"require: expected {' or '.join(ATTENTION_PARTS)}, got {part!r}")
        if part in absent:
            raise ValueError(
                f"require: expected a network that has {part}, got {_name(recording)}: "
                f"{absent[part]}"
            )


def _embedding_cosine(reading: Reading) -> np.ndarray:
    return mean_abs_cosine(there(reading.embeddings))


def _similarities(
    readings: Sequence[Reading], num: int, weights: Float[np.ndarray, " row"] | None
) -> Float[np.ndarray, "draw stream other_stream"]:
    found = [debias(one.streams, one.streams, weights) for one in readings]
    return np.array(found, np.float64).reshape(-1, num, num)


def _measure_domains(recording: Recording, reading: Reading, key: Key) -> Domains | None:
    """Restrict the last values, or the last stream where nothing attends, to each family."""
    families = find_families(recording)
    if families is None:
        return None
    site, family = families
    rows = reading.streams[-1] if reading.values is None else reading.values[-1]
    sequence, weights = row_sequences(recording), recording.row_weights
    return restrict_domain(rows, sequence, family, weights, site=site, key=key)
