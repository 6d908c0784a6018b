"""The small immutable records that one stage hands to the next.

Every array carries any number of leading ``sequence`` axes, none for one example.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp._types import Inputs, Outcomes, PerPosition, Supervised


class Batch(eqx.Module):
    """Sequences drawn from a generative model, as a network and an oracle see them.

    Example:
        >>> batch = bc.models.beta_bernoulli(length=4).sample(8, key=jax.random.key(0))
        >>> batch.outcomes.shape, batch.latents["bias"].shape
        ((8, 4), (8,))
    """

    inputs: Inputs
    """What the network reads."""
    outcomes: Outcomes
    """Values of the asked site, as indices ``0 .. num_outcomes - 1``."""
    supervised: Supervised
    """True where the question counts for losses and measures."""
    shown: dict[str, Array]
    """Values of the sites that are given in the prompt or accompany a question."""
    latents: dict[str, Array]
    """The rest of the trace, never shown: for probes, calibration and counterfactuals."""


class Reference(eqx.Module):
    """The exact answer for each question of a sequence.

    ``s_t`` is all that has been shown when question ``t`` is asked, ``y_t`` the
    asked outcome, ``z`` a latent site.

    Example:
        >>> model = bc.models.beta_bernoulli(length=4)
        >>> batch = model.batch_from_sites({"token": jnp.array([1, 1, 1, 1])})
        >>> np.exp(bc.derive_oracle(model)(batch).log_predictive[:, 1]).round(3)
        array([0.5  , 0.667, 0.75 , 0.8  ], dtype=float32)
    """

    log_predictive: Float[Array, "*sequence position outcome"]
    """``log p(y_t = outcome | s_t)``, in nats."""
    log_evidence: PerPosition
    """``log p(all shown by the end of step t | what the prompt gives)``, in nats.

    The end of step ``t`` includes the revealed outcome, where outcomes are revealed.
    """
    belief: dict[str, Array]
    """Per latent site ``p(z | s_t)``: probabilities, or parameters of a conjugate law.

    The axis ``position`` comes first (after batch axes); the engine says what follows.
    """

    @property
    def entropy(self) -> PerPosition:
        """Entropy of ``p(y_t | s_t)`` in nats, with ``0 log 0 = 0``."""
        log_p = self.log_predictive
        finite = jnp.where(jnp.isneginf(log_p), 0.0, log_p)
        return -jnp.sum(jnp.exp(log_p) * finite, axis=-1)


class LayerTrace(eqx.Module):
    """Everything a network with a residual stream computes on one sequence.

    The layer axis comes first; a loop's passes through a block are layers of their own.

    Traced for a batch in one call, the ``sequence`` axes follow the layer axis.

    Example:
        >>> model = bc.models.beta_bernoulli(length=4)
        >>> network = bc.Transformer.for_model(model, key=jax.random.key(0))
        >>> trace = network.trace_layers(jnp.array([0, 2, 2]))
        >>> trace.attn_pattern[0, 0, 0]  # the first input can only attend to itself
        Array([1., 0., 0.], dtype=float32)
    """

    resid_pre: Float[Array, "layer *sequence input_position feature"]
    """Residual stream that enters block ``layer``."""
    mixer_out: Float[Array, "layer *sequence input_position feature"]
    """What the block's mixer of positions adds to the stream, its attention for instance."""
    resid_mid: Float[Array, "layer *sequence input_position feature"]
    """Residual stream between mixer and feed-forward part."""
    mlp_out: Float[Array, "layer *sequence input_position feature"]
    """What the block's feed-forward part adds to the stream."""
    resid_post: Float[Array, "layer *sequence input_position feature"]
    """Residual stream that leaves block ``layer``."""
    attn_pattern: Float[Array, "layer *sequence head input_position source_position"] | None
    """Attention weights; with a softmax kernel each row sums to one over its past.

    None, like queries, keys and values, where a network does not attend."""
    queries: Float[Array, "layer *sequence head input_position head_feature"] | None
    """Queries, after rotation where positions are rotary."""
    keys: Float[Array, "layer *sequence source_head input_position head_feature"] | None
    """Keys, after rotation where positions are rotary; fewer where heads share them."""
    values: Float[Array, "layer *sequence source_head input_position head_feature"] | None
    """Values; fewer where heads share them."""
    logits: Float[Array, "*sequence input_position outcome"]
    """Unnormalised log probabilities over the outcomes."""

    @property
    def residuals(self) -> Float[Array, "stream *sequence input_position feature"]:
        """All residual streams: the embedding first, then one after each block."""
        return jnp.concatenate([self.resid_pre[:1], self.resid_post])
