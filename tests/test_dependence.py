"""Dependence read off jaxprs: by hand, and against what changes when an input is changed."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from jax import lax

from bayescmp.exact.reading.dependence import find_dependence

NUM = 6
LAW = dist.Categorical(probs=jnp.tile(jnp.array([0.1, 0.2, 0.3, 0.4]), (5, 1)))
TABLE = np.arange(24.0).reshape(4, 6) % 5.0


def running(x: jax.Array) -> jax.Array:
    return lax.scan(lambda carry, now: (now, carry * now), jnp.ones(()), x)[1]


def backwards(x: jax.Array) -> jax.Array:
    return lax.scan(lambda carry, now: (carry + now, carry), jnp.zeros(()), x, reverse=True)[1]


def late(x: jax.Array) -> jax.Array:
    def step(carry: jax.Array, now: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        value, number = now
        return value, jnp.where(number > 3, carry * value, 0.0)

    return lax.scan(step, jnp.ones(()), (x, jnp.arange(NUM)))[1]


def branching(x: jax.Array) -> jax.Array:
    return lax.cond(x[0] > 0.0, lambda y: y[1:3], lambda y: y[3:5], x)


def looping(x: jax.Array) -> jax.Array:
    return lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * 2.0), (0, x))[1]


FUNCTIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "neighbours": lambda x: x[1:] * x[:-1],
    "running": running,
    "backwards": backwards,
    "late": late,
    "branching": branching,
    "looping": looping,
    "cumulative": jnp.cumsum,
    "reverse cumulative": lambda x: lax.cumsum(x, axis=0, reverse=True),
    "matrix product": lambda x: x.reshape(2, 3) @ jnp.array(TABLE[:3]),
    "batched product": lambda x: jnp.einsum("bi,bij->bj", x.reshape(3, 2), jnp.ones((3, 2, 4))),
    "sorting": jnp.sort,
    "stacking": lambda x: jnp.stack([x[::2], x[1::2]], axis=1).T,
    "padding": lambda x: jnp.pad(x, (1, 2)),
    "update in place": lambda x: x.at[2].set(x[4] + 1.0),
    "row of a table": lambda x: jnp.array(TABLE)[x.astype(int) % 4],
    "entry of a table": lambda x: jnp.array(TABLE)[x.astype(int) % 4, jnp.arange(NUM)],
    "categorical": lambda x: LAW.log_prob(x[:5].astype(int) % 4),
    "window": lambda x: lax.dynamic_slice(x, (jnp.asarray(2),), (3,)),
    "moving window": lambda x: lax.dynamic_slice(x, (x[0].astype(int),), (3,)),
    "softmax of rows": lambda x: jax.nn.log_softmax(x.reshape(2, 3), axis=1),
    "everything": lambda x: jnp.linalg.norm(x),
    "splitting": lambda x: jnp.split(x, 3)[1],
    "choosing": lambda x: jnp.where(x > 1.0, x, jnp.roll(x, 1)),
}


def found_in(function: Callable[[jax.Array], jax.Array]) -> np.ndarray:
    return find_dependence(function, jnp.ones(NUM), np.arange(NUM), NUM)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_dependence_is_missed(name):
    """Change one input in a hundred surroundings: every result that moves was announced."""
    function = FUNCTIONS[name]
    announced = found_in(function)
    rng = np.random.default_rng(0)
    start = jnp.asarray(rng.integers(0, 6, (100, NUM)).astype(np.float32))
    moved = np.zeros_like(announced)
    run = jax.jit(jax.vmap(function))
    for variable in range(NUM):
        other = start.at[:, variable].set(rng.integers(0, 6, 100).astype(np.float32))
        moved[..., variable] = np.any(np.asarray(run(start) != run(other)), axis=0)
    assert moved.any()
    assert not (moved & ~announced).any()


EXACT = {
    "neighbours": ["01", "12", "23", "34", "45"],
    "running": ["0", "01", "12", "23", "34", "45"],
    "late": ["", "", "", "", "34", "45"],
    "entry of a table": ["0", "1", "2", "3", "4", "5"],
    "row of a table": None,
    "window": ["2", "3", "4"],
    "splitting": ["2", "3"],
    "cumulative": ["0", "01", "012", "0123", "01234", "012345"],
    "categorical": ["0", "1", "2", "3", "4"],
}


@pytest.mark.parametrize("name", [name for name, sets in EXACT.items() if sets])
def test_no_more_than_there_is_where_rules_are_exact(name):
    rows = found_in(FUNCTIONS[name])
    assert ["".join(map(str, np.flatnonzero(row))) for row in rows] == EXACT[name]


def test_rows_of_a_table_depend_on_their_own_index():
    rows = found_in(FUNCTIONS["row of a table"])
    np.testing.assert_array_equal(rows, np.repeat(np.eye(NUM, dtype=bool)[:, None], 6, axis=1))


def test_an_unknown_operation_depends_on_everything():
    assert found_in(FUNCTIONS["sorting"]).all()


def test_inputs_that_stand_for_nothing():
    labels = np.array([0, -1, 1])
    rows = find_dependence(lambda x: x * 2.0, jnp.ones((3, 2)), labels, 2)
    np.testing.assert_array_equal(rows[:, 0], [[True, False], [False, False], [False, True]])
