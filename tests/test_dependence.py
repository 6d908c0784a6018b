"""Dependence read off jaxprs: by hand, and against what changes when an input is changed."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from jax import lax
from jax.scipy import special
from jax.scipy.linalg import solve_triangular

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
    "factors of matrices": lambda x: jnp.linalg.cholesky(
        jnp.eye(2) + x.reshape(3, 2, 1) * x.reshape(3, 1, 2) / 100.0
    ),
    "solutions": lambda x: solve_triangular(jnp.eye(2) + 1.0, x.reshape(2, 3), lower=True),
    "solutions by row": lambda x: lax.linalg.triangular_solve(jnp.eye(2) + 1.0, x.reshape(3, 2)),
    "solutions of several matrices": lambda x: solve_triangular(
        jnp.eye(2) + x[:2, None, None] / 9.0, x[2:].reshape(2, 2, 1)
    ),
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
    "solutions": ["03", "14", "25", "03", "14", "25"],
    "solutions by row": ["01", "01", "23", "23", "45", "45"],
    "solutions of several matrices": ["023", "023", "145", "145"],
    "factors of matrices": [pair for each in ("01", "23", "45") for pair in (each, "", each, each)],
    "cumulative": ["0", "01", "012", "0123", "01234", "012345"],
    "categorical": ["0", "1", "2", "3", "4"],
}


@pytest.mark.parametrize("name", [name for name, sets in EXACT.items() if sets])
def test_no_more_than_there_is_where_rules_are_exact(name):
    rows = found_in(FUNCTIONS[name]).reshape(-1, NUM)
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


MOVES: dict[str, Callable[[jax.Array], jax.Array]] = {
    "stack": lambda x: jnp.stack([x[0], x[1][::-1]]),
    "stack along columns": lambda x: jnp.stack([x, jnp.zeros((2, 3)), x + 0.0], axis=1),
    "stack in front": lambda x: jnp.stack([x, x], axis=-1),
    "unstack": lambda x: jnp.concatenate(jnp.unstack(x, axis=1)[::-1]),
    "rows one by one": lambda x: jnp.concatenate([2.0 * row / 2.0 for row in x]),
    "tile": lambda x: jnp.tile(x, (3, 2)),
    "tile by one number": lambda x: jnp.tile(x, 2),
    "repeat": lambda x: jnp.repeat(x, 2, axis=1),
    "pad": lambda x: jnp.pad(x, ((1, 0), (0, 2))),
    "pad between": lambda x: lax.pad(x, 0.0, ((0, 1, 2), (1, 0, 1))),
    "pad and cut": lambda x: lax.pad(x, 0.0, ((-1, 0, 0), (2, -1, 0))),
    "pad, then cut what was put between": lambda x: lax.pad(x, 0.0, ((0, 0, 0), (-1, -2, 1))),
    "concatenate": lambda x: jnp.concatenate([x, jnp.zeros((1, 3)), x]),
    "transpose": jnp.transpose,
    "flip": lambda x: jnp.flip(x, axis=1),
    "roll": lambda x: jnp.roll(x, 1, axis=1),
    "reshape": lambda x: x.reshape(3, 2),
    "split": lambda x: jnp.split(x, [1], axis=1)[1],
    "known rows": lambda x: x[jnp.array([1, 0, 1])],
    "broadcast": lambda x: jnp.broadcast_to(x[:, None], (2, 4, 3)),
}
"""Operations that move elements of an array of two rows and three columns, or put in zeros."""


@pytest.mark.parametrize("name", MOVES)
def test_what_is_only_moved_depends_on_where_it_came_from(name):
    """Move the numbers from one to six: each tells where it came from, and zero, from nowhere."""
    numbers = jnp.arange(1.0, 7.0).reshape(2, 3)
    moved = np.asarray(MOVES[name](numbers))
    found = find_dependence(MOVES[name], numbers, np.arange(6).reshape(2, 3), 6)
    np.testing.assert_array_equal(found, moved[..., None] == np.arange(1, 7))


ELEMENTWISE: dict[str, Callable[[jax.Array], jax.Array]] = {
    "incomplete gamma": lambda x: special.gammainc(x, jnp.ones(())),
    "the rest of it": lambda x: special.gammaincc(jnp.ones(()), x),
    "its slope": jax.grad(lambda x: jnp.sum(special.gammainc(x, 2.0))),
    "incomplete beta": lambda x: special.betainc(x, 2.0, 0.3),
    "log beta": lambda x: special.betaln(x, 2.0),
    "digamma": special.digamma,
    "products with logs": lambda x: special.xlogy(x, x) + special.xlog1py(x, x),
    "normal tail": special.log_ndtr,
    "logarithms": lambda x: jnp.log2(x) + jnp.log10(x) + jnp.logaddexp(x, 1.0),
    "slope of a sigmoid": jax.grad(lambda x: jnp.sum(jnp.tanh(x))),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_functions_of_one_element_depend_on_it_alone(name):
    np.testing.assert_array_equal(found_in(ELEMENTWISE[name]), np.eye(NUM, dtype=bool))
