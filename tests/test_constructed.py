"""Networks whose weights pass messages, against messages passed one by one in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from constructed_cases import (
    EVERY_FORM,
    FAMILIES,
    PAIRS,
    ROUNDS,
    TOLERANCE,
    Case,
    answers,
    beliefs_of,
    build,
    encode,
    run,
    trace,
)
from factor_graphs import brute_force
from plain_messages import branching_tree, pass_messages

from bayescmp.exact.graphs.belief_propagation import propagate
from bayescmp.exact.graphs.elimination import marginals, plan_elimination
from bayescmp.exact.graphs.graph_shape import FLOOR, GraphShape
from bayescmp.networks.constructed import message_passing, read_cavities, read_messages

# ------------------------------------------------------------------- the rounds


@EVERY_FORM
def test_every_layer_is_a_round_of_belief_propagation(family: str, form: str):
    _, found = answers(family, form)
    for number, (name, case) in enumerate(FAMILIES[family][1].items()):
        for layer, known in enumerate(case.rounds(), 1):
            error = np.abs(beliefs_of(found[layer, number], case) - known.beliefs)
            assert error.max() <= TOLERANCE, (name, layer)


@EVERY_FORM
def test_as_many_layers_as_the_diameter_are_exact_on_trees_and_fewer_are_not(
    family: str, form: str
):
    _, found = answers(family, form)
    too_early, on_loops = 0.0, 0.0
    for number, (name, case) in enumerate(FAMILIES[family][1].items()):
        _, exact = brute_force(case.scopes, *case.numbers)
        errors = np.abs(beliefs_of(found[:, number], case) - np.array(exact)).max(axis=(1, 2))
        if case.graph.is_tree:
            assert errors[case.graph.diameter] <= TOLERANCE, name
            too_early = max(too_early, errors[case.graph.diameter - 1])
        else:
            on_loops = max(on_loops, errors[-1])
    assert min(too_early, on_loops) > 1e2 * TOLERANCE


def test_the_last_layer_is_what_our_own_propagation_says_of_a_loop():
    case = PAIRS["grid"]
    _, found = answers("pairs", "softplus")
    with jax.enable_x64(True):
        tables, evidence = (tuple(map(jnp.asarray, part)) for part in case.numbers)
        known = propagate(case.graph, tables, evidence, num_rounds=ROUNDS).log_beliefs
    beliefs = beliefs_of(found[-1, list(PAIRS).index("grid")], case)
    np.testing.assert_allclose(beliefs, np.exp(known), rtol=0, atol=TOLERANCE)


def test_a_large_tree_against_elimination():
    case = Case(branching_tree(np.random.default_rng(7), 32, 3, 2))
    graph, shape = case.graph, GraphShape(32, 2, num_slots=4)
    assert graph.diameter <= 16
    with jax.enable_x64(True), jax.disable_jit():
        tables, evidence = (tuple(map(jnp.asarray, part)) for part in case.numbers)
        plan = plan_elimination(graph.scopes, graph.sizes)
        _, exact = marginals(plan, graph.scopes, tables, evidence)
    _, found = run(build(shape, 16, form="softplus", shared=True), encode(shape, case))
    errors = np.abs(found[:, 0] - np.array(exact)).max(axis=(1, 2))
    assert errors[graph.diameter] <= TOLERANCE


@pytest.mark.parametrize(("family", "form"), [("pairs", "softplus"), ("four values", "logsumexp")])
def test_messages_are_read_out_of_the_stream(family: str, form: str):
    shape, cases = FAMILIES[family]
    found, _ = answers(family, form)
    with jax.enable_x64(True):
        messages = np.asarray(read_messages(shape, found))
        cavities = np.asarray(read_cavities(shape, found))
    for number, case in enumerate(cases.values()):
        tables, evidence = case.numbers
        floored = tuple(np.maximum(row, FLOOR) for row in evidence)  # as inputs have them
        for layer, known in enumerate(pass_messages(case.scopes, tables, floored, ROUNDS)):
            taken = dict.fromkeys(range(shape.num_variables), 0)
            for factor, scope in enumerate(case.scopes):
                for variable, other in (scope, scope[::-1]):
                    place = layer, number, variable, taken[variable]
                    told = known.messages[factor, variable]
                    np.testing.assert_allclose(messages[place], told, atol=1e-9)
                    told = known.cavities[other, factor]
                    np.testing.assert_allclose(cavities[place][0], told - told[0], atol=1e-9)
                    taken[variable] += 1
            for variable, count in taken.items():
                assert np.abs(messages[layer, number, variable, count:]).max(initial=0) < 1e-9


def test_every_head_finds_what_it_is_to_find():
    shape, cases = FAMILIES["pairs"]
    patterns = answers("pairs", "softplus")[0].attn_pattern
    assert patterns is not None
    pattern = patterns[0]  # graph, head, token, source
    for number, case in enumerate(cases.values()):
        rows = case.rows(shape)
        for head, (slot, back) in enumerate(np.ndindex(4, 4)):
            there = np.asarray(rows.back[:, slot, 0]) == back
            wanted = np.where(there, np.asarray(rows.others[:, slot, 0]) + 1, 0)
            weights = pattern[number, head, np.arange(10), [0, *wanted]]
            rest = pattern[number, head].sum(axis=-1) - weights
            assert weights.min() == 1.0
            assert rest.max() == 0.0
        np.testing.assert_array_equal(np.argmax(pattern[number, -1], axis=-1), np.arange(10))


# ------------------------------------------------------------ one set of weights


def test_a_graph_in_the_weights_answers_as_one_in_the_prompt():
    shape, cases = FAMILIES["pairs"]
    case = cases["grid"]
    rows = case.rows(shape)
    network = build(shape, 3, form="logsumexp", graph=rows)
    assert network.shape.input_size == 1 + shape.num_values
    with jax.enable_x64(True):
        shown = [shape.block("start"), shape.block("evidence")]
        inputs = jnp.concatenate([rows.encode()[:, part] for part in shown], axis=-1)
    _, found = run(network, inputs)
    _, expected = answers("pairs", "logsumexp")
    number = list(cases).index("grid")
    np.testing.assert_allclose(found, expected[:4, number], rtol=0, atol=1e-12)


def test_layers_that_share_weights_answer_as_layers_of_their_own():
    shape, cases = FAMILIES["four values"]
    network = build(shape, ROUNDS, form="logsumexp")
    assert network.config.num_layers == ROUNDS
    _, found = run(network, encode(shape, *cases.values()))
    np.testing.assert_array_equal(found, answers("four values", "logsumexp")[1])


def test_room_for_more_changes_nothing():
    case = PAIRS["triangle"]
    shape = GraphShape(4, 3, num_slots=3, arity=3)
    _, found = run(build(shape, 2), encode(shape, case))
    _, expected = answers("pairs", "logsumexp")
    number = list(PAIRS).index("triangle")
    # A third value that is impossible has a weight of exp(-80).
    beliefs = found[:, 0, :3]
    np.testing.assert_allclose(beliefs[..., :2], expected[:3, number, :3], rtol=0, atol=1e-12)
    assert beliefs[..., 2].max() < 1e-34
    np.testing.assert_allclose(found[:, 0, 3], 1 / 3)  # of a variable that is not there


def test_single_precision_is_enough_for_five_digits():
    shape = FAMILIES["pairs"][0]
    network = message_passing(shape, ROUNDS, form="softplus", shared=True)
    inputs = jnp.asarray(np.asarray(encode(shape, *PAIRS.values()), np.float32))
    _, log_beliefs = trace(network, inputs)
    assert log_beliefs.dtype == jnp.float32
    # Log-odds of up to some hundred nats are right to 6e-8 of that, in each of six rounds.
    expected = answers("pairs", "softplus")[1]
    np.testing.assert_allclose(jnp.exp(log_beliefs), expected, rtol=0, atol=2e-5)
