"""A network that answers with a mixture of densities, trained from the program to the measure."""

import jax
import jax.numpy as jnp
import pytest

import bayescmp as bc
from bayescmp.models import linear_regression
from bayescmp.networks.heads import MixtureHead
from bayescmp.predictors.predictor import FixedLaw

MODEL = linear_regression(length=4, num_features=1, num_bins=8)


@pytest.fixture(scope="module")
def trained() -> bc.Fit:
    """A small network with a mixture head after 500 steps against the exact predictive."""
    config = bc.TransformerConfig(
        num_layers=1, num_heads=2, model_size=24, mlp_size=48, head=MixtureHead(3)
    )
    network = bc.build_network(config, MODEL, key=jax.random.key(0))
    training = bc.Training(num_steps=500, batch_size=32, optimiser=bc.Adam(learning_rate=1e-2))
    return bc.fit(
        network,
        MODEL,
        bc.derive_oracle(MODEL),
        key=jax.random.key(1),
        training=training,
        progress=False,
    )


def test_a_mixture_learns_the_predictive_of_a_regression(trained: bc.Fit) -> None:
    """It ends nearer to exact than half of what an answer leaves that knows nothing."""
    oracle = bc.derive_oracle(MODEL)
    blind = FixedLaw(log_law=jnp.full(8, -jnp.log(8.0)), name="uniform")
    tree = bc.compare(
        trained.network, oracle, key=jax.random.key(2), num_sequences=256, ladder=[blind]
    )
    assert float(tree["/divergence/mean_kl"][0]) < 0.5 * float(tree["/ladder/mean_kl"][0])
