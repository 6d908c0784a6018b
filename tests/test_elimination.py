"""Variable elimination against the list of all settings, and the width of its plans."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from factor_graphs import (
    Scopes,
    Tables,
    brute_force,
    chain,
    complete,
    cycle,
    grid,
    joint_law,
    random_sizes,
    random_tables,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from bayescmp.exact.graphs.elimination import (
    MAX_TABLE,
    eliminate,
    log_partition,
    marginals,
    plan_elimination,
    reject_wide,
    safe_logsumexp,
)

TOLERANCE = 1e-12
"""Some thousand terms of about one, each right to 2e-16, add up to about 1e-13."""

CASES: dict[str, tuple[Scopes, int]] = {
    "one variable without a factor": ((), 1),
    "one variable with two factors": (((0,), (0,)), 1),
    "chain": (chain(6), 6),
    "star": (tuple((0, i) for i in range(1, 6)), 6),
    "tree with wide factors": (((2, 0, 1), (3, 2), (4, 2, 5)), 6),
    "cycle": (cycle(6), 6),
    "K4": (complete(4), 4),
    "grid": (grid(2, 4), 8),
    "two components and a lonely variable": (((0, 1), (4, 3), (3, 2)), 6),
    "one scope twice, in both orders": (((0, 1), (1, 0), (0, 1)), 2),
    "a factor of no variable": (((), (0, 1)), 2),
    "a factor of four": (((3, 1, 0, 2), (2, 4)), 5),
}


def device(tables: Tables, dtype: type = float) -> tuple[jax.Array, ...]:
    return tuple(jnp.asarray(table, dtype) for table in tables)


def answer(
    scopes: Scopes, log_tables: Tables, log_potentials: Tables, dtype: type = float
) -> tuple[np.ndarray, list[np.ndarray]]:
    sizes = tuple(len(potential) for potential in log_potentials)
    plan = plan_elimination(scopes, sizes)
    solve = jax.jit(partial(marginals, plan, scopes))
    log_total, probs = solve(device(log_tables, dtype), device(log_potentials, dtype))
    return np.asarray(log_total), [np.asarray(prob) for prob in probs]


@pytest.mark.parametrize("evidence", ["nothing seen", "two seen", "zeros in the tables"])
@pytest.mark.parametrize("name", CASES)
def test_elimination_equals_the_sum_over_all_settings(name: str, evidence: str):
    scopes, num_variables = CASES[name]
    rng = np.random.default_rng(len(name))
    sizes = random_sizes(rng, num_variables)
    observed = (0, num_variables - 1) if evidence == "two seen" else ()
    impossible = 0.15 if evidence == "zeros in the tables" else 0.0
    tables = random_tables(rng, scopes, sizes, impossible=impossible, observed=observed)
    log_total, probs = brute_force(scopes, *tables)
    with jax.enable_x64(True):
        ours, our_probs = answer(scopes, *tables)
    # Exactly equal where both are minus infinity; NaN where both are.
    np.testing.assert_allclose(ours, log_total, rtol=0, atol=TOLERANCE)
    for prob, our_prob in zip(probs, our_probs, strict=True):
        np.testing.assert_allclose(our_prob, prob, rtol=0, atol=TOLERANCE)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Scopes, tuple[int, ...]]:
    sizes = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=5)))
    variables = st.integers(0, len(sizes) - 1)
    scope = st.lists(variables, max_size=3, unique=True).map(tuple)
    return tuple(draw(st.lists(scope, max_size=5))), sizes


@settings(max_examples=15)
@given(graphs(), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.3]))
def test_any_graph_equals_the_sum_over_all_settings(
    graph: tuple[Scopes, tuple[int, ...]], seed: int, impossible: float
):
    scopes, sizes = graph
    rng = np.random.default_rng(seed)
    tables = random_tables(rng, scopes, sizes, impossible=impossible)
    log_total, probs = brute_force(scopes, *tables)
    with jax.enable_x64(True):
        ours, our_probs = answer(scopes, *tables)
    np.testing.assert_allclose(ours, log_total, rtol=0, atol=TOLERANCE)
    for prob, our_prob in zip(probs, our_probs, strict=True):
        np.testing.assert_allclose(our_prob, prob, rtol=0, atol=TOLERANCE)


def test_single_precision_stays_single_in_both_modes():
    scopes = grid(2, 4)
    tables = random_tables(np.random.default_rng(0), scopes, (2,) * 8)
    log_total, probs = brute_force(scopes, *tables)
    for double in (False, True):
        with jax.enable_x64(double):
            ours, our_probs = answer(scopes, *tables, dtype=np.float32)
        assert ours.dtype == our_probs[0].dtype == np.float32
        # Ten factors and eight sums, each right to 6e-8 of numbers up to about ten.
        np.testing.assert_allclose(ours, log_total, rtol=0, atol=1e-5)
        np.testing.assert_allclose(np.stack(our_probs), np.stack(probs), rtol=0, atol=1e-5)


def test_kept_variables_span_the_answer():
    scopes, sizes, keep = grid(2, 3), (2, 3, 1, 4, 2, 3), (5, 1, 2)
    tables = random_tables(np.random.default_rng(1), scopes, sizes, impossible=0.1)
    law = joint_law(scopes, *tables).sum(axis=(0, 3, 4)).transpose(2, 0, 1)
    with jax.enable_x64(True):
        plan = plan_elimination(scopes, sizes, keep=keep)
        ours = eliminate(plan, scopes, *map(device, tables))
    np.testing.assert_allclose(np.exp(ours), law, rtol=TOLERANCE)
    assert set(plan.order) == {0, 3, 4}


def test_far_apart_weights_do_not_underflow():
    # Each table prefers another value by a factor that no linear double can hold.
    log_tables = (np.array([0.0, -2000.0]), np.array([-2001.0, 0.0]))
    with jax.enable_x64(True):
        ours, probs = answer(((0,), (0,)), log_tables, (np.zeros(2),))
    np.testing.assert_allclose(ours, np.logaddexp(-2000.0, -2001.0), rtol=1e-15)
    np.testing.assert_allclose(probs[0], [1 / (1 + np.e), np.e / (1 + np.e)], rtol=1e-12)


@pytest.mark.parametrize(
    "scopes", [((0, 1),), ((0, 1), (2, 3))], ids=["one component", "one of two components"]
)
def test_impossible_evidence_has_no_weight_and_no_law(scopes: Scopes):
    log_tables = (np.log(np.eye(2), where=np.eye(2) > 0, out=np.full((2, 2), -np.inf)),)
    log_tables += (np.zeros((2, 2)),) * (len(scopes) - 1)
    log_potentials = (np.array([0.0, -np.inf]), np.array([-np.inf, 0.0]))
    log_potentials += (np.zeros(2),) * (2 * len(scopes) - 2)
    ours, probs = answer(scopes, log_tables, log_potentials)
    assert np.isneginf(ours)
    assert np.isnan(np.stack(probs)).all()


@pytest.mark.parametrize("at_once", [3, 128])
def test_batched_equals_looped(at_once: int, monkeypatch: pytest.MonkeyPatch):
    """In one part, and in parts of which the last is not full; under one vmap and under two."""
    monkeypatch.setattr("bayescmp.exact.graphs.many_settings.AT_ONCE", at_once)
    scopes, sizes = cycle(3), (2, 3, 2)
    rng = np.random.default_rng(2)
    batch = [random_tables(rng, scopes, sizes, impossible=0.1, observed=(1,)) for _ in range(4)]
    plan = plan_elimination(scopes, sizes)
    solve = partial(marginals, plan, scopes)
    with jax.enable_x64(True):
        compiled = jax.jit(solve)
        looped = [compiled(*map(device, tables)) for tables in batch]
        tables, evidence = jax.tree.map(
            lambda *parts: jnp.stack(parts), *(tuple(map(device, tables)) for tables in batch)
        )
        log_totals, probs = jax.jit(jax.vmap(solve))(tables, evidence)
        # All evidence with all tables: what the inner vmap shares, the outer one does not.
        crossed = jax.jit(jax.vmap(jax.vmap(solve, (0, None)), (None, 0)))
        all_totals, all_probs = crossed(tables, evidence)
    for row, (log_total, row_probs) in enumerate(looped):
        np.testing.assert_allclose(log_totals[row], log_total, rtol=0, atol=TOLERANCE)
        np.testing.assert_allclose(all_totals[row, row], log_total, rtol=0, atol=TOLERANCE)
        for prob, all_prob, row_prob in zip(probs, all_probs, row_probs, strict=True):
            np.testing.assert_allclose(prob[row], row_prob, rtol=0, atol=TOLERANCE)
            np.testing.assert_allclose(all_prob[row, row], row_prob, rtol=0, atol=TOLERANCE)


def test_derivatives_of_two_orders_equal_finite_differences():
    scopes, sizes = cycle(4), (2, 3, 2, 2)
    log_tables, log_potentials = random_tables(np.random.default_rng(3), scopes, sizes)
    log_tables[0][0, 0] = -np.inf
    plan = plan_elimination(scopes, sizes)
    with jax.enable_x64(True):
        rest = device(log_potentials[1:])

        @jax.jit
        def log_total(potential: jax.Array) -> jax.Array:
            return log_partition(plan, scopes, device(log_tables), (potential, *rest))

        point, step = jnp.asarray(log_potentials[0]), 1e-5
        moves = step * jnp.eye(2)
        # Central differences are off by step^2 / 6 of a third derivative, at most 1, and by
        # rounding of 1e-15 / step.
        slope = [(log_total(point + m) - log_total(point - m)) / (2 * step) for m in moves]
        np.testing.assert_allclose(jax.grad(log_total)(point), slope, rtol=0, atol=1e-9)
        grad = jax.grad(log_total)
        curvature = [(grad(point + m) - grad(point - m)) / (2 * step) for m in moves]
        np.testing.assert_allclose(jax.hessian(log_total)(point), curvature, rtol=0, atol=1e-9)

        def law(potential: jax.Array) -> jax.Array:
            return marginals(plan, scopes, device(log_tables), (potential, *rest))[1][0]

        # Probabilities are first derivatives, so their derivatives are second ones.
        np.testing.assert_allclose(jax.jacobian(law)(point), curvature, rtol=0, atol=1e-9)


@pytest.mark.parametrize("axis", [0, 1, (0, 1), (1,)])
def test_the_sum_in_logs_has_derivatives_where_nothing_is_possible(axis: int | tuple[int, ...]):
    x = jnp.array([[-jnp.inf, 0.3], [-jnp.inf, 1.2], [-jnp.inf, -jnp.inf]])
    with np.errstate(divide="ignore"):
        expected = np.log(np.exp(x).sum(axis=axis))
    np.testing.assert_allclose(safe_logsumexp(x, axis), expected, rtol=1e-6)
    weights = np.exp(x)
    with np.errstate(invalid="ignore"):
        softmax = np.nan_to_num(weights / weights.sum(axis=axis, keepdims=True))
    gradient = jax.grad(lambda x: jnp.sum(safe_logsumexp(x, axis)))(x)
    np.testing.assert_allclose(gradient, softmax, rtol=1e-6)
    hessian = jax.hessian(lambda x: jnp.sum(safe_logsumexp(x, axis)))(x)
    assert np.isfinite(hessian).all()
    assert np.isnan(safe_logsumexp(x.at[0, 0].set(jnp.nan), (0, 1)))


@pytest.mark.parametrize(
    ("scopes", "num_variables", "width"),
    [
        ((), 3, 0),
        (chain(40), 40, 1),
        (tuple((0, i) for i in range(1, 30)), 30, 1),
        (cycle(12), 12, 2),
        (complete(4), 4, 3),
        (complete(7), 7, 6),
        (grid(2, 7), 14, 2),
        (grid(3, 3), 9, 3),
        (grid(4, 4), 16, 4),
        (grid(6, 4), 24, 4),
        (grid(5, 5), 25, 5),
        (((0, 1, 2, 3), (3, 4)), 5, 3),
    ],
)
def test_known_treewidths(scopes: Scopes, num_variables: int, width: int):
    plan = plan_elimination(scopes, (2,) * num_variables)
    assert plan.width == width
    assert plan.largest_table == 2 ** (width + 1)
    assert sorted(plan.order) == list(range(num_variables))
    assert plan == plan_elimination(scopes, (2,) * num_variables)
    assert hash(plan) == hash(plan_elimination(scopes, (2,) * num_variables))


def test_a_long_chain_costs_its_length():
    plan = plan_elimination(chain(300), (3,) * 300)
    # All but the last variable stand in a table of nine; the last in one of three; the sum in one.
    assert plan.total_cost == 299 * 9 + 3 + 1


def test_the_order_follows_the_sizes():
    # A star with a large centre: each leaf but the last must go before it.
    plan = plan_elimination(tuple((0, i) for i in range(1, 6)), (50, 2, 2, 2, 2, 2))
    assert plan.order.index(0) >= 4
    assert plan.largest_table == 100


def test_a_wide_grid_is_refused_and_a_narrow_one_is_not():
    wide = plan_elimination(grid(25, 25), (2,) * 625)
    assert wide.largest_table > MAX_TABLE
    with pytest.raises(
        ValueError, match=r"expected tables of at most 4,194,304 entries .*got"
    ) as e:
        reject_wide(wide)
    for part in (f"{wide.largest_table:,}", str(wide.width), "belief propagation", "Monte Carlo"):
        assert part in str(e.value)
    reject_wide(plan_elimination(grid(3, 100), (2,) * 300))
    with pytest.raises(ValueError, match="at most 15 entries"):
        reject_wide(plan_elimination(grid(3, 3), (2,) * 9), limit=15)


TABLE, VECTOR = jnp.zeros((2, 2)), jnp.zeros(2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plan_elimination(((0, 0),), (2,)), r"scopes: expected different variables.*0, 0"),
        (lambda: plan_elimination(((0, 1),), (2,)), r"scopes: expected .* out of 0 \.\. 0"),
        (lambda: plan_elimination(((0,),), (2,), keep=(1,)), r"keep: expected different"),
        (
            lambda: log_partition(plan_elimination(((0, 1),), (2, 2)), (), (), (VECTOR,)),
            r"log_potentials: expected one for each of the plan's 2 variables, got 1",
        ),
        (
            lambda: log_partition(plan_elimination(((0,),), (2,)), ((0,),), (), (VECTOR,)),
            r"log_tables: expected one for each of 1 scopes, got 0",
        ),
        (
            lambda: marginals(plan_elimination(((0,),), (2,)), ((0,),), (TABLE,), (VECTOR,)),
            r"log_tables: expected shape \(2,\) .* got \(2, 2\)",
        ),
        (
            lambda: marginals(plan_elimination((), (2,), keep=(0,)), (), (), (VECTOR,)),
            r"plan: expected one that keeps no variable",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call: Callable[[], object], message: str):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_plan_of_other_scopes_is_still_right():
    # The order fixes the cost, never the answer.
    scopes, sizes = complete(4), (2, 3, 2, 2)
    tables = random_tables(np.random.default_rng(5), scopes, sizes)
    with jax.enable_x64(True):
        plan = plan_elimination(chain(4), sizes)
        ours = log_partition(plan, scopes, *map(device, tables))
    np.testing.assert_allclose(ours, brute_force(scopes, *tables)[0], rtol=0, atol=TOLERANCE)
