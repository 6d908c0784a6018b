"""Networks that are compared with exact inference."""

from bayescmp.networks.config import TransformerConfig as TransformerConfig
from bayescmp.networks.interventions import Interventions as Interventions
from bayescmp.networks.network import AbstractNetwork as AbstractNetwork
from bayescmp.networks.network import AbstractTracedNetwork as AbstractTracedNetwork
from bayescmp.networks.network import NetworkLike as NetworkLike
from bayescmp.networks.network import check_answers as check_answers
from bayescmp.networks.network import count_parameters as count_parameters
from bayescmp.networks.network import logits_at as logits_at
from bayescmp.networks.transformer import Transformer as Transformer
