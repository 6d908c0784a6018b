"""Networks whose weights pass messages at their limits: huge log-odds, sizes, refusals."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
import scipy.special
from complaints import raised
from constructed_cases import PAIRS, build, run
from factor_graphs import Tables, chain
from plain_messages import pass_messages

from bayescmp.exact.graphs.factor_graph import FactorGraph
from bayescmp.exact.graphs.graph_rows import lay_out
from bayescmp.exact.graphs.graph_shape import GraphShape
from bayescmp.networks.constructed import StreamLayout, count_heads, message_passing, read_messages
from bayescmp.networks.constructed.softplus_units import STEP, line_shifts, softplus_units

CHAIN = chain(4)
SMALL = GraphShape(4, 2, num_slots=2)


Numbers = tuple[Tables, Tables]
"""Log tables and evidence of the chain, none of it below the floor of inputs."""


def of_numbers(tables: list, evidence: list) -> Numbers:
    first, second = (tuple(np.array(part, float) for part in both) for both in (tables, evidence))
    return first, second


def messages_after(numbers: Numbers, **options) -> np.ndarray:
    """Return what factor 0 tells variable 0, and factor 2 variable 3, after three rounds."""
    with jax.enable_x64(True):
        tables, evidence = (tuple(map(jnp.asarray, part)) for part in numbers)
        inputs = lay_out(FactorGraph(CHAIN, (2,) * 4), SMALL, tables, evidence).encode()
        found, _ = run(build(SMALL, 3, **options), inputs)
        return np.asarray(read_messages(SMALL, found))[-1, [0, 3], 0, 1]


def known_messages(numbers: Numbers) -> np.ndarray:
    last = pass_messages(CHAIN, *numbers, 3)[-1].messages
    return np.array([last[0, 0][1], last[2, 3][1]])


HUGE = of_numbers(
    [[[300.0, 0.0], [0.0, 420.0]], [[0.0, 510.0], [350.0, 0.0]], [[260.0, 1.0], [0.0, 270.0]]],
    [[0.0, 170.0], [3.0, 0.0], [0.0, 700.0], [650.0, 0.0]],
)
"""Log-odds of hundreds of nats, some of which cancel."""
TIGHT = of_numbers(
    [[[300.0, 0.0], [0.0, 300.0]]] * 3, [[0.0, 0.0], [0.0, 170.0], [0.0, 0.0], [0.0, 0.0]]
)
"""Couplings of hundreds of nats, and no contradiction."""
SURE = of_numbers(
    [[[2.0, 0.0], [0.0, 2.0]]] * 3, [[0.0, 0.0], [0.0, 400.0], [0.0, 500.0], [0.0, 0.0]]
)
"""Weak couplings, and evidence that is sure of itself."""


@pytest.mark.parametrize("form", ["softplus", "logsumexp"])
@pytest.mark.parametrize("numbers", [HUGE, SURE])
def test_log_odds_of_hundreds_are_exact(form: str, numbers: Numbers):
    known = known_messages(numbers)
    assert np.abs(known).max() > (100 if numbers is HUGE else 1.9)
    # Sums of numbers of about 1,000, which double precision has to 1e-13.
    np.testing.assert_allclose(messages_after(numbers, form=form), known, rtol=0, atol=1e-11)


def test_shares_know_sure_neighbours_and_cut_sure_messages_off():
    known = known_messages(SURE)
    np.testing.assert_allclose(messages_after(SURE, form="softmax"), known, rtol=0, atol=1e-9)
    assert known_messages(TIGHT).min() > 160.0
    found = messages_after(TIGHT, form="softmax")
    assert ((found > 40.0) & (found < 66.0)).all()


def test_sigmoids_are_right_within_their_reach_and_wrong_beyond():
    known = known_messages(SURE)
    right = messages_after(SURE, form="sigmoid", reach=600.0)
    np.testing.assert_allclose(right, known, rtol=0, atol=2e-9)
    # Both terms of a message are as large as they can be, and only the table's first column
    # is left: log T(1, 0) - log T(0, 0) = -2.
    np.testing.assert_allclose(messages_after(SURE, form="sigmoid"), [-2.0, -2.0], atol=1e-6)
    assert (known > 1.9).all()


@pytest.mark.parametrize("reach", [1.0, 40.0, 120.0])
def test_sums_of_sigmoids_are_as_good_as_stated(reach: float):
    shifts, weights = softplus_units(reach)
    z = np.concatenate([np.linspace(-900.0, -45.0, 50), np.linspace(-45.0, reach, 5_003)])
    sums = scipy.special.expit(z[:, None] - shifts) @ weights
    assert np.abs(sums - np.logaddexp(0.0, z)).max() <= 1e-9
    assert abs(scipy.special.expit(1e4 - shifts) @ weights - reach) < 8.0
    shifts, z = line_shifts(reach), np.linspace(-reach, reach, 5_003)
    sums = STEP * (scipy.special.expit(z[:, None] - shifts) - 0.5).sum(axis=1)
    assert np.abs(sums - z).max() <= 1e-10


# ---------------------------------------------------------------------- sizes, errors


def test_sizes_by_hand():
    shape = GraphShape(num_variables=5, num_values=3, num_slots=2, arity=3)
    layout = StreamLayout(shape)
    # Start, own number, evidence; two slots with two others each; tables, messages, cavities.
    assert layout.width == 1 + 5 + 2 + 4 * 5 + 4 * 2 + 2 * 27 + 2 * 2 + 4 * 2
    blocks = ("own", "evidence", "address", "back", "table", "messages", "cavities")
    features = [layout.start, *(i for name in blocks for i in getattr(layout, name).ravel())]
    assert sorted(features) == list(range(layout.width))
    assert layout.embedding().shape == (shape.num_features, layout.width)
    assert count_heads(shape) == 2 * 2 * 2 + 1
    network = build(shape, 2)
    assert network.config.heads_per_layer == 9
    assert network.config.mlp_size == 2 * 3 * 9
    assert all(leaf.dtype == np.float64 for leaf in jax.tree.leaves(network))
    assert message_passing(SMALL, 1).embedding.dtype == jnp.float32


@pytest.fixture
def untyped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch the tests' type checker off, so that a user's error message is seen."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.mark.parametrize(
    ("shape", "num_rounds", "options", "message"),
    [
        (SMALL, 0, {}, "num_rounds: expected at least 1, got 0"),
        (
            SMALL,
            1,
            {"form": "relu"},
            "form: expected 'softplus', 'sigmoid', 'logsumexp' or 'softmax', got 'relu'",
        ),
        (
            GraphShape(3, 4, num_slots=2),
            1,
            {"form": "softplus"},
            "form: expected 'logsumexp' or 'softmax' for 4 values, got 'softplus'",
        ),
        (
            GraphShape(3, 2, num_slots=2, arity=3),
            1,
            {"form": "sigmoid"},
            "form: expected 'logsumexp' or 'softmax' for factors of 3 variables, got 'sigmoid'",
        ),
        (SMALL, 1, {"reach": 9.0}, "reach: expected None with form='logsumexp', got 9.0"),
        (
            SMALL,
            1,
            {"form": "softmax", "reach": 0.5},
            "reach: expected at least 1 and finite, got 0.5",
        ),
    ],
)
def test_what_cannot_be_built_is_refused(
    shape: GraphShape, num_rounds: int, options: dict, message: str, untyped
):
    assert raised(ValueError, lambda: message_passing(shape, num_rounds, **options)) == message


def test_a_graph_beyond_the_bounds_says_how_many_heads_it_needs():
    rows = PAIRS["K4"].rows(GraphShape(4, 2, num_slots=3))
    message = raised(ValueError, lambda: message_passing(SMALL, 1, graph=rows))
    assert message == (
        "graph: expected at most 2 factors of a variable and 2 variables of a factor, which 5 "
        "heads serve, got 3 and 2, which need 10"
    )
    rows = PAIRS["one pair"].rows(GraphShape(3, 2, num_slots=2))
    message = raised(ValueError, lambda: message_passing(SMALL, 1, graph=rows))
    assert message.startswith("graph: expected one graph of GraphShape(num_variables=4, ")
