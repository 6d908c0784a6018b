"""The two objectives: values at known points, and the same expected gradient."""

import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_networks import CONFIGS, Table, random_like, transformer_for

import bayescmp as bc
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.models import Bijection, beta_bernoulli
from bayescmp.networks import NetworkLike
from bayescmp.training.objectives import BatchLosses, ObjectiveName, batch_losses

LENGTH = 3
"""Tosses of the coin."""


def every_coin_sequence() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """All tosses with their probabilities under a uniform bias: k! (n - k)! / (n + 1)!."""
    tosses = np.array(list(itertools.product([0, 1], repeat=LENGTH)))
    heads = tosses.sum(axis=1)
    weights = [
        math.factorial(k) * math.factorial(LENGTH - k) / math.factorial(LENGTH + 1) for k in heads
    ]
    return {"token": tosses}, np.array(weights)


def every_bijection_sequence() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Two of three keys in any order, with the values of every permutation."""
    pairs = [
        (keys, [mapping[key] for key in keys])
        for mapping in itertools.permutations(range(3))
        for keys in itertools.permutations(range(3), 2)
    ]
    sites = {"key": np.array([k for k, _ in pairs]), "value": np.array([v for _, v in pairs])}
    return sites, np.full(len(pairs), 1.0 / len(pairs))


CASES = {
    "coin": (beta_bernoulli(LENGTH), every_coin_sequence),
    "bijection": (Bijection(3), every_bijection_sequence),
}
EVERY_CASE = pytest.mark.parametrize(("model", "enumerate_all"), CASES.values(), ids=CASES)


def batch_of(model: AbstractGenerativeModel, **sites) -> bc.Batch:
    """Make a batch from values of sites."""
    return model.batch_from_sites({name: jnp.asarray(value) for name, value in sites.items()})


def losses_of(
    network: NetworkLike, model: AbstractGenerativeModel, objective: ObjectiveName, batch: bc.Batch
) -> BatchLosses:
    return batch_losses(network, model, bc.derive_oracle(model), objective, batch)


@EVERY_CASE
def test_both_objectives_have_the_same_expected_gradient(
    model: AbstractGenerativeModel, enumerate_all
):
    sites, weights = enumerate_all()
    assert weights.sum() == pytest.approx(1.0)
    oracle = bc.derive_oracle(model)
    with jax.enable_x64(True):
        shapes = transformer_for(model, CONFIGS["learned positions"])
        network = random_like(shapes, np.random.default_rng(0), np.float64)
        batch = batch_of(model, **sites)

        @jax.jit
        def gradients(objective_is_exact: jax.Array):
            """Return the expectation of the gradient over all sequences, by summing them."""

            def expected(network: NetworkLike) -> jax.Array:
                def one(sequence: bc.Batch, weight: jax.Array) -> jax.Array:
                    single = jax.tree.map(lambda leaf: leaf[None], sequence)
                    sampled, exact = (
                        batch_losses(network, model, oracle, objective, single).loss
                        for objective in ("sampled", "rao_blackwell")
                    )
                    return weight * jnp.where(objective_is_exact, exact, sampled)

                return jnp.sum(jax.vmap(one)(batch, jnp.asarray(weights)))

            return expected(network), jax.grad(expected)(network)

        (sampled, of_sampled), (exact, of_exact) = gradients(jnp.bool(0)), gradients(jnp.bool(1))
        # In expectation the losses agree too, and both in float64 up to some tens of roundings.
        np.testing.assert_allclose(sampled, exact, rtol=1e-12)
        scale = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(of_exact))
        for left, right in zip(jax.tree.leaves(of_sampled), jax.tree.leaves(of_exact), strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-10, atol=1e-13 * scale)
        assert scale > 1e-3


def test_on_one_sequence_the_objectives_differ():
    model = beta_bernoulli(LENGTH)
    batch = batch_of(model, token=[[1, 1, 0]])
    network = Table(jnp.array([[0.0, 1.0], [0.5, -0.5], [0.2, 0.3]]))
    sampled = losses_of(network, model, "sampled", batch)
    exact = losses_of(network, model, "rao_blackwell", batch)
    assert abs(float(sampled.loss - exact.loss)) > 0.1
    np.testing.assert_array_equal(sampled.excess, exact.excess)


# --------------------------------------------------------------- known values


def test_the_uniform_answer_loses_the_log_of_the_number_of_outcomes():
    model = Bijection(3)
    batch = batch_of(model, key=[[0, 1], [2, 0]], value=[[1, 2], [0, 1]])
    network = Table.zeros(model)
    # The first value may be any of three, the second any of two.
    floor = 2 * (np.log(3.0) + np.log(2.0))
    for objective in ("sampled", "rao_blackwell"):
        losses = losses_of(network, model, objective, batch)
        np.testing.assert_allclose(losses.loss, 4 * np.log(3.0), rtol=1e-6)
        np.testing.assert_allclose(losses.excess, 4 * np.log(3.0) - floor, rtol=1e-6)
        assert losses.weight == 4


def test_the_exact_answer_has_no_excess_and_loses_the_entropy():
    model = beta_bernoulli(LENGTH)
    sites, _ = every_coin_sequence()

    def laplace(tokens: jax.Array) -> jax.Array:
        """Laplace's rule of succession; tokens are the start, 0, then 1 and 2 for 0 and 1."""
        ones, seen = jnp.cumsum(tokens == 2), jnp.arange(LENGTH)
        p = (1.0 + ones) / (2.0 + seen)
        return jnp.log(jnp.stack([1.0 - p, p], axis=-1))

    offset = model.layout.outcome_token
    assert offset == 1
    losses = losses_of(laplace, model, "rao_blackwell", batch_of(model, **sites))
    p = np.array([(1.0 + k) / (2.0 + t) for t in range(LENGTH) for k in range(t + 1)])
    times = [2**LENGTH * math.comb(t, k) / 2**t for t in range(LENGTH) for k in range(t + 1)]
    entropy = np.sum(times * -(p * np.log(p) + (1 - p) * np.log(1 - p)))
    np.testing.assert_allclose(losses.loss, entropy, rtol=1e-5)
    np.testing.assert_allclose(losses.excess, 0.0, atol=1e-5)


def test_a_network_may_exclude_impossible_outcomes():
    # Minus infinity where the exact law is zero as well costs nothing and breaks nothing.
    model = Bijection(3)
    batch = batch_of(model, key=[[0, 1]], value=[[2, 0]])

    def after_pair(scale: jax.Array) -> NetworkLike:
        excluded = jnp.array([0.0, 0.0, -jnp.inf])  # the value 2 is used up

        def network(tokens: jax.Array) -> jax.Array:
            logits = jnp.zeros((3, 3)).at[2].set(excluded)
            return logits + scale * jnp.array([0.0, 1.0, 0.0])

        return network

    losses = losses_of(after_pair(jnp.zeros(())), model, "rao_blackwell", batch)
    np.testing.assert_allclose(losses.loss, np.log(3.0) + np.log(2.0), rtol=1e-6)
    gradient = jax.grad(
        lambda scale: losses_of(after_pair(scale), model, "rao_blackwell", batch).loss
    )(jnp.ones(()))
    assert jnp.isfinite(gradient)


def test_questions_that_do_not_count_are_left_out():
    model = beta_bernoulli(LENGTH)
    batch = batch_of(model, token=[[1, 1, 0], [0, 1, 1]])
    network = Table(jnp.array([[0.0, 1.0], [0.5, -0.5], [0.2, 0.3]]))
    mask = jnp.array([[True, False, False], [False, False, True]])
    masked = eqx.tree_at(lambda b: b.supervised, batch, mask)
    for objective in ("sampled", "rao_blackwell"):
        parts = []
        for sequence, position in ((0, 0), (1, 2)):
            only = jnp.zeros((2, 3), bool).at[sequence, position].set(True)
            single = eqx.tree_at(lambda b: b.supervised, batch, only)
            parts.append(losses_of(network, model, objective, single))
        whole = losses_of(network, model, objective, masked)
        np.testing.assert_allclose(whole.loss, parts[0].loss + parts[1].loss, rtol=1e-6)
        np.testing.assert_allclose(whole.excess, parts[0].excess + parts[1].excess, rtol=1e-5)
        assert whole.weight == 2


def test_without_an_oracle_the_excess_is_unknown():
    model = beta_bernoulli(LENGTH)
    batch = batch_of(model, token=[[1, 1, 0]])
    losses = batch_losses(Table.zeros(model), model, None, "sampled", batch)
    np.testing.assert_allclose(losses.loss, 3 * np.log(2.0), rtol=1e-6)
    assert jnp.isnan(losses.excess)
