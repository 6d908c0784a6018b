"""Models without an exact answer, and the one line that each of them gets."""

from collections.abc import Callable

import cases
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from complaints import COIN, raised, tokens, unchecked

import bayescmp as bc
from bayescmp.exact import EnumerationEngine
from bayescmp.models import Bijection


def test_an_unknown_engine():
    with unchecked():
        message = raised(
            ValueError, lambda: bc.derive_oracle(cases.build("urns"), engine="enumerate")
        )
    assert message.startswith("engine: expected one of ('auto', ")
    assert message.endswith("got 'enumerate'")


def test_an_engine_that_does_not_apply():
    message = raised(
        ValueError, lambda: bc.derive_oracle(cases.build("urns"), engine="closed form")
    )
    assert message == "engine: urns has no closed form; use engine='auto'"
    message = raised(ValueError, lambda: bc.derive_oracle(cases.build("urns"), engine="conjugate"))
    assert message == ("engine: found no conjugate structure in urns; it has no continuous latent")


def test_a_window_of_nothing():
    model = cases.build("coin_flat")
    batch = model.batch_from_sites({"token": jnp.zeros(5, int)})
    message = raised(ValueError, lambda: bc.derive_oracle(model).windowed(batch, 0))
    assert message == "window: expected at least 1, got 0"


def test_enumeration_that_is_too_large():
    model = bc.GenerativeModel(cases.urns, outcome="token", length=15)
    message = raised(ValueError, lambda: bc.derive_oracle(model, engine="enumeration"))
    assert message == (
        "program: expected at most 1,000,000 joint settings to enumerate, got 86,093,442 "
        "(urn: 3, spoiled: 2, token: 14,348,907); use a smaller model, or one with a closed form"
    )


def test_enumeration_that_is_larger_than_any_float():
    model = bc.GenerativeModel(cases.urns, outcome="token", length=1_000)
    message = raised(ValueError, lambda: bc.derive_oracle(model, engine="enumeration"))
    assert "got 10^478 (urn: 3, spoiled: 2, token: 10^477)" in message


def test_enumeration_of_permutations_is_refused_before_they_are_listed():
    model = Bijection(size=30)
    message = raised(ValueError, lambda: EnumerationEngine(model.program, model.layout))
    assert "mapping: 10^32" in message


def enumerated(function: Callable[[], None], **options) -> str:
    model = bc.GenerativeModel(function, outcome="token", **options)
    return raised(ValueError, lambda: bc.derive_oracle(model, engine="enumeration"))


def test_latents_that_cannot_be_listed():
    def counts() -> None:
        tokens(dist.Bernoulli(probs=0.5 / (1.0 + numpyro.sample("count", dist.Poisson(2.0)))))

    def slopes() -> None:
        steep = numpyro.sample("steep", dist.Normal(0.0, 1.0))
        tokens(dist.Bernoulli(logits=numpyro.sample("slope", dist.Normal(steep, 1.0))))

    def widths() -> None:
        width = numpyro.sample("width", dist.Uniform(0.0, 1.0))
        tokens(dist.Bernoulli(probs=numpyro.sample("bias", dist.Uniform(0.0, width))))

    for function, site in ((counts, "count"), (slopes, "slope"), (widths, "bias")):
        message = enumerated(function)
        assert message.startswith(f"program: site {site!r} with support")
        assert message.endswith(
            "cannot be enumerated; expected finitely many values, or a continuous law with fixed "
            "parameters"
        )


def test_elements_with_different_values():
    def function() -> None:
        numpyro.sample("token", dist.DiscreteUniform(jnp.array([0, 1]), jnp.array([3, 3])))

    assert "expected the same values for all" in enumerated(function)


def test_continuous_queries_that_tell_of_a_latent():
    def function() -> None:
        side = numpyro.sample("side", COIN)
        numpyro.sample("x", dist.Normal(side, 1.0).expand([3]))
        tokens(dist.Bernoulli(0.2 + 0.6 * side))

    message = enumerated(function, query=("x",))
    assert message.startswith("query: expected a continuous site whose law depends on nothing")
    assert "got 'x'" in message


def test_continuous_queries_without_one_density_a_position():
    def function() -> None:
        side = numpyro.sample("side", COIN)
        x = numpyro.sample("x", dist.Normal(0.0, 1.0).expand([3]).to_event(1))
        numpyro.sample("token", dist.Bernoulli(logits=x * side))

    message = enumerated(function, query=("x",))
    assert message.startswith("query: expected a density for each of 3 positions, got shape ()")


def squared() -> None:
    bias = numpyro.sample("bias", dist.Beta(2.0, 2.0))
    tokens(dist.Bernoulli(probs=bias**2))


def test_quadrature_states_its_error():
    model = bc.GenerativeModel(squared, outcome="token")
    certificate = bc.derive_oracle(model).certificate
    assert (certificate.engine, certificate.exact) == ("quadrature", False)
    # The likelihood is a polynomial in the bias of degree 6, which 64 nodes integrate exactly.
    assert 0.0 < certificate.error < 1e-12
    assert "within" in str(certificate)


def test_a_continuous_latent_is_not_enumerated():
    model = bc.GenerativeModel(squared, outcome="token")
    message = raised(ValueError, lambda: bc.derive_oracle(model, engine="enumeration"))
    assert "engine='quadrature' puts nodes in its place and states the error" in message


def test_inexact_oracles_are_not_made_unasked():
    def function() -> None:
        weights = numpyro.sample("weights", dist.Normal(0.0, 1.0).expand([5]).to_event(1))
        tokens(dist.Bernoulli(logits=jnp.sum(weights) * jnp.arange(3.0)))

    message = raised(
        ValueError, lambda: bc.derive_oracle(bc.GenerativeModel(function, outcome="token"))
    )
    assert message.startswith("model: no exact engine for function: ")
    assert "'weights'" in message
