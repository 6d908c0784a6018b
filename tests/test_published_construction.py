"""The construction as published and its repairs, against NumPy loops that know what is claimed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayescmp.exact.graphs.factor_graph import FactorGraph
from bayescmp.exact.graphs.graph_rows import GraphRows, lay_out
from bayescmp.exact.graphs.graph_shape import GraphShape
from bayescmp.networks.constructed import REPAIRS, measure_departure, published_construction
from bayescmp.networks.constructed.published_tokens import encode_tokens, token_graph
from bayescmp.networks.parts.attention import Attention
from bayescmp.networks.parts.feed_forward import FeedForward
from bayescmp.networks.transformer import TransformerConfig
from tests.factor_graphs import brute_force

CHAIN, SHAPE = ((0, 1), (1, 2)), GraphShape(3, 2, num_slots=2)
NUM_GRAPHS = 6
ROUND_OFF = 1e-12  # sums of some dozens of numbers near one, in double precision


def chains(*, observed: bool = False) -> tuple[GraphRows, np.ndarray]:
    """Draw chains of three, tables U[0.05, 1], with their marginals by listing all settings."""
    rng = np.random.default_rng(0)
    graph, rows, exact = FactorGraph(CHAIN, (2, 2, 2)), [], []
    for _ in range(NUM_GRAPHS):
        tables = tuple(np.log(rng.uniform(0.05, 1.0, (2, 2))) for _ in CHAIN)
        potentials = tuple(rng.normal(size=2) * observed for _ in range(3))
        rows.append(lay_out(graph, SHAPE, *_arrays(tables, potentials)))
        exact.append([law[1] for law in brute_force(CHAIN, tables, potentials)[1]])
    return jax.tree.map(lambda *x: jnp.stack(x), *rows), np.array(exact)


def _arrays(*groups: tuple[np.ndarray, ...]) -> tuple[tuple[jax.Array, ...], ...]:
    return tuple(tuple(jnp.asarray(x) for x in group) for group in groups)


def measure(repairs: int, *, observed: bool = False, num_layers: int | None = None):
    with jax.enable_x64(True):
        rows, exact = chains(observed=observed)
        layers = (4 if repairs < 4 else 2) if num_layers is None else num_layers
        stage = published_construction(SHAPE, layers, REPAIRS[:repairs])
        return measure_departure(stage, rows, jnp.asarray(exact))


def test_tokens_are_as_wide_as_published_and_hold_its_table():
    rows = jax.tree.map(lambda x: x[0], chains()[0])
    tokens, repaired = encode_tokens(rows, ()), encode_tokens(rows, ("layout",))
    assert tokens.shape == repaired.shape == (1 + 3 + 6, 8)
    table = np.exp(np.asarray(rows.log_tables[0, 0]))
    for token in (1, 4):  # the first variable, and the first factor
        np.testing.assert_allclose(tokens[token, :5], [0.5, *table], rtol=1e-6)
    assert tokens[:, 5].tolist() == [0, 0, 0, 0, 1, 0, 0, 1, 0, 0]
    np.testing.assert_allclose(tokens[1:4, 6], np.arange(1, 4) / 9, rtol=1e-6)
    # Repaired: neighbours' numbers, the kind, two empty places, the own number and its square.
    assert repaired[2].tolist() == [0.5, 4, 7, 0, 0, 0, 2, 4]
    assert repaired[4].tolist() == [0.5, 1, 2, 1, 0, 0, 4, 16]


def test_neighbours_are_those_of_the_graph():
    graph = token_graph(jax.tree.map(lambda x: x[0], chains()[0]))
    # Variables are tokens 1 to 3; the factors have the slots of their first variables, 4 and 7.
    assert graph.neighbours[:5].tolist() == [[0, 0], [4, 0], [4, 7], [7, 0], [1, 2]]
    assert graph.neighbours[7].tolist() == [2, 3]
    assert np.flatnonzero(graph.is_present).tolist() == [1, 2, 3, 4, 7]


@pytest.mark.parametrize(
    ("repairs", "half", "coordinate"),
    [(0, "gather", "scratch 0"), (1, "gather", "scratch 0"), (2, "update", "belief")],
)
def test_every_unrepaired_stage_leaves_its_claim_in_the_first_layer(repairs, half, coordinate):
    found = measure(repairs, observed=True)
    assert found.place is not None
    assert (found.place.layer, found.place.half, found.place.coordinate) == (1, half, coordinate)
    assert found.place.size > 0.1
    assert found.exact[-1] > found.half


def test_the_largest_number_is_found_in_place_of_the_neighbour():
    """Scores are index times index: the token with the largest one wins, whoever asks."""
    with jax.enable_x64(True):
        rows, _ = chains(observed=True)
        stage = published_construction(SHAPE, 1, ("layout",))
        one = jax.tree.map(lambda x: x[0], rows)
        pattern = stage.trace(one).attn_pattern
        assert pattern is not None
        graph = token_graph(one)
        found = np.argmax(np.asarray(pattern[0, 0]), axis=-1)[1:4]
    largest = int(np.argmax(graph.neighbours[:, 0]))
    assert found.tolist() == [largest] * 3
    assert found.tolist() != graph.neighbours[1:4, 0].tolist()


def test_with_log_odds_the_network_does_what_is_claimed_of_it():
    found = measure(3, observed=True)
    assert found.place is None


def test_what_is_claimed_of_it_is_not_inference():
    # Tables are never read: without evidence every belief stays at one half.
    found = measure(3)
    np.testing.assert_allclose(found.exact, found.half, atol=ROUND_OFF)
    assert found.half > 0.05
    # And a variable's own evidence is lost in the first layer.
    assert measure(3, observed=True).exact[1] > 0.1


def test_whole_beliefs_are_naive_propagation_and_no_inference():
    found = measure(4, observed=True)
    assert found.place is None
    np.testing.assert_allclose(found.naive, 0.0, atol=ROUND_OFF)
    # In the first round nobody has told anything that could come back.
    assert found.cavity[1] < ROUND_OFF
    assert found.cavity[2] == pytest.approx(found.exact[2])
    assert found.exact[2] > 1e-3


def test_cavity_messages_are_exact_after_as_many_layers_as_the_diameter():
    found = measure(5, observed=True)
    assert found.place is None
    assert found.largest < ROUND_OFF
    assert found.largest_cavity < ROUND_OFF
    assert measure(5, observed=True, num_layers=1).largest > 1e-3


def test_weights_are_those_of_the_published_theorem():
    network = published_construction(SHAPE, 2).network
    mixer, mlp, config = network.blocks.mixer, network.blocks.mlp, network.config
    assert isinstance(mixer, Attention)
    assert isinstance(mlp, FeedForward)
    assert isinstance(config, TransformerConfig)
    query, key = (np.asarray(x[0]).reshape(8, 2, 2) for x in (mixer.query, mixer.key))
    for head in range(2):  # queries and keys are the same projection, but for the temperature
        assert np.flatnonzero(query[:, head, 0]).tolist() == [1 + head]
        assert np.flatnonzero(key[:, head, 0]).tolist() == [1 + head]
    assert mlp.up[0, 4:6, 0].tolist() == [1.0, 1.0]
    assert float(mlp.up_bias[0, 0]) == 0.0
    assert config.num_heads == 2
    assert config.model_size == 8


@pytest.mark.parametrize(
    ("shape", "layers", "repairs", "message"),
    [
        (GraphShape(3, 3, num_slots=2), 1, (), "num_values of 2"),
        (GraphShape(3, 2, num_slots=2, arity=3), 1, (), "arity of 2"),
        (SHAPE, 0, (), "num_layers: expected at least 1"),
        (SHAPE, 1, ("addressing",), "first few"),
    ],
)
def test_what_cannot_be_built_is_named(shape, layers, repairs, message):
    with pytest.raises(ValueError, match=message):
        published_construction(shape, layers, repairs)
