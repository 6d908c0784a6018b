"""Operations are counted as often as they run, and a transformer's agree with the closed form."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from small_networks import INPUT_SIZE, MAX_LENGTH, NUM_OUTCOMES, SHAPE, small_config

from bayescmp.networks.transformer import TransformerConfig
from bayescmp.training.costs.operations import count_operations, transformer_flops

SIZE, LENGTH, BATCH = 8, 10, 5
PRODUCT = 2.0 * SIZE**3
SQUARE = jnp.eye(SIZE)

SMALL = (2, 2, 8, 12)
CASES = {
    "plain": small_config(*SMALL),
    "grouped queries": small_config(2, 4, 8, 12, num_source_heads=2),
    "one key for all": small_config(2, 4, 8, 12, num_source_heads=1),
    "gated": small_config(*SMALL, activation="swiglu"),
    "experts": small_config(*SMALL, num_experts=3, num_active_experts=2),
    "looped": small_config(*SMALL, num_loops=3),
    "tied": small_config(*SMALL, tied=True),
    "attention only": small_config(2, 2, 8, 0),
    "biases, layer norm after": small_config(*SMALL, bias=True, norm="layer", norm_place="post"),
    "rotary, linear": small_config(*SMALL, positions="rotary", kernel="linear"),
    "sigmoid, window": small_config(*SMALL, positions="none", kernel="sigmoid", window=3),
}


# ----------------------------------------------------------------------- loops


def multiply(x: jax.Array, unroll: int = 1, length: int = LENGTH) -> jax.Array:
    return jax.lax.scan(lambda c, _: (c @ SQUARE, None), x, None, length, unroll=unroll)[0]


def rounds_of_scans(x: jax.Array) -> jax.Array:
    return jax.lax.fori_loop(0, 3, lambda _, c: multiply(c), x)


def on_two_branches(x: jax.Array) -> jax.Array:
    return jax.lax.cond(x[0, 0] > 0, multiply, lambda c: c, x)


def on_a_mesh(x: jax.Array) -> jax.Array:
    mesh = Mesh(np.asarray(jax.devices("cpu")[:1]), ("row",))
    rows = {"mesh": mesh, "in_specs": P("row"), "out_specs": P("row"), "check_vma": False}
    return jax.shard_map(multiply, **rows)(x)


LOOPS: dict[str, tuple[Callable, float]] = {
    "one product": (lambda x: x @ SQUARE, 1),
    "scan": (multiply, LENGTH),
    "partly unrolled": (lambda x: multiply(x, unroll=5), LENGTH),
    "unrolled with a rest": (lambda x: multiply(x, unroll=4), LENGTH),
    "unrolled in one round": (lambda x: multiply(x, unroll=7), LENGTH),
    "all unrolled": (lambda x: multiply(x, unroll=LENGTH), LENGTH),
    "no round at all": (lambda x: multiply(x, length=0), 0),
    "scans in a loop": (rounds_of_scans, 3 * LENGTH),
    "compiled inside": (jax.jit(multiply), LENGTH),
    "on a branch": (on_two_branches, LENGTH),
    "on a mesh": (on_a_mesh, LENGTH),
    "mapped": (lambda x: jax.vmap(multiply)(jnp.stack([x, x])), 2 * LENGTH),
    "computed anew": (jax.checkpoint(multiply), LENGTH),
    # The value needs each product, and its gradient one more for each.
    "differentiated": (jax.value_and_grad(lambda x: jnp.sum(multiply(x))), 2 * LENGTH),
}


@pytest.mark.parametrize("name", LOOPS)
def test_a_body_counts_as_often_as_it_runs(name: str):
    function, num_products = LOOPS[name]
    counted = count_operations(function, SQUARE)
    # Loops count themselves, sums and squares are element-wise: all below half a product.
    assert num_products == math.floor(counted / PRODUCT), counted / PRODUCT
    assert counted - num_products * PRODUCT < PRODUCT / 2


def test_xla_itself_counts_a_loop_once():
    """The reason for :func:`count_operations`; it may go if this test ever fails."""
    # Accelerators give no count.
    with jax.default_device(jax.devices("cpu")[0]):
        costs = (
            jax.jit(multiply)
            .lower(jax.ShapeDtypeStruct(SQUARE.shape, SQUARE.dtype))
            .cost_analysis()
        )
    assert isinstance(costs, dict)
    assert costs["flops"] < 2 * PRODUCT


def test_a_loop_of_unknown_length_counts_once():
    def search(x: jax.Array) -> jax.Array:
        return jax.lax.while_loop(lambda c: jnp.all(c < 9.0), lambda c: c @ SQUARE + 1.0, x)

    assert PRODUCT <= count_operations(search, SQUARE) < 1.5 * PRODUCT


def test_shapes_are_enough_and_nothing_is_computed():
    shape = jax.ShapeDtypeStruct((10**6, 10**6), jnp.float32)
    # XLA adds up in float32, whose relative spacing is 1.2e-7.
    assert count_operations(lambda x: x @ x, shape) == pytest.approx(2e18, rel=1.2e-7)
    assert count_operations(jnp.exp, shape) == 0.0


# ----------------------------------------------------------------- closed form


def equations(program) -> Iterator:
    """Yield every innermost equation; transformers have no loops."""
    for equation in program.eqns:
        parameters = [
            part
            for value in equation.params.values()
            for part in (value if isinstance(value, tuple | list) else (value,))
        ]
        inner = [getattr(part, "jaxpr", part) for part in parameters]
        inner = [part for part in inner if hasattr(part, "eqns")]
        if inner and equation.primitive.name != "scatter-add":
            for part in inner:
                yield from equations(part)
        else:
            yield equation


def dumb_count(function: Callable, *arguments) -> tuple[float, float]:
    """Return the operations of all products, and the elements that all else touches."""
    products = elements = 0.0
    for equation in equations(jax.make_jaxpr(function)(*arguments).jaxpr):
        sizes = [variable.aval.size for variable in (*equation.outvars, *equation.invars)]
        if equation.primitive.name == "dot_general":
            (summed, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            products += 2.0 * sizes[0] * math.prod(shape[axis] for axis in summed)
        else:
            elements += max(sizes)
    return products, elements


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("num_questions", [None, 3])
def test_the_closed_form_is_the_number_of_operations_in_products(
    name: str, num_questions: int | None
):
    config = CASES[name]
    asked = np.arange(MAX_LENGTH)[-(num_questions or MAX_LENGTH) :]
    shapes = eqx.filter_eval_shape(config.build, SHAPE, key=jax.random.key(0))
    params, static = eqx.partition(shapes, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))
    inputs = jax.ShapeDtypeStruct((BATCH, MAX_LENGTH), jnp.int32)

    def loss(params, inputs: jax.Array) -> jax.Array:
        network = eqx.combine(params, static)
        logits = network(inputs) if num_questions is None else network.logits_at(inputs, asked)
        return jnp.sum(logits**2)

    step = transformer_flops(config, SHAPE, BATCH, num_questions=num_questions)
    for function, closed_form in ((loss, step / 3), (jax.grad(loss), step)):
        products, elements = dumb_count(function, params, inputs)
        assert products == closed_form
        # XLA counts element-wise work as well, at most one operation for each element of
        # the largest operand or result; at these sizes that is 16 to 37 % of the products.
        counted = count_operations(function, params, inputs)
        assert products <= counted <= products + elements
        assert counted < 1.5 * products


def test_the_closed_form_by_hand():
    # Width 4, one head, feed-forward 6, no second layer, four outcomes: at each of seven
    # positions 4 products of 4x4, 2 patterns of 7x4, 2 products of 4x6, one of 4x4.
    by_hand = 7 * 2 * (4 * 16 + 2 * 7 * 4 + 2 * 24 + 16)
    config = TransformerConfig(num_layers=1, num_heads=1, model_size=4, mlp_size=6)
    assert (INPUT_SIZE, NUM_OUTCOMES, MAX_LENGTH) == (6, 4, 7)
    assert transformer_flops(config, SHAPE, batch_size=1) == 3 * by_hand


def test_a_group_of_hidden_units_is_one_number_to_the_second_layer():
    config = TransformerConfig(
        num_layers=1, model_size=4, mlp_size=6, activation="logsumexp", activation_group=3
    )
    gone = 7 * 2 * (6 - 2) * 4  # of six rows at each of seven positions, two are left
    plain = replace(config, activation="gelu", activation_group=1)
    full, fewer = (transformer_flops(one, SHAPE, batch_size=1) for one in (plain, config))
    assert full - fewer == 3 * gone
    network = eqx.filter_eval_shape(config.build, SHAPE, key=jax.random.key(0))
    params, static = eqx.partition(network, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))
    inputs = jax.ShapeDtypeStruct((MAX_LENGTH,), jnp.int32)

    def answer(params, inputs: jax.Array) -> jax.Array:
        return eqx.combine(params, static)(inputs)

    assert dumb_count(answer, params, inputs)[0] == fewer / 3


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_the_closed_form_grows_with_the_batch(batch_size: int):
    config = CASES["plain"]
    one = transformer_flops(config, SHAPE, batch_size=1)
    assert transformer_flops(config, SHAPE, batch_size) == batch_size * one
