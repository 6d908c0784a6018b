"""Every kind of network by the name of its configuration, and the one way to build them."""

from types import MappingProxyType

from bayescmp._types import Key
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.networks.config import AbstractNetworkConfig
from bayescmp.networks.convolution import ConvConfig
from bayescmp.networks.gru import GRUConfig
from bayescmp.networks.hypernetwork import HypernetworkConfig
from bayescmp.networks.linear_ssm import LinearSSMConfig
from bayescmp.networks.lstm import LSTMConfig
from bayescmp.networks.network import AbstractNetwork
from bayescmp.networks.ngram import NGramConfig
from bayescmp.networks.positionwise import PositionwiseConfig
from bayescmp.networks.prefix_mlp import PrefixMLPConfig
from bayescmp.networks.selective_ssm import SelectiveSSMConfig
from bayescmp.networks.shape import TaskShape
from bayescmp.networks.transformer import TransformerConfig

CONFIGS: MappingProxyType[str, type[AbstractNetworkConfig]] = MappingProxyType(
    {
        config.__name__: config
        for config in (
            TransformerConfig,
            LSTMConfig,
            GRUConfig,
            LinearSSMConfig,
            SelectiveSSMConfig,
            ConvConfig,
            PositionwiseConfig,
            PrefixMLPConfig,
            NGramConfig,
            HypernetworkConfig,
        )
    }
)
"""Every configuration class by its name, for files and command lines."""


def build_network(
    config: AbstractNetworkConfig, model: AbstractGenerativeModel, *, key: Key
) -> AbstractNetwork:
    """Build a network that reads a model's inputs and answers its questions.

    Args:
        config: Shape of the network.
        model: Generative model.
        key: Typed key.

    Returns:
        The network, with random weights.

    Raises:
        ValueError: If the two do not go together.

    Example:
        >>> config = bc.TransformerConfig(num_layers=1, model_size=8, mlp_size=16)
        >>> network = bc.build_network(config, bc.models.Bijection(4), key=jax.random.key(0))
        >>> network(jnp.array([0, 5, 1])).shape
        (3, 4)
    """
    return config.build(TaskShape.of(model), key=key)
