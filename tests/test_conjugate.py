"""Recognising a Beta-Bernoulli model on its trace: when it must fire, and when it must not."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers
from numpyro.contrib.control_flow import scan

import bayescmp as bc
from bayescmp.exact.conjugacy.conjugate import (
    BetaBernoulliEngine,
    explain_conjugate,
    find_beta_bernoulli,
    find_conjugate,
)
from bayescmp.exact.enumeration import EnumerationEngine

LENGTH = 4


def in_a_plate() -> None:
    bias = numpyro.sample("bias", dist.Beta(2.0, 3.0))
    with numpyro.plate("position", LENGTH):
        numpyro.sample("token", dist.Bernoulli(probs=bias))


def as_one_event() -> None:
    bias = numpyro.sample("bias", dist.Beta(2.0, 3.0))
    numpyro.sample("token", dist.Bernoulli(probs=bias).expand([LENGTH]).to_event(1))


def as_a_vector() -> None:
    bias = numpyro.sample("bias", dist.Beta(2.0, 3.0))
    numpyro.sample("token", dist.Bernoulli(probs=jnp.full(LENGTH, bias)))


def with_log_odds() -> None:
    bias = numpyro.sample("bias", dist.Beta(2.0, 3.0))
    with numpyro.plate("position", LENGTH):
        numpyro.sample("token", dist.Bernoulli(logits=jnp.log(bias) - jnp.log1p(-bias)))


def in_a_scan() -> None:
    bias = numpyro.sample("bias", dist.Beta(2.0, 3.0))

    def step(carry: None, _: None) -> tuple[None, None]:
        numpyro.sample("token", dist.Bernoulli(probs=bias))
        return carry, None

    scan(step, None, None, length=LENGTH)


def with_something_deterministic() -> None:
    bias = numpyro.sample("bias", dist.Beta(2.0, 3.0))
    numpyro.deterministic("odds", bias / (1.0 - bias))
    with numpyro.plate("position", LENGTH):
        numpyro.sample("token", dist.Bernoulli(probs=bias))


@pytest.mark.parametrize(
    "function",
    [
        in_a_plate,
        as_one_event,
        as_a_vector,
        with_log_odds,
        in_a_scan,
        with_something_deterministic,
    ],
)
def test_it_fires(function: Callable[[], None]):
    model = bc.GenerativeModel(function, outcome="token")
    engine = find_beta_bernoulli(model.program, model.layout)
    assert engine == BetaBernoulliEngine(
        concentration1=2.0, concentration0=3.0, bias_site="bias", outcome_site="token"
    )


def test_the_general_search_takes_the_short_way_for_a_coin():
    model = bc.GenerativeModel(in_a_plate, outcome="token")
    engine = find_conjugate(model.program, model.layout)
    assert engine == find_beta_bernoulli(model.program, model.layout)
    assert explain_conjugate(model.program, model.layout) is None


def test_a_uniform_bias_is_a_beta_bias():
    def function() -> None:
        bias = numpyro.sample("bias", dist.Uniform(0.0, 1.0))
        with numpyro.plate("position", LENGTH):
            numpyro.sample("token", dist.Bernoulli(probs=bias))

    model = bc.GenerativeModel(function, outcome="token")
    engine = find_beta_bernoulli(model.program, model.layout)
    assert engine is not None
    assert (engine.concentration1, engine.concentration0) == (1.0, 1.0)
    assert bc.certify(model, num_sequences=8).passed


def tosses(probs: jax.Array) -> None:
    with numpyro.plate("position", LENGTH):
        numpyro.sample("token", dist.Bernoulli(probs=probs))


def squared() -> None:
    tosses(numpyro.sample("bias", dist.Beta(2.0, 3.0)) ** 2)


def flipped() -> None:
    tosses(1.0 - numpyro.sample("bias", dist.Beta(2.0, 3.0)))


def clipped() -> None:
    tosses(jnp.clip(numpyro.sample("bias", dist.Beta(2.0, 3.0)), 1e-6, 1.0 - 1e-6))


def clipped_above() -> None:
    tosses(jnp.minimum(numpyro.sample("bias", dist.Beta(2.0, 3.0)), 0.95))


def two_latents() -> None:
    lapse = numpyro.sample("lapse", dist.Bernoulli(0.1))
    bias = numpyro.sample("bias", dist.Beta(2.0, 3.0))
    tosses(jnp.where(lapse == 1, bias, bias))


def one_position_differs() -> None:
    bias = numpyro.sample("bias", dist.Beta(2.0, 3.0))
    tosses(jnp.where(jnp.arange(LENGTH) == 2, 0.5, bias))


def two_biases() -> None:
    numpyro.sample("bias", dist.Beta(2.0, 3.0).expand([2]))
    tosses(jnp.asarray(0.5))


def another_prior() -> None:
    tosses(numpyro.sample("bias", dist.Uniform(0.0, 0.5)))


def of_three_kinds() -> None:
    bias = numpyro.sample("bias", dist.Beta(2.0, 3.0))
    with numpyro.plate("position", LENGTH):
        numpyro.sample("token", dist.Categorical(probs=jnp.stack([1.0 - bias, bias])))


def after_a_one_then_a_zero() -> None:
    """Differs from the coin after mixed outcomes alone, never after equal ones."""
    bias = numpyro.sample("bias", dist.Beta(2.0, 3.0))

    def step(last_two: jax.Array, _: None) -> tuple[jax.Array, None]:
        mixed = (last_two[0] == 1) & (last_two[1] == 0)
        token = numpyro.sample("token", dist.Bernoulli(probs=jnp.where(mixed, 0.5, bias)))
        return jnp.stack([last_two[1], token]), None

    scan(step, jnp.zeros(2, int), None, length=LENGTH)


@pytest.mark.parametrize(
    "function",
    [
        squared,
        flipped,
        clipped,
        clipped_above,
        two_latents,
        one_position_differs,
        two_biases,
        another_prior,
        of_three_kinds,
        after_a_one_then_a_zero,
    ],
)
def test_it_stays_silent(function: Callable[[], None]):
    model = bc.GenerativeModel(function, outcome="token")
    assert find_beta_bernoulli(model.program, model.layout) is None
    if function not in TAKEN_BY_COUNTS:
        with pytest.raises(ValueError, match="engine: found no conjugate structure in"):
            bc.derive_oracle(model, engine="conjugate")


TAKEN_BY_COUNTS = (
    flipped,
    two_latents,
    one_position_differs,
    two_biases,
    of_three_kinds,
    after_a_one_then_a_zero,
)
"""Programs that are no plain coin and yet count: the general search finds them."""


@pytest.mark.parametrize("function", TAKEN_BY_COUNTS)
def test_the_general_search_is_right_where_it_fires(function: Callable[[], None]):
    model = bc.GenerativeModel(function, outcome="token")
    oracle = bc.derive_oracle(model, engine="conjugate")
    judge = EnumerationEngine(model.program, model.layout)
    with jax.enable_x64(True):
        sites = model.engine_sites(model.sample(16, key=jax.random.key(0)))
        found, expected = (jax.jit(jax.vmap(e))(sites) for e in (oracle.engine, judge))
    # The judge's 64 nodes are exact for these polynomials; both round some 1,000 times.
    np.testing.assert_allclose(found.log_predictive, expected.log_predictive, atol=1e-10)
    np.testing.assert_allclose(found.log_evidence, expected.log_evidence, atol=1e-10)


def masked() -> None:
    with handlers.mask(mask=jnp.arange(LENGTH) < 2):
        in_a_plate()


def masked_below_the_plate() -> None:
    bias = numpyro.sample("bias", dist.Beta(2.0, 3.0))
    law = dist.Bernoulli(probs=bias).expand([LENGTH]).mask(jnp.arange(LENGTH) < 2)
    numpyro.sample("token", law.to_event(1))


def scaled() -> None:
    with handlers.scale(scale=0.5):
        in_a_plate()


def subsampled() -> None:
    bias = numpyro.sample("bias", dist.Beta(2.0, 3.0))
    with numpyro.plate("position", 2 * LENGTH, subsample_size=LENGTH):
        numpyro.sample("token", dist.Bernoulli(probs=bias))


def with_a_factor() -> None:
    in_a_plate()
    numpyro.factor("bonus", 1.0)


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        (masked, "is masked"),
        (masked_below_the_plate, "is masked"),
        (scaled, "is scaled"),
        (subsampled, "is scaled"),
        (with_a_factor, "site 'bonus' is observed inside the program"),
    ],
)
def test_programs_whose_draws_do_not_follow_their_density_are_refused(function, complaint):
    with pytest.raises(ValueError, match=complaint):
        bc.GenerativeModel(function, outcome="token")


def test_shown_or_hidden_otherwise_it_stays_silent():
    def coin(length: int) -> None:
        bias = numpyro.sample("bias", dist.Beta(2.0, 3.0))
        with numpyro.plate("position", length):
            numpyro.sample("token", dist.Bernoulli(probs=bias))

    told = bc.GenerativeModel(coin, outcome="token", given=("bias",), length=2)
    assert find_beta_bernoulli(told.program, told.layout) is None
    law = np.exp(bc.derive_oracle(told)(told.batch_from_sites(TOLD)).log_predictive)
    np.testing.assert_allclose(law, [[0.7, 0.3], [0.7, 0.3]], rtol=1e-5)


TOLD = {"bias": jnp.array(0.3), "token": jnp.array([1, 0])}


def test_the_belief_counts_heads_and_tails():
    model = bc.GenerativeModel(in_a_plate, outcome="token")
    reference = bc.derive_oracle(model)(model.batch_from_sites({"token": jnp.array([1, 0, 1, 1])}))
    np.testing.assert_array_equal(
        reference.belief["bias"], [[2.0, 3.0], [3.0, 3.0], [3.0, 4.0], [4.0, 4.0]]
    )
    np.testing.assert_allclose(
        np.exp(reference.log_predictive)[:, 1], [2 / 5, 3 / 6, 3 / 7, 4 / 8], rtol=1e-6
    )
