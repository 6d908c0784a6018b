"""Constructed networks beside belief propagation and exact marginals, on drawn graphs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from bayescmp._types import Key
from bayescmp.comparison.evaluation import draw_evaluation
from bayescmp.exact.graphs.graph_rows import GraphRows
from bayescmp.graph_model import AbstractGraphModel
from bayescmp.networks.constructed.departures import Departure, measure_departure
from bayescmp.networks.constructed.published import published_construction
from bayescmp.networks.constructed.published_tokens import REPAIRS
from bayescmp.oracle import AbstractOracle
from bayescmp.results.tree import make_dataset

PUBLISHED = (
    "One layer is one round of belief propagation, and after as many layers as the tree's diameter "
    "beliefs are exact (Coppola, arXiv 2603.17063)."
)
"""What is claimed of the construction as published."""

STAGES = ("as published", *(f"+ {repair}" for repair in REPAIRS))
"""Names of the stages: the last repair of each."""


@dataclass(frozen=True, eq=False)
class ConstructionFindings:
    """What one set of drawn graphs shows."""

    trees: dict[str, Departure]
    """The construction with all repairs, by the size of the trees."""
    cases: dict[str, list[Departure]]
    """Every stage, by the kind of graph."""


def check_construction(
    trees: Mapping[str, AbstractOracle],
    cases: Mapping[str, AbstractOracle],
    *,
    num_graphs: int,
    key: Key,
) -> ConstructionFindings:
    """Draw graphs, and hold constructed networks against exact marginals of theirs.

    Everything is computed in double precision. Networks have as many layers as news needs
    through the largest graph.

    Args:
        trees: Oracles of graph models, by name, that are asked about the last stage alone.
        cases: Oracles of graph models, by name, that are asked about every stage.
        num_graphs: How many graphs of each are drawn.
        key: Typed key of the graphs.

    Returns:
        Departures of every stage.

    Raises:
        TypeError: If an oracle's model is no graph model.

    Example:
        >>> model = bc.models.RandomTrees(num_variables=3)
        >>> small = {"3": bc.derive_oracle(model)}
        >>> found = check_construction(small, {}, num_graphs=4, key=jax.random.key(0))
        >>> found.trees["3"].largest < 1e-6
        True
    """
    found = ConstructionFindings({}, {})
    for name, oracle in trees.items():
        key, key_graphs = jax.random.split(key)
        found.trees[name] = _stages(oracle, num_graphs, REPAIRS[-1:], key=key_graphs)[0]
    for name, oracle in cases.items():
        key, key_graphs = jax.random.split(key)
        found.cases[name] = _stages(oracle, num_graphs, (None, *REPAIRS), key=key_graphs)
    return found


def _stages(
    oracle: AbstractOracle, num_graphs: int, last: Sequence[str | None], *, key: Key
) -> list[Departure]:
    """Measure the stages that end with some repairs on the same graphs."""
    rows, exact = draw_graphs(oracle, num_graphs, key=key)
    found = []
    with jax.enable_x64(True):
        for repair in last:
            count = 0 if repair is None else 1 + [str(name) for name in REPAIRS].index(repair)
            each = 1 if "tables" in REPAIRS[:count] else 2
            stage = published_construction(
                rows.shape, each * _graph_model(oracle).num_rounds, REPAIRS[:count]
            )
            found.append(measure_departure(stage, rows, jnp.asarray(exact)))
    return found


def draw_graphs(
    oracle: AbstractOracle, num_graphs: int, *, key: Key
) -> tuple[GraphRows, Float[np.ndarray, "graph variable"]]:
    """Draw graphs of binary variables with their exact marginals, in double precision.

    Args:
        oracle: Oracle of a graph model.
        num_graphs: How many.
        key: Typed key.

    Returns:
        The graphs, and the probability that each variable is 1.

    Raises:
        TypeError: If the oracle's model is no graph model.

    Example:
        >>> from bayescmp.inspection.construction import draw_graphs
        >>> oracle = bc.derive_oracle(bc.models.RandomTrees(num_variables=3))
        >>> draw_graphs(oracle, 5, key=jax.random.key(0))[1].shape
        (5, 3)
    """
    model = _graph_model(oracle)
    evaluation = draw_evaluation(oracle, num_graphs, key=key)
    with jax.enable_x64(True):
        sites = jax.tree.map(_widen, model.engine_sites(evaluation.batch))
        return _rows(model, sites), np.exp(evaluation.log_p[..., 1])


@eqx.filter_jit
def _rows(model: AbstractGraphModel, sites: dict[str, Array]) -> GraphRows:
    return jax.vmap(model.rows)(sites)


def _widen(leaf: Array) -> Array:
    return leaf.astype(jnp.float64) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf


def _graph_model(oracle: AbstractOracle) -> AbstractGraphModel:
    if not isinstance(oracle.model, AbstractGraphModel):
        raise TypeError(f"oracle: expected one of a graph model, got {type(oracle.model).__name__}")
    return oracle.model


def construction_group(found: Sequence[ConstructionFindings], trees: Sequence[str]) -> xr.Dataset:
    """Lay out what several sets of graphs show, one for each seed.

    Args:
        found: Findings of each seed.
        trees: Names of the cases that are trees.

    Returns:
        The group ``/construction``.
    """
    cases = list(found[0].cases)

    def table(read: Callable[[Departure], float]) -> Float[np.ndarray, "seed repair graph_case"]:
        rows = [[[read(stage) for stage in one.cases[case]] for case in cases] for one in found]
        return np.array(rows).swapaxes(1, 2)

    tree_error = np.array([[one.trees[size].largest for size in one.trees] for one in found])
    error = table(lambda stage: stage.exact[-1])
    half = table(lambda stage: stage.half)[:, 0]
    layer = table(lambda stage: stage.largest_cavity)[:, -1]
    is_tree = np.isin(cases, list(trees))
    published = error[:, 0, is_tree]
    arrays = {
        "tree_error": tree_error,
        "layer_error": layer,
        "stage_error": error,
        "stage_largest": table(lambda stage: stage.largest),
        "stage_naive": table(lambda stage: stage.naive[-1]),
        "stage_cavity": table(lambda stage: stage.cavity[-1]),
        "half_error": half,
        "place": [
            [str(found[0].cases[case][stage].place or "nowhere") for case in cases]
            for stage in range(len(STAGES))
        ],
        "largest_tree_error": tree_error.max(axis=1),
        "largest_layer_error": layer.max(axis=1),
        "published_error": published.mean(axis=1),
        "published_excess": (published - half[:, is_tree]).mean(axis=1),
        "naive_error": error[:, STAGES.index("+ tables"), is_tree].max(axis=1),
    }
    coords = {"tree_size": list(found[0].trees), "graph_case": cases, "repair": list(STAGES)}
    return make_dataset("/construction", arrays, coords, {"published": PUBLISHED})
