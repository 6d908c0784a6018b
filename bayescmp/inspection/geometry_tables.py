"""The geometry of several networks, one for each seed, as a group of the results."""

import math
from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float

from bayescmp.inspection.cross_network import Similarity, compare_rows
from bayescmp.inspection.domain_restriction import Domains
from bayescmp.inspection.effect import exceedance
from bayescmp.inspection.geometry_record import Controlled, Geometry
from bayescmp.results.tree import make_dataset

BITS = 1.0 / math.log(2.0)


def geometry_group(results: Sequence[Geometry]) -> xr.Dataset:
    """Lay the geometry of all seeds side by side.

    Args:
        results: One for each seed.

    Returns:
        The group ``/geometry``; information in bits.

    Raises:
        ValueError: If there is none.
    """
    if not results:
        raise ValueError("results: expected at least one, got none")
    first, tables = results[0], [_table(one) for one in results]
    between = _between_seeds(results)
    stacked = {name: np.stack([table[name] for table in tables]) for name in tables[0]}
    coords = {
        "stream": list(first.stream_names),
        "other_stream": list(first.stream_names),
        "manifold_place": list(first.manifolds.names),
    }
    if first.domains is not None:
        coords["family"] = list(first.domains.names)
    return make_dataset("/geometry", stacked | between, coords, _attributes(results))


def _table(one: Geometry) -> dict[str, np.ndarray]:
    """Return all variables of one seed but those that compare seeds."""
    found: dict[str, np.ndarray] = {}
    for name, measure in one.heads.items():
        found |= _controlled(name, measure, BITS if name == "attention_entropy" else 1.0)
    for name, value in one.even.items():
        scale = BITS if name == "attention_entropy" else 1.0
        found[f"{name}_even"] = np.asarray(value * scale)
    if one.embedding is not None:
        found |= _controlled("embedding_cosine", one.embedding)
    found |= _manifolds(one) | _simplex(one) | _similarity(one)
    if one.domains is not None:
        found |= _domains(one.domains)
    named = "; ".join(effect.where for effect in one.effects())
    return found | {"effects": np.asarray(named)}


def _controlled(name: str, measure: Controlled, scale: float = 1.0) -> dict[str, np.ndarray]:
    numbers = {
        name: measure.value,
        f"{name}_initial": measure.mean(),
        f"{name}_initial_sd": measure.spread(),
    }
    return {name: np.asarray(array * scale) for name, array in numbers.items()}


def _manifolds(one: Geometry) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for name, measure in one.manifolds.measures.items():
        found |= _controlled(name, measure)
    for name in ("pc1", "participation"):
        found[f"{name}_gaussian"] = one.manifolds.gaussian[name]
        found[f"{name}_permuted"] = one.manifolds.permuted[name]
    return found


def _simplex(one: Geometry) -> dict[str, np.ndarray]:
    simplex = one.simplex
    shares = Controlled(simplex.r_squared, simplex.r_squared_initial)
    return {
        **_controlled("simplex_r2", shares),
        "simplex_exact": simplex.exact,
        "simplex_read": simplex.read,
        "simplex_initial": simplex.initial,
        "simplex_corner": simplex.corners,
    }


def _similarity(one: Geometry) -> dict[str, np.ndarray]:
    alike = one.similarity
    return {
        "cka": alike.cka,
        "cka_debiased": alike.cka_debiased,
        "cka_initial": Controlled(alike.cka_debiased, one.similarity_initial).mean(),
        "overlap": alike.overlap,
    }


def _domains(domains: Domains) -> dict[str, np.ndarray]:
    shares, drawn = domains.pc1, domains.pc1_random
    chances = [
        exceedance(share, drawn[:, family])
        if np.isfinite(share) and np.isfinite(drawn[:, family]).all()
        else np.nan
        for family, share in enumerate(shares.tolist())
    ]
    return {
        "family_pc1": shares,
        "family_pc1_random": drawn.mean(axis=0),
        "family_pc1_chance": np.array(chances, np.float64),
        "family_participation": domains.participation,
        "family_participation_random": domains.participation_random.mean(axis=0),
    }


def _between_seeds(results: Sequence[Geometry]) -> dict[str, Float[np.ndarray, "seed stream"]]:
    """Compare each place with the same place of the other seeds; NaN where there is none."""
    num, places = len(results), len(results[0].stream_names)
    cka = np.full((num, num, places), np.nan)
    overlap = cka.copy()
    for row, one in enumerate(results):
        for column, other in enumerate(results[:row]):
            alike = _compare(one, other)
            cka[row, column] = cka[column, row] = np.diag(alike.cka_debiased)
            overlap[row, column] = overlap[column, row] = np.diag(alike.overlap)
    others = ~np.eye(num, dtype=bool)
    return {
        "seed_cka": np.stack([_mean_of(cka[seed, others[seed]]) for seed in range(num)]),
        "seed_overlap": np.stack([_mean_of(overlap[seed, others[seed]]) for seed in range(num)]),
    }


def _mean_of(values: Float[np.ndarray, "other stream"]) -> Float[np.ndarray, " stream"]:
    return values.mean(axis=0) if len(values) else np.full(values.shape[1], np.nan)


def _compare(one: Geometry, other: Geometry) -> Similarity:
    if not np.array_equal(one.inputs, other.inputs):
        raise ValueError(
            "results: expected seeds that were recorded on the same sequences, got others; record "
            "and measure all of them with one key"
        )
    return compare_rows(one.streams, other.streams, one.row_weights)


def _attributes(results: Sequence[Geometry]) -> dict[str, object]:
    """Say what the numbers are measured against, and what is not there."""
    first = results[0]
    num_rows, rank = first.streams.shape[1], first.similarity.rank
    attributes: dict[str, object] = {
        **{f"{name}_chance": value for name, value in first.chance.items()},
        "overlap_chance": first.similarity.overlap_null,
        "seed_overlap_chance": rank / max(num_rows - 1, 1),
        "overlap_rank": rank,
        "simplex_target": first.simplex.target,
        "num_initial": len(first.simplex.r_squared_initial),
        "num_rows": num_rows,
        "absent": list(first.absent),
    }
    if first.domains is not None:
        attributes["family_site"] = first.domains.site
    return attributes
