"""In half precision every network computes in half precision, sums and scans excepted."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from network_cases import CONTRACT, build_small, small_vectors, takes_vectors
from small_networks import MAX_LENGTH, small_tokens

from bayescmp.networks.parts.kernels import causal_mask, weigh
from bayescmp.networks.parts.norms import LayerNorm, RMSNorm
from bayescmp.training.precision import lower

EVERY_CASE = pytest.mark.parametrize("name", CONTRACT)


@EVERY_CASE
def test_no_part_of_a_network_raises_the_precision_again(name: str):
    network = build_small(*CONTRACT[name])
    params, static = eqx.partition(network, eqx.is_inexact_array)

    def halved(inputs: jax.Array) -> jax.Array:
        return eqx.combine(lower(params, "mixed"), static)(lower(inputs, "mixed"))

    inputs = [small_tokens(2, MAX_LENGTH)]
    if takes_vectors(name):
        inputs.append(small_vectors(2, MAX_LENGTH))
    for each in inputs:
        assert jax.eval_shape(halved, each).dtype == jnp.bfloat16


@pytest.mark.parametrize("norm", [RMSNorm(512), LayerNorm(512)])
def test_norms_add_up_in_single_precision(norm: RMSNorm | LayerNorm):
    x = jnp.asarray(np.random.default_rng(0).normal(3.0, 1.0, (4, 512)), jnp.bfloat16)
    exact = norm(x.astype(jnp.float32))
    # Three roundings of 2^-9 each: the factor, the product with it, and that with the scale.
    # Half precision throughout would lose the mean of 512 numbers altogether.
    found = lower(norm, "mixed")(x).astype(jnp.float32)
    np.testing.assert_allclose(found, exact, rtol=4 * 2.0**-9, atol=1e-2)


def test_a_softmax_in_half_precision_still_sums_to_one():
    scores = jnp.asarray(np.random.default_rng(0).normal(0.0, 0.1, (1, 300, 300)), jnp.bfloat16)
    weights = weigh("softmax", scores, causal_mask(300, None))
    assert weights.dtype == jnp.bfloat16
    # 300 weights, each rounded by at most 2^-9 of itself, and to either side.
    np.testing.assert_allclose(weights.astype(jnp.float32).sum(-1), 1.0, atol=2.0**-9)
