"""The heads that give laws over outcomes, and densities where outcomes are continuous."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from complaints import raised, unchecked
from scipy import special
from small_networks import random_like

from bayescmp.models.binning import normal_edges
from bayescmp.networks import FiniteHead, TaskShape, Transformer, TransformerConfig
from bayescmp.networks.density import density_of
from bayescmp.networks.heads import BinnedDensity, MixtureDensity, MixtureHead

EDGES = (-1.5, -0.2, 0.0, 2.0)
TASK = TaskShape(input_size=3, num_outcomes=5, max_length=4, edges=EDGES)
SMALL = {"num_layers": 1, "num_heads": 1, "model_size": 4, "mlp_size": 4}


@pytest.fixture(autouse=True)
def _double_precision():
    with jax.enable_x64(True):
        yield


def network_with(head, shape: TaskShape = TASK) -> Transformer:
    config = TransformerConfig(head=head, **SMALL)
    shapes = eqx.filter_eval_shape(config.build, shape, key=jax.random.key(0))
    return random_like(shapes, np.random.default_rng(0), np.float64)


@pytest.mark.parametrize("head", [FiniteHead(), MixtureHead(3), MixtureHead(2, "logistic")])
def test_logits_are_the_bins_of_the_density(head):
    network = network_with(head)
    vectors = jnp.asarray(np.random.default_rng(1).normal(size=(2, 4, 3)))
    logits = eqx.filter_jit(network)(vectors)
    assert logits.shape == (2, 4, 5)
    density = density_of(network, vectors)
    assert density.mean.shape == (2, 4)
    bins = eqx.filter_jit(lambda law: law.bin_log_probs(jnp.asarray(EDGES)))(density)
    np.testing.assert_allclose(special.log_softmax(logits, axis=-1), bins, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(np.exp(bins).sum(-1), 1.0, rtol=1e-12)


def test_a_mixture_begins_spread_over_the_range_of_the_edges():
    law = MixtureHead(4).density(jnp.zeros(12), TaskShape(1, 3, 1, edges=(-2.0, 6.0)))
    np.testing.assert_allclose(jnp.exp(law.log_weights), 0.25)
    np.testing.assert_allclose(law.locations, [-1.0, 1.0, 3.0, 5.0])
    np.testing.assert_allclose(jnp.exp(law.log_scales), 2.0)


def test_a_mixture_can_say_what_the_oracle_says():
    edges = normal_edges(16, variance=1.5)  # bins that are equally likely under the law
    shape = TaskShape(input_size=1, num_outcomes=16, max_length=1, edges=edges)
    scale = math.sqrt(1.5) / ((edges[-1] - edges[0]) / 2)  # in units of the components' distance
    outputs = jnp.array([0.0, 0.0, 0.5, -0.5, math.log(scale), math.log(scale)])
    logits = jax.jit(lambda outputs: MixtureHead(2).logits(outputs, shape))(outputs)
    np.testing.assert_allclose(logits, -math.log(16), rtol=1e-10)  # middles moved to zero


@pytest.mark.parametrize(("edges", "count"), [((), 3), ((0.5,), 2)])
def test_a_mixture_is_refused_where_nothing_tells_its_range(edges: tuple, count: int):
    shape = TaskShape(input_size=3, num_outcomes=count, max_length=4, edges=edges)
    config = TransformerConfig(head=MixtureHead(), **SMALL)
    message = raised(ValueError, lambda: config.build(shape, key=jax.random.key(0)))
    assert message == (
        "head: expected a model with two or more edges of a continuous outcome for MixtureHead, "
        f"got {count} outcomes and {len(edges)} edges; use FiniteHead"
    )


def test_other_mistakes_are_refused_in_one_line():
    bare = TaskShape(input_size=3, num_outcomes=5, max_length=4)
    for complaint, wrong in (
        ("num_components: expected at least 1, got 0", lambda: MixtureHead(0)),
        (
            "family: expected 'normal' or 'logistic', got 'cauchy'",
            lambda: MixtureHead(2, "cauchy"),
        ),
        (
            "shape: expected a model with edges of a continuous outcome, got one with 5 outcomes "
            "and no edges",
            lambda: FiniteHead().density(jnp.zeros(5), bare),
        ),
        (
            "edges: expected two or more, whose distance tells how far the outer bins reach, got 1",
            lambda: BinnedDensity(jnp.zeros(1), jnp.zeros(2)),
        ),
        (
            "log_probs: expected 3 bins between 2 edges, got 2",
            lambda: BinnedDensity(jnp.arange(2.0), jnp.zeros(2)),
        ),
        (
            "log_weights, locations, log_scales: expected one shape, got ((2,), (3,), (2,))",
            lambda: MixtureDensity(jnp.zeros(2), jnp.zeros(3), jnp.zeros(2)),
        ),
    ):
        with unchecked():
            assert raised(ValueError, wrong) == complaint
