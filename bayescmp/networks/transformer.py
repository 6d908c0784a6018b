"""The transformer: a causal pre-norm stack that can show its inside."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp._types import Inputs, Key
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.networks.attention import Attention
from bayescmp.networks.block import Block, BlockScales, FeedForward, RMSNorm
from bayescmp.networks.config import TransformerConfig
from bayescmp.networks.dense import dense
from bayescmp.networks.interventions import Interventions
from bayescmp.networks.network import AbstractTracedNetwork
from bayescmp.records import LayerTrace


class Transformer(AbstractTracedNetwork):
    """A causal transformer from the inputs of one sequence to logits at each position."""

    embedding: Float[Array, "input_size feature"]
    """Rows for tokens, or a linear map where inputs are vectors."""
    position_embedding: Float[Array, "input_position feature"] | None
    blocks: Block
    """All blocks; every array has the layer axis in front."""
    final_norm: RMSNorm
    unembedding: Float[Array, "feature outcome"] | None
    """Read-out; None where it is tied to the embedding."""
    config: TransformerConfig = eqx.field(static=True)
    outcome_tokens: tuple[int, int] = eqx.field(static=True)
    """First and last-plus-one token of the outcomes, for a tied read-out."""
    max_length: int = eqx.field(static=True)

    def __init__(
        self,
        config: TransformerConfig,
        *,
        input_size: int,
        num_outcomes: int,
        max_length: int,
        outcome_offset: int | None = None,
        key: Key,
    ) -> None:
        """Draw the weights.

        Args:
            config: Shape of the network.
            input_size: Size of the vocabulary, or of an input vector.
            num_outcomes: Number of outcomes.
            max_length: Number of input positions; the most that learned positions reach.
            outcome_offset: Token of the first outcome; only a tied read-out needs it.
            key: Typed key.

        Raises:
            ValueError: If a tied read-out is asked for and outcomes are no tokens.
        """
        if config.tied and outcome_offset is None:
            raise ValueError(
                "tied: expected outcomes that are among the input tokens, got a model whose "
                "outcomes are never shown as tokens; use tied=False"
            )
        keys = jax.random.split(key, 4)
        width = config.model_size
        self.embedding = 0.5 * jax.random.normal(keys[0], (input_size, width))
        self.position_embedding = (
            0.5 * jax.random.normal(keys[1], (max_length, width))
            if config.positions == "learned"
            else None
        )
        layer_keys = jax.random.split(keys[2], config.num_layers)
        self.blocks = eqx.filter_vmap(lambda k: _make_block(config, key=k))(layer_keys)
        self.final_norm = RMSNorm(width)
        self.unembedding = (
            None
            if config.tied
            else jax.random.normal(keys[3], (width, num_outcomes)) / jnp.sqrt(width)
        )
        self.config = config
        first = outcome_offset or 0
        self.outcome_tokens = (first, first + num_outcomes)
        self.max_length = max_length

    @staticmethod
    def for_model(
        model: AbstractGenerativeModel,
        config: TransformerConfig | None = None,
        *,
        key: Key,
    ) -> "Transformer":
        """Build a transformer that reads a model's inputs and answers its questions.

        Args:
            model: Generative model.
            config: Shape of the network.
            key: Typed key.

        Returns:
            The network, with random weights.

        Example:
            >>> from bayescmp.models import Bijection
            >>> network = Transformer.for_model(Bijection(size=4), key=jax.random.key(0))
            >>> network(jnp.array([0, 5, 1])).shape
            (3, 4)
        """
        layout = model.layout
        return eqx.filter_jit(Transformer)(
            config or TransformerConfig(),
            input_size=layout.input_size,
            num_outcomes=layout.num_outcomes,
            max_length=layout.input_length,
            outcome_offset=layout.outcome_token,
            key=key,
        )

    @property
    def no_interventions(self) -> Interventions:
        """Interventions that change nothing."""
        return Interventions.identity(self.config.num_layers, self.config.num_heads)

    def __call__(
        self, inputs: Inputs, interventions: Interventions | None = None
    ) -> Float[Array, "*sequence input_position outcome"]:
        """Return logits at every input position of one sequence.

        Args:
            inputs: Tokens or vectors of one sequence; leading axes are sequences.
            interventions: Factors on the network's parts; none by default.

        Returns:
            Unnormalised log probabilities.

        Raises:
            ValueError: If the sequence is longer than learned positions reach, or the
                interventions are those of another shape of network.
        """
        return self.trace_layers(inputs, interventions).logits

    def trace_layers(
        self, inputs: Inputs, interventions: Interventions | None = None
    ) -> LayerTrace:
        """Return everything that the network computes on one sequence.

        Under ``jit``, fields that nobody reads are not computed.

        Args:
            inputs: Tokens or vectors of one sequence.
            interventions: Factors on the network's parts; none by default.

        Returns:
            The trace.

        Raises:
            ValueError: If the sequence is longer than learned positions reach, or the
                interventions are those of another shape of network.
        """
        changes = self.no_interventions if interventions is None else interventions
        changes.check_fit(self.config.num_layers, self.config.num_heads)
        scales = BlockScales(changes.head_scale, changes.attn_scale, changes.mlp_scale)
        arrays, static = eqx.partition(self.blocks, eqx.is_array)
        stream, results = self._embed(inputs), []
        for layer in range(self.config.num_layers):
            block, factors = jax.tree.map(lambda leaf, i=layer: leaf[i], (arrays, scales))
            results.append(eqx.combine(block, static)(stream, factors))
            stream = results[-1].resid_post
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *results)
        return LayerTrace(
            resid_pre=stacked.resid_pre,
            attn_out=stacked.attn_out,
            resid_mid=stacked.resid_mid,
            mlp_out=stacked.mlp_out,
            resid_post=stacked.resid_post,
            attn_pattern=stacked.attention.pattern,
            queries=stacked.attention.queries,
            keys=stacked.attention.keys,
            values=stacked.attention.values,
            logits=self.read_out(stream),
        )

    def read_out(self, stream: Float[Array, "*rows feature"]) -> Float[Array, "*rows outcome"]:
        """Normalise a residual stream and map it to logits (the logit lens).

        Args:
            stream: Residual stream after any block.

        Returns:
            Unnormalised log probabilities.
        """
        first, last = self.outcome_tokens
        weight = self.embedding[first:last].T if self.unembedding is None else self.unembedding
        return dense(self.final_norm(stream), weight)

    def _embed(self, inputs: Inputs) -> Float[Array, "*sequence input_position stream_feature"]:
        if jnp.issubdtype(inputs.dtype, jnp.integer):
            stream = self.embedding[inputs]
        elif inputs.ndim < 2 or inputs.shape[-1] != self.embedding.shape[0]:
            raise ValueError(
                f"inputs: expected tokens, or vectors of size {self.embedding.shape[0]} at each "
                f"position, got {inputs.dtype} of shape {inputs.shape}"
            )
        else:
            stream = dense(inputs, self.embedding)
        if self.position_embedding is None:
            return stream
        length = stream.shape[-2]
        if length > self.max_length:
            raise ValueError(
                f"inputs: expected at most {self.max_length} positions, which is as far as the "
                f"learned positions reach, got {length}; use positions='rotary' or 'none'"
            )
        return stream + self.position_embedding[:length]


def _make_block(config: TransformerConfig, *, key: Key) -> Block:
    key_attention, key_mlp = jax.random.split(key)
    out_scale = (2.0 * config.num_layers) ** -0.5
    return Block(
        attn_norm=RMSNorm(config.model_size),
        attention=Attention(
            config.model_size,
            config.num_heads,
            config.head_size,
            rotary=config.positions == "rotary",
            out_scale=out_scale,
            key=key_attention,
        ),
        mlp_norm=RMSNorm(config.model_size),
        mlp=FeedForward(
            config.model_size,
            config.mlp_size,
            activation=config.activation,
            out_scale=out_scale,
            key=key_mlp,
        ),
    )
