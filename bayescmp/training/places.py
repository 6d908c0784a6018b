"""Where the inputs of a training sequence stand, so that far places are met in training."""

from dataclasses import dataclass
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from bayescmp._types import Key
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.networks.network import NetworkLike
from bayescmp.networks.residual import AbstractResidualNetwork
from bayescmp.networks.transformer import TransformerConfig

PlaceKind = Literal["shift", "after_prompt", "spread"]
"""What is random about places."""

_STREAM = 0x9E3779B9
"""Sets the key of a sequence's places apart from those that its model splits off."""


@dataclass(frozen=True)
class RandomPlaces:
    """How places are drawn below a limit, for each training sequence anew.

    ``shift`` adds one random number to all places. ``after_prompt`` adds it to all places
    after the prompt, whose distance to the rest is what a longer sequence changes. ``spread``
    puts inputs at random places in their order, each set of places as likely as any other.
    Evaluation takes plain places, ``0, 1, 2, ...``.

    Source: Kiyono et al., "SHAPE", arXiv 2109.05644, for the shift; Ruoss et al., "Randomized
        positional encodings", arXiv 2305.16843, for the spread.

    Example:
        >>> RandomPlaces(limit=60, kind="after_prompt").kind
        'after_prompt'
    """

    limit: int
    """Places are ``0 .. limit - 1``; at least as many as a sequence has inputs."""
    kind: PlaceKind = "spread"

    def __post_init__(self) -> None:
        """Reject what cannot be drawn from."""
        if self.limit < 1:
            raise ValueError(f"limit: expected at least 1, got {self.limit}")
        if self.kind not in get_args(PlaceKind):
            raise ValueError(
                f"kind: expected 'shift', 'after_prompt' or 'spread', got {self.kind!r}"
            )


def draw_places(
    random: RandomPlaces, model: AbstractGenerativeModel, *, key: Key
) -> Int[Array, " input_position"]:
    """Draw where the inputs of one sequence stand.

    Args:
        random: How places are drawn.
        model: Generative model of the sequence.
        key: Typed key of the sequence, from which its model draws as well.

    Returns:
        Increasing places.

    Example:
        >>> model = bc.models.HiddenMarkov(num_states=2, num_symbols=2, length=3)  # 5 inputs
        >>> draw_places(RandomPlaces(5), model, key=jax.random.key(0)).tolist()
        [0, 1, 2, 3, 4]
    """
    key = jax.random.fold_in(key, _STREAM)
    length = model.layout.input_length
    if random.kind == "spread":
        return jnp.sort(jax.random.permutation(key, random.limit)[:length])
    offset = jax.random.randint(key, (), 0, random.limit - length + 1)
    first = model.layout.header_length if random.kind == "after_prompt" else 0
    place = jnp.arange(length)
    return jnp.where(place < first, place, place + offset)


def check_places(
    random: RandomPlaces | None, network: NetworkLike, model: AbstractGenerativeModel
) -> None:
    """Check that random places mean something to a network, and reach far enough.

    Args:
        random: How places are drawn; None needs no check.
        network: Network that is to be trained.
        model: Generative model.

    Raises:
        ValueError: If they do not go together; names both options.
    """
    if random is None:
        return
    config = getattr(network, "config", None)
    if not isinstance(network, AbstractResidualNetwork) or not isinstance(
        config, TransformerConfig
    ):
        raise ValueError(
            f"places: expected None for {type(network).__name__}, which knows no places, "
            f"got {random}"
        )
    if not config.knows_places:
        raise ValueError(
            f"places: expected None with positions={config.positions!r}, which tells no places "
            f"apart, got {random}"
        )
    prompt = model.layout.header_length
    if random.kind == "after_prompt" and model.layout.shows_all_first:
        raise ValueError(
            f"kind: expected 'shift' or 'spread' for {model.title()}, where all inputs are the "
            "prompt, got 'after_prompt'"
        )
    if config.positions in ("rotary", "alibi") and (random.kind == "shift" or not prompt):
        _refuse_shift(random, config.positions, prompt)
    _check_limit(random, network, model.layout.input_length)


def _refuse_shift(random: RandomPlaces, positions: str, prompt: int) -> None:
    """Refuse what moves all inputs alike, where distances alone count."""
    if random.kind == "spread":
        return
    without = "" if prompt else " and a model without a prompt"
    raise ValueError(
        f"kind: expected 'spread' with positions={positions!r}{without}, where a common shift "
        f"changes nothing, got {random.kind!r}"
    )


def _check_limit(random: RandomPlaces, network: AbstractResidualNetwork, length: int) -> None:
    if random.limit < length:
        raise ValueError(
            f"limit: expected at least {length}, the inputs of a sequence, got {random.limit}"
        )
    table = network.position_embedding
    if table is not None and random.limit > len(table):
        raise ValueError(
            f"limit: expected at most {len(table)}, the rows of learned positions "
            f"(num_positions), got {random.limit}"
        )
