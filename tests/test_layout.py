"""Layouts: every input position of four tasks by hand, and what holds for all of them."""

import math

import cases
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import bayescmp as bc
from bayescmp.models import HiddenMarkov


def test_next_token_starts_with_a_start_token():
    model = cases.build("chain")
    batch = model.batch_from_sites({"token": jnp.array([1, 0, 0, 1, 1])})
    # Start is 0, the two symbols are 1 and 2; the last answer is never shown.
    np.testing.assert_array_equal(batch.inputs, [0, 2, 1, 1, 2])
    np.testing.assert_array_equal(batch.outcomes, [1, 0, 0, 1, 1])
    np.testing.assert_array_equal(model.asked_positions, [0, 1, 2, 3, 4])
    assert model.layout.input_size == 3
    assert model.layout.outcome_token == 1


def test_bijection_shows_key_then_value():
    model = cases.build("bijection_4_whole")
    batch = model.batch_from_sites(
        {"key": jnp.array([2, 0, 3, 1]), "value": jnp.array([1, 3, 0, 2])}
    )
    # Keys are tokens 0 to 3, values 4 to 7.
    np.testing.assert_array_equal(batch.inputs, [2, 5, 0, 7, 3, 4, 1])
    np.testing.assert_array_equal(model.asked_positions, [0, 2, 4, 6])
    assert (model.layout.input_size, model.layout.outcome_token) == (8, 4)


def test_outcomes_that_start_at_three_are_indices_from_zero():
    model = cases.build("clues")
    batch = model.batch_from_sites({"clue": jnp.array([1, 0, 1]), "number": jnp.array([5, 3, 4])})
    np.testing.assert_array_equal(batch.outcomes, [2, 0, 1])
    np.testing.assert_array_equal(batch.inputs, [1, 4, 0, 2, 1])  # clues 0 and 1, numbers 2 to 4
    np.testing.assert_array_equal(model.engine_sites(batch)["number"], [5, 3, 4])
    assert model.num_outcomes == 3


def test_filtering_shows_rows_of_both_matrices_together_and_no_state():
    model = HiddenMarkov(num_states=2, num_symbols=3, length=2)
    transition = jnp.array([[0.25, 0.75], [0.5, 0.5]])
    emission = jnp.array([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]])
    batch = model.batch_from_sites(
        {
            "transition": transition,
            "emission": emission,
            "symbol": jnp.array([2, 0]),
            "state": jnp.array([0, 1]),
        }
    )
    # Blocks: a row of the transition matrix and its number, one of the emission matrix and
    # its number, the symbol.
    expected = [
        [*(0.25, 0.75), *(1, 0), *(0.5, 0.25, 0.25), *(1, 0), *(0, 0, 0)],
        [*(0.5, 0.5), *(0, 1), *(0, 1, 0), *(0, 1), *(0, 0, 0)],
        [*(0, 0), *(0, 0), *(0, 0, 0), *(0, 0), *(0, 0, 1)],
        [*(0, 0), *(0, 0), *(0, 0, 0), *(0, 0), *(1, 0, 0)],
    ]
    np.testing.assert_array_equal(batch.inputs, expected)
    np.testing.assert_array_equal(model.asked_positions, [2, 3])
    assert model.layout.outcome_token is None


def test_regression_shows_numbers_and_answers_as_vectors():
    model = cases.build("regression")
    batch = model.batch_from_sites(
        {"x": jnp.array([0.5, -1.0, 2.0, 3.0]), "y": jnp.array([1, 0, 1, 1])}
    )
    # The number and a one, then a one-hot answer.
    expected = [
        *([0.5, 1, 0, 0], [0, 0, 0, 1], [-1.0, 1, 0, 0], [0, 0, 1, 0]),
        *([2.0, 1, 0, 0], [0, 0, 0, 1], [3.0, 1, 0, 0]),
    ]
    np.testing.assert_array_equal(batch.inputs, expected)
    np.testing.assert_array_equal(model.asked_positions, [0, 2, 4, 6])


def labels(query: dist.Distribution) -> bc.GenerativeModel:
    """Ask for two labels, each after a query drawn from a law."""

    def function() -> None:
        numpyro.sample("x", query)
        numpyro.sample("y", dist.Bernoulli(0.5).expand([2]))

    return bc.GenerativeModel(function, outcome="y", query=("x",))


@pytest.mark.parametrize(
    ("query", "value", "first", "third"),
    [
        (dist.Normal(0.0, 1.0).expand([2]).to_event(1), [0.5, -2.0], [0.5, 1], [-2.0, 1]),
        (
            dist.MultivariateNormal(jnp.zeros(2), jnp.eye(2)).expand([2]),
            [[0.5, -2.0], [1.0, 3.0]],
            [0.5, -2.0, 1],
            [1.0, 3.0, 1],
        ),
        (
            dist.Normal(0.0, 1.0).expand([2, 1, 2]),
            [[[0.5, -2.0]], [[1.0, 3.0]]],
            [0.5, -2.0, 1],
            [1.0, 3.0, 1],
        ),
        (dist.Poisson(3.0).expand([2]), [4, 7], [4.0, 1], [7.0, 1]),
    ],
    ids=["one event", "vectors", "matrices", "counts"],
)
def test_queries_of_any_shape_have_one_input_a_step(query, value, first, third):
    batch = labels(query).batch_from_sites({"x": jnp.array(value), "y": jnp.array([0, 1])})
    zeros = [0] * len(first)
    assert batch.inputs.dtype == jnp.float32
    np.testing.assert_array_equal(batch.inputs, [[*first, 0, 0], [*zeros, 1, 0], [*third, 0, 0]])


def prompted(**layout: object) -> bc.GenerativeModel:
    """Ask for tokens after a prompt of two finite sites."""

    def function() -> None:
        numpyro.sample("size", dist.DiscreteUniform(2, 4))
        numpyro.sample("flags", dist.Bernoulli(0.5).expand([2, 2]))
        numpyro.sample("token", dist.Categorical(probs=jnp.full(3, 1.0 / 3.0)).expand([2]))

    return bc.GenerativeModel(function, outcome="token", given=("size", "flags"), **layout)


def test_finite_prompts_are_tokens_of_their_own():
    model = prompted()
    sites = {"size": 4, "flags": [[0, 1], [1, 1]], "token": [2, 0]}
    batch = model.batch_from_sites({name: jnp.array(value) for name, value in sites.items()})
    # Sizes 2 to 4 are tokens 0 to 2, flags 3 and 4, tokens 5 to 7. The first question is
    # asked where the prompt ends, so that no start token is needed.
    np.testing.assert_array_equal(batch.inputs, [2, 3, 4, 4, 4, 7])
    np.testing.assert_array_equal(model.asked_positions, [4, 5])
    names = model.layout.describe({name: np.array(value) for name, value in sites.items()})
    expected = ["size[0]", "flags[0]", "flags[1]", "flags[2]", "flags[3]", "token 2"]
    assert names == expected


@pytest.mark.parametrize("name", cases.CASES)
def test_what_holds_for_every_layout(name):
    model = cases.build(name)
    layout = model.layout
    batch = jax.tree.map(lambda x: x[0], cases.first(name, 1))
    values = {k: np.asarray(v) for k, v in model.engine_sites(batch).items()}
    inputs = np.asarray(batch.inputs)
    assert inputs.shape[0] == layout.input_length == len(layout.describe(values))
    assert 0 <= batch.outcomes.min() <= batch.outcomes.max() < model.num_outcomes
    assert layout.asked_positions.shape == (model.length,)
    assert layout.asked_positions[-1] == layout.input_length - 1
    if layout.uses_tokens:
        assert 0 <= inputs.min() <= inputs.max() < layout.input_size
    else:
        assert inputs.shape[1] == layout.input_size
    if layout.outcome_token is not None:
        answers = inputs[layout.asked_positions[:-1] + 1] - layout.outcome_token
        np.testing.assert_array_equal(answers, batch.outcomes[:-1])


@pytest.mark.parametrize("name", cases.CASES)
def test_a_network_reads_nothing_before_it_is_shown(name):
    """Another answer or later query leaves the inputs up to each question as they were."""
    model = cases.build(name)
    batches = [jax.tree.map(lambda x, i=i: x[i], cases.first(name, 2)) for i in (0, 1)]
    ours, theirs = (model.engine_sites(batch) for batch in batches)
    for step, asked in enumerate(model.asked_positions):
        mixed = dict(ours)
        for site in model.layout.query:
            mixed[site.name] = jnp.concatenate(
                [ours[site.name][: step + 1], theirs[site.name][step + 1 :]]
            )
        outcome = model.layout.outcome.name
        mixed[outcome] = jnp.concatenate([ours[outcome][:step], theirs[outcome][step:]])
        inputs = model.batch_from_sites(mixed).inputs
        np.testing.assert_array_equal(inputs[: asked + 1], batches[0].inputs[: asked + 1])


def line(length: int) -> None:
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    with numpyro.plate("position", length):
        x = numpyro.sample("x", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(slope * x, 0.5))


def noise(length: int) -> None:
    with numpyro.plate("position", length):
        numpyro.sample("y", dist.Normal(0.0, 1.0))


def test_a_continuous_outcome_is_asked_by_its_bin_and_shown_as_a_number():
    model = bc.GenerativeModel(line, "y", query=("x",), length=3, edges=(-1.0, 0.0, 1.0))
    y = jnp.array([-1.0, 0.25, 7.0])
    batch = model.batch_from_sites({"x": jnp.array([0.5, -0.5, 2.0]), "y": y})
    assert model.num_outcomes == 4
    np.testing.assert_array_equal(batch.outcomes, [0, 2, 3])  # an edge closes the bin below it
    assert set(batch.shown) == {"x", "y"}
    np.testing.assert_array_equal(model.engine_sites(batch)["y"], y)
    # x, y, x, y, x: each with its value and a flag of its own, and never the last answer.
    expected = [[0.5, 1, 0, 0], [0, 0, -1.0, 1], [-0.5, 1, 0, 0], [0, 0, 0.25, 1], [2.0, 1, 0, 0]]
    np.testing.assert_array_equal(batch.inputs, expected)


def test_a_start_vector_stands_before_continuous_outcomes():
    model = bc.GenerativeModel(noise, "y", length=2, edges=(0.0,))
    batch = model.batch_from_sites({"y": jnp.array([0.5, -0.5])})
    np.testing.assert_array_equal(batch.inputs, [[1, 0, 0], [0, 0.5, 1]])


@pytest.mark.parametrize(
    ("edges", "words"),
    [((), "give edges="), ((1.0, 0.0), "that rise"), ((0.0, math.inf), "finite numbers")],
)
def test_bins_that_do_not_fit_a_continuous_outcome(edges, words):
    with pytest.raises(ValueError, match=words):
        bc.GenerativeModel(noise, "y", length=2, edges=edges)


def toss(length: int) -> None:
    with numpyro.plate("position", length):
        numpyro.sample("token", dist.Bernoulli(0.5))


def test_a_finite_outcome_takes_no_bins():
    with pytest.raises(ValueError, match="expected none for an outcome with 2 values"):
        bc.GenerativeModel(toss, "token", length=2, edges=(0.5,))
