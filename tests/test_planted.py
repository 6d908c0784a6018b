"""The planted networks are what they say: tests of instruments stand on them."""

import jax
import jax.numpy as jnp
import numpy as np
import planted
import pytest

import bayescmp as bc


@pytest.mark.parametrize(("layer", "head"), [(0, 1), (1, 2)])
def test_the_planted_head_carries_the_posterior(layer: int, head: int) -> None:
    """The answer is exact but for the interpolated logarithm.

    Between two points whose ratio is ``r = 8^(1/31)`` the chord lies below the logarithm by at
    most ``(log r)^2 / 8 = 5.6e-4``, and normalising at most doubles that.
    """
    oracle = bc.derive_oracle(planted.MODEL)
    recording = bc.inspection.record(
        planted.planted_network(layer, head), oracle, key=jax.random.key(0)
    )
    assert recording.is_exhaustive
    np.testing.assert_allclose(recording.log_q, recording.evaluation.log_p, atol=1.2e-3)
    # The stream carries the exact predictive from the planted mixer on, and nothing before it.
    exact = np.exp(recording.evaluation.log_p)
    carried = recording.streams[..., planted.ANSWER]
    place = recording.stream_names.index(f"mixer {layer + 1}")
    np.testing.assert_allclose(
        carried[place:], np.broadcast_to(exact, carried[place:].shape), atol=1e-6
    )
    assert not carried[:place].any()


def test_without_its_head_the_planted_network_knows_nothing_of_the_tosses() -> None:
    network = planted.planted_network(1, 0)
    inputs = planted.MODEL.sample(16, key=jax.random.key(0)).inputs
    silenced = network(inputs, network.no_interventions.without_head(1, 0))
    np.testing.assert_array_equal(silenced, jnp.broadcast_to(silenced[:1], silenced.shape))


def test_the_deaf_network_ignores_its_context() -> None:
    network = planted.deaf_network(0)
    inputs = planted.MODEL.sample(2, key=jax.random.key(0)).inputs
    same_last = inputs.at[:, -1].set(inputs[0, -1])
    answers = network(same_last)[:, -1]
    np.testing.assert_array_equal(answers[0], answers[1])
