"""Where a stage of the published construction leaves what is claimed for it, and by how much."""

from dataclasses import dataclass
from typing import Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from bayescmp.exact.graphs.graph_rows import GraphRows
from bayescmp.exact.graphs.row_propagation import propagate_rows
from bayescmp.networks.constructed.published import PublishedConstruction
from bayescmp.networks.constructed.published_tokens import (
    Repair,
    TokenLayout,
    num_heads_for,
    token_graph,
)
from bayescmp.records import LayerTrace

TOLERANCE = 1e-6
"""Largest difference that counts as none."""

Half = Literal["gather", "update"]
HALVES: tuple[Half, ...] = get_args(Half)
"""Halves of a layer: attention, then the feed-forward part."""


@dataclass(frozen=True)
class Place:
    """The first number of the stream that is not what it is claimed to be."""

    layer: int
    """From one on."""
    half: Half
    coordinate: str
    """``belief``, or ``scratch`` and the number of the head that writes to it."""
    size: float
    """Largest difference there, over tokens and graphs, in the stream's own unit."""

    def __str__(self) -> str:
        """Say it in words."""
        return f"layer {self.layer}, {self.half}, {self.coordinate}: off by {self.size:.2g}"


@dataclass(frozen=True, eq=False)
class Departure:
    """How far a stage is from its own claim, from propagation, and from exact marginals.

    Mean absolute errors are over graphs and variables that are not seen, of the probability of
    value 1.
    """

    repairs: tuple[Repair, ...]
    place: Place | None
    """Where the stream first differs from what it is claimed to hold; None for nowhere."""
    exact: Float[np.ndarray, " layer"]
    """Mean absolute error against exact marginals after each layer, from none on."""
    naive: Float[np.ndarray, " layer"]
    """The same against belief propagation with whole beliefs, after as many rounds."""
    cavity: Float[np.ndarray, " layer"]
    """The same against belief propagation with cavity messages."""
    largest: float
    """Largest absolute error against exact marginals after the last layer."""
    largest_cavity: float
    """Largest absolute error against propagation with cavity messages, after any layer."""
    half: float
    """Mean absolute error of always one half against exact marginals."""


def measure_departure(
    construction: PublishedConstruction,
    rows: GraphRows,
    exact: Float[Array, "graph variable"],
) -> Departure:
    """Hold a stage of the construction against what is claimed for it.

    Claimed of a layer is that attention copies the belief of neighbour ``k`` to scratch ``k``,
    and that the feed-forward part writes ``sigmoid(sum_k logit m_k)`` of these to the belief; with
    tables, that the beliefs are those of belief propagation, and in the end that they are exact on
    trees. Arithmetic is that of the construction's weights: tolerances are for double precision.

    Args:
        construction: Stage.
        rows: Graphs, the first axis of every array.
        exact: Exact probability that each variable is 1; padding is not read.

    Returns:
        The first place that differs, and errors layer by layer.

    Example:
        >>> from bayescmp.exact.graphs.factor_graph import FactorGraph
        >>> from bayescmp.exact.graphs.graph_rows import lay_out
        >>> from bayescmp.exact.graphs.graph_shape import GraphShape
        >>> from bayescmp.networks.constructed.departures import measure_departure
        >>> from bayescmp.networks.constructed.published import published_construction
        >>> shape, pair = GraphShape(2, 2, num_slots=1), FactorGraph(((0, 1),), (2, 2))
        >>> tables = (jnp.log(jnp.array([[0.9, 0.1], [0.1, 0.1]])),)
        >>> rows = lay_out(pair, shape, tables, (jnp.zeros(2), jnp.zeros(2)))
        >>> rows = jax.tree.map(lambda x: x[None], rows)
        >>> stage = published_construction(shape, num_layers=2)
        >>> found = measure_departure(stage, rows, exact=jnp.full((1, 2), 1 / 6))
        >>> found.place.layer, found.place.half, f"{found.exact[-1]:.2f}"
        (1, 'gather', '0.66')
    """
    seen = _look_at_all(construction, rows)
    beliefs, naive, cavity, differences = (jax.tree.map(np.asarray, part) for part in seen)
    is_asked = np.isfinite(np.asarray(rows.log_potentials)).all(axis=-1)

    def error(truth: np.ndarray) -> np.ndarray:
        return np.abs(beliefs - truth).swapaxes(0, 1)[:, is_asked]

    truth = np.asarray(exact)
    against_exact, against_cavity = error(truth[:, None]), error(cavity)
    return Departure(
        repairs=construction.repairs,
        place=_find_place(construction, differences),
        exact=against_exact.mean(axis=1),
        naive=error(naive).mean(axis=1),
        cavity=against_cavity.mean(axis=1),
        largest=float(against_exact[-1].max()),
        largest_cavity=float(against_cavity.max()),
        half=float(np.abs(truth - 0.5)[is_asked].mean()),
    )


_Differences = dict[Half, Float[Array, "*graph layer coordinate"]]
"""Largest difference from what is claimed in each coordinate after each half of each layer."""


@eqx.filter_jit
def _look_at_all(
    construction: PublishedConstruction, rows: GraphRows
) -> tuple[Array, Array, Array, _Differences]:
    return jax.vmap(lambda one: _look(construction, one))(rows)


def _look(
    construction: PublishedConstruction, rows: GraphRows
) -> tuple[Array, Array, Array, _Differences]:
    """Return beliefs of the stage and of both kinds of propagation, and the differences."""
    trace = construction.trace(rows)
    beliefs = construction.read_beliefs(trace)
    num_layers, each = len(beliefs) - 1, construction.layers_per_round
    rounds = jnp.arange(num_layers + 1) // each
    naive, cavity = (
        jnp.exp(propagate_rows(rows, num_layers // each, cavity=kind).log_beliefs[rounds, :, 1])
        for kind in (False, True)
    )
    if not construction.has_tables:
        return beliefs, naive, cavity, _differ_in_tokens(construction, rows, trace)
    claimed = cavity if "cavity" in construction.repairs else naive
    difference = jnp.abs(beliefs - claimed)[1:]
    largest = jnp.max(difference, axis=1, where=rows.is_present, initial=0.0)
    return beliefs, naive, cavity, {"update": largest[:, None]}


def _differ_in_tokens(
    construction: PublishedConstruction, rows: GraphRows, trace: LayerTrace
) -> _Differences:
    """Compare the stream with what each half of each layer is claimed to leave there."""
    layout, graph = TokenLayout(num_heads_for(rows.shape)), token_graph(rows)
    of_stream = (lambda x: x) if "log odds" in construction.repairs else jax.nn.sigmoid

    def layer(log_odds: Array, _: None) -> tuple[Array, tuple[Array, Array]]:
        gathered = log_odds[graph.neighbours]
        new = gathered.sum(axis=1)
        return new, (of_stream(gathered), of_stream(new))

    _, (gathered, updated) = jax.lax.scan(layer, graph.log_odds, None, length=len(trace.resid_mid))
    scratch = [layout.scratch(head) for head in range(layout.num_heads)]
    return {
        "gather": _largest(trace.resid_mid[..., np.array(scratch)] - gathered, graph.is_present),
        "update": _largest(
            trace.resid_post[..., layout.belief, None] - updated[..., None], graph.is_present
        ),
    }


def _largest(
    difference: Float[Array, "layer token coordinate"], is_present: Bool[Array, " token"]
) -> Float[Array, "layer coordinate"]:
    return jnp.max(jnp.abs(difference), axis=1, where=is_present[:, None], initial=0.0)


def _find_place(
    construction: PublishedConstruction, differences: dict[Half, np.ndarray]
) -> Place | None:
    """Return the first difference that counts, in the order in which numbers are computed."""
    for layer in range(construction.network.config.depth):
        for half in HALVES:
            if half not in differences:
                continue
            over_graphs = differences[half][:, layer].max(axis=0)
            for coordinate in np.flatnonzero(over_graphs > TOLERANCE).tolist():
                name = "belief" if half == "update" else f"scratch {coordinate}"
                return Place(layer + 1, half, name, float(over_graphs[coordinate]))
    return None
