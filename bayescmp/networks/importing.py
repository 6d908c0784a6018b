"""Transformers that were trained elsewhere, by the array names of TransformerLens."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike

from bayescmp.generative import AbstractGenerativeModel
from bayescmp.networks.array_fields import fields_by_name, join_heads
from bayescmp.networks.array_names import OUTSIDE, check_arrays, read_arrays
from bayescmp.networks.even_start import answer_start_evenly
from bayescmp.networks.parts.feed_forward import Activation
from bayescmp.networks.shape import TaskShape
from bayescmp.networks.transformer import Transformer, TransformerConfig


def import_transformer(
    weights: str | os.PathLike[str] | Mapping[str, ArrayLike],
    model: AbstractGenerativeModel | None = None,
    *,
    activation: Activation = "relu",
) -> Transformer:
    """Make a transformer of weights that were trained elsewhere.

    Sizes are read off the arrays, whose names and shapes are those of TransformerLens:
    ``embed.W_E``, ``pos_embed.W_pos``, ``blocks.L.attn.W_Q``, ... Blocks normalise what they
    read by LayerNorm with 1e-5 added to the variance, positions are learned, and scores are
    divided by the square root of the head size. What comes out is one of our networks, which
    every instrument works on.

    A model whose first question follows nothing shows a start token. Where the weights know
    no such token, it gets a row of its own in the embedding, which no later position sees, and
    which is such that the network answers the first question evenly: it knows nothing there.

    Args:
        weights: An ``.npz`` file, or arrays by name.
        model: Model whose inputs the network is to read; its tokens must be counted as the
            network's are. Without one the network reads and answers its own tokens.
        activation: Nonlinearity of the feed-forward part, which arrays do not tell. Ours called
            "gelu" is the approximation by tanh, "gelu_new" there.

    Returns:
        The network, in the precision that holds now.

    Raises:
        ValueError: If arrays are missing, unknown, wrongly shaped or not finite, of which all
            are listed; or if the model has another vocabulary, other outcomes, or sequences
            that are longer than the network's positions reach.

    Source: Nanda and Bloom, TransformerLens, 2022, for the names.

    Example:
        >>> from bayescmp.networks.exporting import export_transformer
        >>> config = bc.TransformerConfig(num_layers=1, norm="layer", bias=True)
        >>> network = bc.build_network(config, bc.models.Mess3(), key=jax.random.key(0))
        >>> np.savez("weights.npz", **export_transformer(network))
        >>> again = import_transformer("weights.npz", bc.models.Mess3(), activation="gelu")
        >>> bool((again(jnp.array([0, 3, 1])) == network(jnp.array([0, 3, 1]))).all())
        True
    """
    arrays = read_arrays(weights)
    sizes = check_arrays(arrays)
    task = _Task.of(sizes, model)
    shape = task.shape
    source_heads = None if sizes["source_head"] == sizes["head"] else sizes["source_head"]
    divided = sizes["head"] * sizes["head_feature"] == sizes["width"]
    config = TransformerConfig(
        num_layers=sizes["block"],
        model_size=sizes["width"],
        mlp_size=sizes.get("hidden", 0),
        activation=activation,
        norm="layer",
        bias=True,
        num_heads=sizes["head"],
        num_source_heads=source_heads,
        features_per_head=None if divided else sizes["head_feature"],
        hide_start=task.hide_start,
    )
    network = eqx.filter_eval_shape(Transformer, config, shape, key=jax.random.key(0))
    network = _fill(network, arrays, task)
    return answer_start_evenly(network) if task.hide_start else network


@dataclass(frozen=True)
class _Task:
    """What a network from elsewhere has to do."""

    shape: TaskShape
    hide_start: bool = False
    """Whether inputs begin with a start token that the weights do not know."""
    first_output: int | None = None
    """First of the outputs that are outcomes; None where all are."""

    @staticmethod
    def of(sizes: Mapping[str, int], model: AbstractGenerativeModel | None) -> "_Task":
        """Fit the sizes of the weights to a model."""
        tokens, outputs, context = sizes["token"], sizes["output"], sizes["place"]
        if model is None:
            own = 0 if tokens == outputs else None
            return _Task(TaskShape(tokens, outputs, context, outcome_token=own))
        shape, title = TaskShape.of(model), model.title()
        if not model.layout.uses_tokens:
            raise ValueError(f"model: expected one whose inputs are tokens, got {title}")
        hide_start = model.layout.has_start and tokens == shape.input_size - 1
        if tokens + hide_start != shape.input_size:
            raise ValueError(
                f"model: expected one that shows {tokens} tokens, as many as the network knows, "
                f"or a start token besides, got {shape.input_size} of {title}"
            )
        if shape.max_length > context + hide_start:
            raise ValueError(
                f"model: expected sequences of at most {context} tokens, as far as the network's "
                f"positions reach, got {shape.max_length - hide_start} of {title}"
            )
        first = _first_output(outputs, tokens, shape, hide_start, title)
        return _Task(replace(shape, max_length=context + hide_start), hide_start, first)


def _first_output(
    outputs: int, tokens: int, shape: TaskShape, hide_start: bool, title: str
) -> int | None:
    """Return where outcomes begin among the outputs, if these are all tokens."""
    if outputs == shape.num_outcomes:
        return None
    if outputs != tokens or shape.outcome_token is None:
        raise ValueError(
            f"model: expected {outputs} outcomes, as many as the network answers, got "
            f"{shape.num_outcomes} of {title}"
        )
    return shape.outcome_token - hide_start


def _fill(network: Transformer, arrays: Mapping[str, np.ndarray], task: _Task) -> Transformer:
    """Put arrays into a network of shapes."""
    fields, values = fields_by_name(network), []
    for name, like in fields.items():
        if name in OUTSIDE:
            value = _fit_task(name, arrays[name], task)
        else:
            blocks = range(network.config.num_layers)
            parts = [join_heads(name, arrays[f"blocks.{block}.{name}"]) for block in blocks]
            value = np.stack(parts)
        values.append(jnp.asarray(value.astype(np.float64), like.dtype))
    return eqx.tree_at(lambda tree: list(fields_by_name(tree).values()), network, values)


def _fit_task(name: str, array: np.ndarray, task: _Task) -> np.ndarray:
    """Make room for a start token, and keep the outputs that are outcomes."""
    if task.hide_start and name in ("embed.W_E", "pos_embed.W_pos"):
        return np.concatenate([np.zeros_like(array[:1]), array])
    if task.first_output is not None and name.startswith("unembed."):
        return array[..., task.first_output : task.first_output + task.shape.num_outcomes]
    return array
