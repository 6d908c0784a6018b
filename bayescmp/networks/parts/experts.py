"""A mixture of experts: several feed-forward parts, and a router that weighs them."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp._types import Key
from bayescmp.networks.parts.dense import dense
from bayescmp.networks.parts.feed_forward import Activation, FeedForward, Stream


class Experts(eqx.Module):
    """``sum_e w_e(x) expert_e(x)``, with the ``k`` largest softmax weights made to sum to one.

    All experts are computed and most of them weighed by zero, which is exact and, at the
    sizes of these studies, cheaper than sending positions about. There is no loss that
    balances the load: what is trained stays the same for all networks.

    Source: Shazeer et al., arXiv 1701.06538.
    """

    router: Float[Array, "feature expert"]
    experts: FeedForward
    """All experts; every array has the expert axis in front."""
    num_active: int = eqx.field(static=True)
    """Experts that a position is sent to."""

    def __init__(
        self,
        model_size: int,
        hidden_size: int,
        *,
        num_experts: int,
        num_active: int,
        activation: Activation,
        bias: bool,
        out_scale: float,
        key: Key,
        group: int = 1,
    ) -> None:
        """Draw the weights.

        Args:
            model_size: Width of the residual stream.
            hidden_size: Width inside each expert.
            num_experts: Number of experts.
            num_active: Experts that a position is sent to.
            activation: Nonlinearity.
            bias: Whether an expert's second layer has a bias.
            out_scale: Factor on the initial second layers.
            key: Typed key.
            group: Hidden units that an activation takes together.
        """
        key_router, key_experts = jax.random.split(key)
        self.router = jax.random.normal(key_router, (model_size, num_experts)) / model_size**0.5

        def make(key: Key) -> FeedForward:
            return FeedForward(
                model_size,
                hidden_size,
                activation=activation,
                bias=bias,
                out_scale=out_scale,
                key=key,
                group=group,
            )

        self.experts = eqx.filter_vmap(make)(jax.random.split(key_experts, num_experts))
        self.num_active = num_active

    def __call__(self, x: Stream) -> Stream:
        """Transform each position by its experts."""
        answers = eqx.filter_vmap(lambda expert: expert(x))(self.experts)
        return jnp.einsum("e...f,...e->...f", answers, self.weigh(x))

    def weigh(self, x: Stream) -> Float[Array, "*sequence input_position expert"]:
        """Return the weight of each expert at each position.

        Args:
            x: Normalised residual stream.

        Returns:
            Weights that sum to one, zero for experts that a position is not sent to.
        """
        scores = dense(x, self.router)
        _, chosen = jax.lax.top_k(scores, self.num_active)
        active = jnp.any(jax.nn.one_hot(chosen, scores.shape[-1], dtype=bool), axis=-2)
        return jax.nn.softmax(jnp.where(active, scores, -jnp.inf), axis=-1)
