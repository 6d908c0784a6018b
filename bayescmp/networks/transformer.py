"""The transformer: a causal pre-norm stack that can show its inside."""

from dataclasses import dataclass
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp._types import Inputs, Key
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.networks.attention import Attention
from bayescmp.networks.block import Activation, Block, BlockScales, FeedForward, RMSNorm
from bayescmp.networks.dense import dense
from bayescmp.networks.interventions import Interventions
from bayescmp.networks.network import AbstractTracedNetwork
from bayescmp.records import LayerTrace

Positions = Literal["learned", "rotary", "none"]


@dataclass(frozen=True)
class TransformerConfig:
    """The shape of a transformer, apart from what the model's inputs and outcomes fix."""

    num_layers: int = 3
    num_heads: int = 4
    model_size: int = 64
    """Width of the residual stream."""
    mlp_size: int = 256
    """Width inside the feed-forward part."""
    positions: Positions = "learned"
    activation: Activation = "gelu"
    tied: bool = False
    """Whether the read-out is the embedding of the outcomes' tokens."""

    def __post_init__(self) -> None:
        """Reject shapes that cannot be built."""
        for name in ("num_layers", "num_heads", "model_size", "mlp_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if self.model_size % self.num_heads:
            raise ValueError(
                f"model_size: expected a multiple of num_heads = {self.num_heads}, "
                f"got {self.model_size}"
            )
        if self.positions not in ("learned", "rotary", "none"):
            raise ValueError(
                f"positions: expected 'learned', 'rotary' or 'none', got {self.positions!r}"
            )
        if self.activation not in ("gelu", "relu", "silu"):
            raise ValueError(
                f"activation: expected 'gelu', 'relu' or 'silu', got {self.activation!r}"
            )
        if self.positions == "rotary" and self.head_size % 2:
            raise ValueError(
                f"model_size: expected an even head size for rotary positions, got {self.head_size}"
            )

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.model_size // self.num_heads


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
            ValueError: If the sequence is longer than learned positions reach.
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
            ValueError: If the sequence is longer than learned positions reach.
        """
        changes = self.no_interventions if interventions is None else interventions
        scales = BlockScales(changes.head_scale, changes.attn_scale, changes.mlp_scale)
        arrays, static = eqx.partition(self.blocks, eqx.is_array)

        def step(x: Array, layer: tuple[Block, BlockScales]) -> tuple[Array, object]:
            result = eqx.combine(layer[0], static)(x, layer[1])
            return result.resid_post, result

        last, results = jax.lax.scan(step, self._embed(inputs), (arrays, scales), unroll=True)
        return LayerTrace(
            resid_pre=results.resid_pre,
            attn_out=results.attn_out,
            resid_mid=results.resid_mid,
            mlp_out=results.mlp_out,
            resid_post=results.resid_post,
            attn_pattern=results.attention.pattern,
            queries=results.attention.queries,
            keys=results.attention.keys,
            values=results.attention.values,
            logits=self.read_out(last),
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

    def _embed(self, inputs: Inputs) -> Float[Array, "*sequence input_position feature"]:
        if jnp.issubdtype(inputs.dtype, jnp.integer):
            stream = self.embedding[inputs]
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
