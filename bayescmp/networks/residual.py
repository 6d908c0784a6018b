"""Networks with a residual stream: an embedding, blocks that add to it, and a read-out."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp._types import Inputs, Key
from bayescmp.networks.config import AbstractResidualConfig
from bayescmp.networks.interventions import Interventions
from bayescmp.networks.network import AbstractTracedNetwork, Positions
from bayescmp.networks.parts.block import Block, BlockChanges, BlockResult
from bayescmp.networks.parts.changes import StreamChange, change_stream
from bayescmp.networks.parts.dense import dense
from bayescmp.networks.parts.embedding import embed_inputs
from bayescmp.networks.parts.norms import Norm, make_norm, normalise
from bayescmp.networks.parts.positions import Places, count_places, pick_rows, sinusoids
from bayescmp.networks.parts.stack import make_stack, pick_block
from bayescmp.networks.parts.windows import FullWindow
from bayescmp.networks.shape import TaskShape
from bayescmp.records import LayerTrace


class AbstractResidualNetwork(AbstractTracedNetwork):
    """A network from the inputs of one sequence to logits at each position.

    Concrete networks differ in their configuration, which makes the mixers of their blocks.
    """

    embedding: Float[Array, "input_size feature"]
    """Rows for tokens, or a linear map where inputs are vectors."""
    position_embedding: Float[Array, "input_position feature"] | None
    """Only learned positions have one."""
    entry: FullWindow | None
    """Stands between the embedding and the first block; most networks have none."""
    blocks: Block
    """All different blocks; every array has the layer axis in front."""
    final_norm: Norm | None
    """None where blocks normalise what they hand on."""
    unembedding: Float[Array, "feature output"] | None
    """Read-out; None where it is tied to the embedding."""
    unembedding_bias: Float[Array, " output"] | None
    config: AbstractResidualConfig = eqx.field(static=True)
    shape: TaskShape = eqx.field(static=True)

    def __init__(self, config: AbstractResidualConfig, shape: TaskShape, *, key: Key) -> None:
        """Draw the weights.

        Args:
            config: Shape of the network.
            shape: What the model fixes.
            key: Typed key.

        Raises:
            ValueError: If a tied read-out is asked for and outcomes are no tokens.
        """
        if config.tied and shape.outcome_token is None:
            raise ValueError(
                "tied: expected outcomes that are among the input tokens, got a model whose "
                "outcomes are never shown as tokens; use tied=False"
            )
        width, num_outputs = config.model_size, config.head.num_outputs(shape)
        keys = jax.random.split(key, 5)
        self.embedding = 0.5 * jax.random.normal(keys[0], (shape.input_size, width))
        self.position_embedding = None
        if config.embedded_positions == "learned":
            rows = (config.num_learned_positions(shape), width)
            self.position_embedding = 0.5 * jax.random.normal(keys[1], rows)
        self.entry = config.make_entry(shape, key=keys[4])
        self.blocks = make_stack(config, key=keys[2])
        self.final_norm = make_norm(config.norm if config.norm_place == "pre" else "none", width)
        self.unembedding = None
        if not config.tied:
            self.unembedding = jax.random.normal(keys[3], (width, num_outputs)) / jnp.sqrt(width)
        self.unembedding_bias = jnp.zeros(num_outputs) if config.bias else None
        self.config, self.shape = config, shape

    @property
    def no_interventions(self) -> Interventions:
        """Interventions that change nothing."""
        return Interventions.identity(self.config.depth, self.config.heads_per_layer)

    def __call__(
        self,
        inputs: Inputs,
        interventions: Interventions | None = None,
        *,
        places: Places | None = None,
    ) -> Float[Array, "*sequence input_position outcome"]:
        """Return logits at every input position of one sequence.

        Args:
            inputs: Tokens or vectors of one sequence; leading axes are sequences.
            interventions: What is done to the network's parts and stream; nothing by default.
            places: Where inputs stand for the network's positions, from zero on; one after
                the other by default. With a place that has no learned row, answers are NaN.

        Returns:
            Unnormalised log probabilities.

        Raises:
            ValueError: If the sequence is longer than learned positions reach, interventions are
                those of another shape of network, or there are places and no positions.
        """
        return self.trace_layers(inputs, interventions, places=places).logits

    def trace_layers(
        self,
        inputs: Inputs,
        interventions: Interventions | None = None,
        *,
        places: Places | None = None,
    ) -> LayerTrace:
        """Return everything that the network computes on one sequence.

        Under ``jit``, fields that nobody reads are not computed.

        Args:
            inputs: Tokens or vectors of one sequence.
            interventions: What is done to the network's parts and stream; nothing by default.
            places: Where inputs stand, as for a plain call.

        Returns:
            The trace; a loop's passes are layers of their own.

        Raises:
            ValueError: As a plain call does.
        """
        embedded, results = self.embed(inputs, places=places), []
        entry, changes = self._changes(interventions, embedded)
        stream = change_stream(entry, embedded)
        for layer, change in enumerate(changes):
            block = pick_block(self.blocks, layer % self.config.num_layers)
            results.append(block(stream, change, places))
            stream = results[-1].resid_post
        return _gather(results, self.read_out(stream))

    def logits_at(
        self, inputs: Inputs, positions: Positions, *, places: Places | None = None
    ) -> Float[Array, "*sequence position outcome"]:
        """Return logits at some input positions of one sequence.

        The last feed-forward part and the read-out are computed at these positions alone.

        Args:
            inputs: Tokens or vectors of one sequence; leading axes are sequences.
            positions: Input positions whose logits are wanted.
            places: Where inputs stand, as for a plain call.

        Returns:
            Unnormalised log probabilities there.

        Raises:
            ValueError: As a plain call does.
        """
        stream = self.embed(inputs, places=places)
        _, changes = self._changes(None, stream)
        for layer in range(self.config.depth - 1):
            stream = pick_block(self.blocks, layer % self.config.num_layers)(
                stream, changes[layer], places
            ).resid_post
        last = pick_block(self.blocks, self.config.num_layers - 1)
        _, middle = last.mix(stream, changes[-1], places)
        _, after = last.transform(middle[..., positions, :], changes[-1])
        return self.read_out(after)

    def _changes(
        self, interventions: Interventions | None, stream: Float[Array, "*rows feature"]
    ) -> tuple[StreamChange | None, list[BlockChanges]]:
        """Return what is done to the embedded inputs and to each block."""
        changes = self.no_interventions if interventions is None else interventions
        depth, (length, width) = self.config.depth, stream.shape[-2:]
        changes.check_fit(depth, self.config.heads_per_layer, (length, width))
        # Interventions must not change the precision in which the network computes.
        changes = jax.tree.map(lambda leaf: leaf.astype(self.embedding.dtype), changes)
        return changes.at_place(0), [changes.in_block(layer) for layer in range(depth)]

    def read_out(self, stream: Float[Array, "*rows feature"]) -> Float[Array, "*rows outcome"]:
        """Normalise a residual stream and map it to logits (the logit lens).

        Args:
            stream: Residual stream after any block.

        Returns:
            Unnormalised log probabilities.
        """
        return self.config.head.logits(self.outputs(stream), self.shape)

    def outputs(self, stream: Float[Array, "*rows feature"]) -> Float[Array, "*rows output"]:
        """Normalise a residual stream and map it to what the head reads.

        Args:
            stream: Residual stream after any block.

        Returns:
            Numbers whose meaning the head knows.
        """
        if self.unembedding is None:
            first = self.shape.outcome_token or 0
            weight = self.embedding[first : first + self.shape.num_outcomes].T
        else:
            weight = self.unembedding
        outputs = dense(normalise(self.final_norm, stream), weight)
        return outputs if self.unembedding_bias is None else outputs + self.unembedding_bias

    def embed(
        self, inputs: Inputs, *, places: Places | None = None
    ) -> Float[Array, "*sequence input_position stream_feature"]:
        """Return the residual stream that enters the first block.

        Args:
            inputs: Tokens or vectors of one sequence.
            places: Where inputs stand, as for a plain call.

        Returns:
            The stream.

        Raises:
            ValueError: If vectors have another size, the sequence is longer than learned
                positions reach, or there are places and no positions.
        """
        if places is not None and not self.config.knows_places:
            kind = type(self.config).__name__
            raise ValueError(f"places: expected None for {kind} without positions, got some")
        stream = embed_inputs(self.embedding, inputs)
        stream = stream if self.entry is None else self.entry(stream)
        length, size = stream.shape[-2:]
        if self.position_embedding is not None:
            return stream + pick_rows(self.position_embedding, length, places)
        if self.config.embedded_positions != "sinusoidal":
            return stream
        where = count_places(length) if places is None else places
        return stream + sinusoids(where, size).astype(stream.dtype)


def _gather(results: list[BlockResult], logits: Float[Array, "*rows outcome"]) -> LayerTrace:
    """Stack what the blocks computed."""
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *results)
    attention = stacked.attention
    return LayerTrace(
        resid_pre=stacked.resid_pre,
        mixer_out=stacked.mixer_out,
        resid_mid=stacked.resid_mid,
        mlp_out=stacked.mlp_out,
        resid_post=stacked.resid_post,
        attn_pattern=None if attention is None else attention.pattern,
        queries=None if attention is None else attention.queries,
        keys=None if attention is None else attention.keys,
        values=None if attention is None else attention.values,
        logits=logits,
    )
