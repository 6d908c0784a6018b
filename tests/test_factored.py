"""Programs as products of tables: what is read off, and the engines that run on it."""

from itertools import pairwise

import cases
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from complaints import raised
from numpyro.contrib.control_flow import scan
from scipy import integrate, stats

import bayescmp as bc
from bayescmp.exact.enumeration import EnumerationEngine
from bayescmp.exact.forward.forward_engine import ForwardEngine
from bayescmp.exact.forward.frontier import plan_steps
from bayescmp.exact.reading.factors import factor_program
from bayescmp.exact.reading.tabulation import colour_variables
from bayescmp.models import HiddenMarkov
from bayescmp.selection import choose_engine, factored

EXACT = 1e-10
"""Some thousand operations in 64 bits, 2e-16 each."""

STAY, EMIT = ((0.9, 0.1), (0.3, 0.7)), ((0.8, 0.1, 0.1), (0.1, 0.3, 0.6))


def looped(length: int) -> None:
    """A hidden Markov chain written as a Python loop; every symbol is asked."""
    law, symbols = jnp.array([0.5, 0.5]), []
    for step in range(length):
        state = numpyro.sample(f"state_{step}", dist.Categorical(probs=law))
        law = jnp.array(STAY)[state]
        symbols.append(jnp.array(EMIT)[state])
    numpyro.sample("symbol", dist.Categorical(probs=jnp.stack(symbols)))


def scanned(length: int) -> None:
    """The same chain by NumPyro's scan."""

    def step(law: jax.Array, _: None) -> tuple[jax.Array, None]:
        state = numpyro.sample("state", dist.Categorical(probs=law))
        numpyro.sample("symbol", dist.Categorical(probs=jnp.array(EMIT)[state]))
        return jnp.array(STAY)[state], None

    scan(step, jnp.array([0.5, 0.5]), None, length=length)


def second_order(length: int) -> None:
    """Hidden states that depend on the two before them."""

    def step(last: tuple[jax.Array, jax.Array], _: None) -> tuple[tuple, None]:
        older, newer = last
        law = jax.nn.softmax(jnp.stack([1.5 * older + newer, 1.0 - older + 0.5 * newer]))
        state = numpyro.sample("state", dist.Categorical(probs=law))
        numpyro.sample("symbol", dist.Categorical(probs=jnp.array(EMIT)[state]))
        return (newer, state.astype(float)), None

    scan(step, (jnp.zeros(()), jnp.zeros(())), None, length=length)


def noisy(length: int) -> None:
    """A chain seen through normal noise; its state is asked."""

    def step(law: jax.Array, _: None) -> tuple[jax.Array, None]:
        state = numpyro.sample("state", dist.Categorical(probs=law))
        numpyro.sample("reading", dist.Normal(2.0 * state, 1.0))
        return jnp.array(STAY)[state], None

    scan(step, jnp.array([0.5, 0.5]), None, length=length)


def network(length: int) -> None:
    """A layered network in which every variable has two parents."""
    with numpyro.plate("row", length):
        root = numpyro.sample("root", dist.Bernoulli(0.3))
    with numpyro.plate("column", length):
        numpyro.sample("leaf", dist.Bernoulli(0.1 + 0.4 * root + 0.4 * jnp.roll(root, 1)))


def early(length: int) -> None:
    """Tokens that depend on clues which are shown only later."""
    with numpyro.plate("position", length):
        clue = numpyro.sample("clue", dist.Bernoulli(0.4))
        numpyro.sample("token", dist.Bernoulli(0.2 + 0.6 * jnp.roll(clue, -1)))


def drifting(length: int) -> None:
    """A chain that changes its ways at an unknown step, and carries whole numbers along."""
    change = numpyro.sample("change", dist.DiscreteUniform(0, length - 1))

    def step(state: jax.Array, now: jax.Array) -> tuple[jax.Array, None]:
        stay = jnp.where(now < change, 0.95, 0.6)
        law = jnp.where(state == 1, stay, 1.0 - stay)
        state = numpyro.sample("state", dist.Bernoulli(law))
        numpyro.sample("symbol", dist.Categorical(probs=jnp.array(EMIT)[state]))
        return state, None

    scan(step, jnp.ones((), int), jnp.arange(length))


PROGRAMS = {
    "drifting": lambda: bc.GenerativeModel(drifting, "symbol", length=4),
    "looped": lambda: bc.GenerativeModel(looped, "symbol", length=4),
    "scanned": lambda: bc.GenerativeModel(scanned, "symbol", length=4),
    "second order": lambda: bc.GenerativeModel(second_order, "symbol", length=4),
    "network": lambda: bc.GenerativeModel(network, "leaf", length=4),
    "early": lambda: bc.GenerativeModel(early, "token", query=("clue",), length=4),
    "state asked": lambda: bc.GenerativeModel(
        scanned, "state", query=("symbol",), reveal=False, length=4
    ),
    "urns": lambda: cases.build("urns"),
    "chain": lambda: cases.build("chain"),
    "clues": lambda: cases.build("clues"),
    "hidden Markov": lambda: HiddenMarkov(num_states=3, num_symbols=2, length=3),
}


@eqx.filter_jit
def answers(engine, sites: dict[str, jax.Array]) -> tuple[jax.Array, ...]:
    def one(example: dict[str, jax.Array]) -> tuple[jax.Array, ...]:
        reference = engine(example)
        windows = (engine.windowed(example, window) for window in (1, 2))
        return reference.log_predictive, reference.log_evidence, *windows

    return jax.vmap(one)(sites)


@pytest.mark.parametrize("name", PROGRAMS)
def test_both_engines_equal_brute_force(name):
    model = PROGRAMS[name]()
    with jax.enable_x64(True):
        sites = model.engine_sites(eqx.filter_jit(model.sample)(32, key=jax.random.key(0)))
        expected = answers(EnumerationEngine(model.program, model.layout), sites)
        for engine in ("forward", "elimination"):
            found = answers(choose_engine(model, engine).engine, sites)
            for ours, theirs in zip(found, expected, strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=0.0, atol=EXACT)


def test_a_loop_and_a_scan_are_the_same_chain():
    loop, scanner = (factored(PROGRAMS[name]()) for name in ("looped", "scanned"))
    assert sorted(len(f.scope) for f in loop.families) == [1, 2, 2, 2, 2, 2, 2, 2]
    for one, other in zip(
        sorted(loop.constants, key=np.shape), sorted(scanner.constants, key=np.shape), strict=True
    ):
        assert one.shape == other.shape
    tables = {table.tobytes() for table in scanner.constants}
    transition, emission = np.log(STAY).astype(np.float32), np.log(EMIT).astype(np.float32)
    found = [np.frombuffer(table).reshape(2, -1) for table in tables if len(table) > 16]
    for expected in (transition, emission):
        assert any(f.shape == expected.shape and np.allclose(f, expected, 1e-6) for f in found)


def test_smoothing_noise_with_continuous_queries():
    """Readings with a density: the forward recursion by hand, for one sequence."""
    model = bc.GenerativeModel(noisy, "state", query=("reading",), reveal=False, length=3)
    readings, law = np.array([0.3, 1.9, -0.4]), np.array([0.5, 0.5])
    batch = model.batch_from_sites({"reading": jnp.array(readings), "state": jnp.zeros(3, int)})
    with jax.enable_x64(True):
        reference = choose_engine(model, "forward").engine(model.engine_sites(batch))
    log_evidence = 0.0
    for step, reading in enumerate(readings.astype(np.float32).astype(float)):
        joint = law * stats.norm.pdf(reading, [0.0, 2.0], 1.0)
        log_evidence += np.log(joint.sum())
        filtered = joint / joint.sum()
        np.testing.assert_allclose(np.exp(reference.log_predictive[step]), filtered, rtol=1e-6)
        np.testing.assert_allclose(reference.log_evidence[step], log_evidence, rtol=1e-6)
        law = filtered @ np.array(STAY)


def slope(length: int) -> None:
    weight = numpyro.sample("weight", dist.Normal(0.5, 2.0))
    with numpyro.plate("position", length):
        x = numpyro.sample("x", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(weight * x, 0.7))


def test_bins_by_quadrature_equal_an_integral():
    model = bc.GenerativeModel(slope, "y", query=("x",), length=3, edges=(-1.0, 0.5))
    choice = choose_engine(model, "quadrature")
    x, y = np.array([0.4, -1.0, 1.3]), np.array([0.9, -0.2, 0.0])
    with jax.enable_x64(True):
        reference = choice.engine({"x": jnp.array(x), "y": jnp.array(y)})

    def integral(upto: int, low: float, high: float) -> float:
        def integrand(weight: float) -> float:
            seen = stats.norm.pdf(y[:upto], weight * x[:upto], 0.7).prod()
            ends = stats.norm.cdf([low, high], weight * x[upto], 0.7)
            return stats.norm.pdf(weight, 0.5, 2.0) * seen * (ends[1] - ends[0])

        return integrate.quad(integrand, -20.0, 20.0, limit=500, epsabs=1e-13)[0]

    bounds = (-np.inf, -1.0, 0.5, np.inf)
    for position in range(3):
        law = np.array([integral(position, *bounds[k : k + 2]) for k in range(3)])
        # Beyond the certificate's error only the integrator's own, 1e-13 of a mass above 1e-3.
        tolerance = choice.error + 1e-9
        np.testing.assert_allclose(
            reference.log_predictive[position], np.log(law / law.sum()), atol=tolerance
        )


def test_long_chains_run_as_one_loop():
    model = bc.GenerativeModel(scanned, "symbol", length=60)
    recipes = [step.recipe for step in plan_steps(factored(model)).steps]
    changes = sum(a != b for a, b in pairwise(recipes))
    assert changes <= 3


def test_idle_parents_are_dropped():
    def idle() -> None:
        first = numpyro.sample("first", dist.Bernoulli(0.5))
        law = jnp.array([[0.3, 0.7], [0.3, 0.7]])[first]
        numpyro.sample("token", dist.Categorical(probs=jnp.stack([law] * 3)))

    model = bc.GenerativeModel(idle, "token")
    scopes = {f.site: f.scope for f in factor_program(model.program, model.layout).families}
    assert scopes["token"] == (3,)


def test_colours_differ_within_every_scope():
    rng = np.random.default_rng(1)
    for _ in range(50):
        sizes = rng.integers(2, 5, 12).tolist()
        scopes = [tuple(rng.choice(12, 3, replace=False).tolist()) for _ in range(10)]
        colours = colour_variables(scopes, sizes)
        assert all(len({colours[v] for v in scope}) == 3 for scope in scopes)


def test_wide_programs_are_refused_with_the_size():
    def wide() -> None:
        with numpyro.plate("row", 30):
            cause = numpyro.sample("cause", dist.Bernoulli(0.5))
        numpyro.sample("token", dist.Bernoulli(jnp.full(2, jnp.mean(cause))))

    message = raised(
        ValueError, lambda: choose_engine(bc.GenerativeModel(wide, "token"), "forward")
    )
    assert "expected tables of at most 4,194,304 entries, got 2,147,483,648" in message
    assert "30 elements of ['cause']" in message


def test_tables_that_do_not_sum_to_one_are_refused():
    class Half(dist.BernoulliProbs):
        def log_prob(self, value):
            return super().log_prob(value) - jnp.log(2.0)

    def function() -> None:
        numpyro.sample("token", Half(jnp.full(3, 0.5)))

    model = bc.GenerativeModel(function, "token")
    message = raised(ValueError, lambda: factor_program(model.program, model.layout))
    assert message.startswith("program: expected the probabilities of site 'token' to sum to one")
    assert message.endswith("got 0.5")


def test_an_impossible_sequence_is_minus_infinity_and_stays_so():
    def sure() -> None:
        which = numpyro.sample("which", dist.Categorical(probs=jnp.array([0.5, 0.5])))
        laws = jnp.array([[1.0, 0.0], [1.0, 0.0]])[which]
        numpyro.sample("token", dist.Categorical(probs=jnp.stack([laws] * 3)))

    model = bc.GenerativeModel(sure, "token")
    for engine in ("forward", "elimination"):
        found = choose_engine(model, engine).engine({"token": jnp.array([0, 1, 0])})
        np.testing.assert_array_equal(np.isneginf(found.log_evidence), [False, True, True])
        assert np.isnan(found.log_predictive[2]).all()
        np.testing.assert_allclose(np.exp(found.log_predictive[:2]), [[1, 0], [1, 0]])


def test_the_forward_engine_says_what_it_keeps():
    engine = ForwardEngine(factored(PROGRAMS["scanned"]()))
    assert "at most 2 joint values kept from step to step" in engine.reason()
    assert engine.treatment() == {"state": "summed step by step", "symbol": "asked, then shown"}
