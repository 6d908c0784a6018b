"""The law of a continuous outcome that a network answers with."""

import equinox as eqx

from bayescmp._types import Inputs
from bayescmp.networks.heads import AbstractDensity
from bayescmp.networks.residual import AbstractResidualNetwork


def density_of(network: AbstractResidualNetwork, inputs: Inputs) -> AbstractDensity:
    """Return the density that a network gives at each input position.

    Args:
        network: Network with a residual stream, for a model with a continuous outcome.
        inputs: Tokens or vectors of one sequence; leading axes are sequences.

    Returns:
        One law for each input position.

    Raises:
        ValueError: If the model's outcome has no bins.

    Example:
        >>> model = bc.models.linear_regression(num_features=1, length=3)
        >>> config = bc.TransformerConfig(num_layers=1, head=bc.networks.MixtureHead(2))
        >>> network = bc.build_network(config, model, key=jax.random.key(0))
        >>> batch = model.sample(7, key=jax.random.key(1))
        >>> density_of(network, batch.inputs).mean.shape
        (7, 5)
    """
    return _density(network, inputs)


@eqx.filter_jit
def _density(network: AbstractResidualNetwork, inputs: Inputs) -> AbstractDensity:
    stream = network.trace_layers(inputs).resid_post[-1]
    return network.config.head.density(network.outputs(stream), network.shape)
