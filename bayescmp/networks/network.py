"""What all networks of the toolkit share, and how any network is asked."""

import abc
from collections.abc import Callable

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from bayescmp._types import Inputs
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.networks.parts.positions import Places
from bayescmp.records import LayerTrace

Positions = Int[np.ndarray, " position"] | Int[Array, " position"]
"""Input positions that are asked about."""


class AbstractNetwork(eqx.Module):
    """A network from the inputs of one sequence to logits at each input position.

    Laws: the logits at a position depend on nothing after it, except in a transformer with
    ``causal=False``, whose task shows all inputs first; leading axes are sequences, each answered
    as if alone; the trace's logits equal the plain call's.
    """

    @abc.abstractmethod
    def __call__(self, inputs: Inputs) -> Float[Array, "*sequence input_position outcome"]:
        """Return logits at every input position."""


class AbstractTracedNetwork(AbstractNetwork):
    """A network that can show its residual stream."""

    @abc.abstractmethod
    def logits_at(
        self, inputs: Inputs, positions: Positions, *, places: Places | None = None
    ) -> Float[Array, "*sequence position outcome"]:
        """Return logits at some input positions, at no more cost than these need."""

    @abc.abstractmethod
    def trace_layers(self, inputs: Inputs) -> LayerTrace:
        """Return everything that the network computes on one sequence."""

    @abc.abstractmethod
    def read_out(self, stream: Float[Array, "*rows feature"]) -> Float[Array, "*rows outcome"]:
        """Map a residual stream to logits (the logit lens)."""


NetworkLike = AbstractNetwork | Callable[[Array], Array]
"""One of our networks, or any callable from one sequence's inputs to logits per position."""


def logits_at(
    network: NetworkLike,
    inputs: Inputs,
    positions: Positions,
    *,
    places: Places | None = None,
) -> Float[Array, "sequence position outcome"]:
    """Ask a network about a batch of sequences.

    Args:
        network: One of our networks, or a callable for one sequence.
        inputs: Inputs of each sequence.
        positions: Input positions whose logits are wanted.
        places: Where inputs stand, for one of our networks that has positions; one after the
            other by default.

    Returns:
        Logits there.

    Raises:
        ValueError: If places are given to a network that does not know them.
    """
    if isinstance(network, AbstractTracedNetwork):
        return network.logits_at(inputs, positions, places=places)
    if places is not None:
        raise ValueError(
            f"places: expected None for {type(network).__name__}, which knows none, got some"
        )
    answer = network if isinstance(network, AbstractNetwork) else jax.vmap(network)
    return answer(inputs)[:, positions]


def check_answers(network: NetworkLike, model: AbstractGenerativeModel) -> None:
    """Check that a network answers a model's questions, without computing anything.

    Args:
        network: One of our networks, or a callable for one sequence.
        model: Generative model.

    Raises:
        ValueError: If it does not give logits over the outcomes at each input position.
    """
    inputs = jax.eval_shape(lambda: model.draw(key=jax.random.key(0)).inputs)
    shape = eqx.filter_eval_shape(network, inputs).shape
    wanted = (inputs.shape[0], model.num_outcomes)
    if shape != wanted:
        raise ValueError(
            f"network: expected logits of shape {wanted} (input_position, outcome) for "
            f"{model.title()}, got {shape}"
        )


def count_parameters(network: PyTree) -> int:
    """Count the trainable numbers of a network.

    Args:
        network: Network, or its arrays.

    Returns:
        Number of floating-point entries of its arrays.
    """
    leaves = jax.tree.leaves(eqx.filter(network, eqx.is_inexact_array))
    return sum(leaf.size for leaf in leaves)
