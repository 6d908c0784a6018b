"""Every change of the residual stream that is made: where, to what, along which directions."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bayescmp._types import Key
from bayescmp.inspection.evidence_edits import Edits
from bayescmp.inspection.intervention_cases import Cases
from bayescmp.inspection.telling_directions import Directions
from bayescmp.layers.directions import projection, random_projections, random_rotations
from bayescmp.layers.interventions import StreamContext, StreamShifts, read_activations

DIRECTIONS = ("entropy", "predictive", "key frame")
"""What the removed directions tell: the exact entropy, the exact probabilities, or apart the keys
of the block that reads the place next."""

STEERED = (25, 50, 75, 100)
"""How far a belief is steered towards the donor's, in per cent of the way."""

MEAN, DONOR, BELIEF, EDIT, STRANGER = range(5)
"""Displacements: to the mean everywhere; to the donor, or along its belief, where it is asked; to
the prompt with another token where that stands; to the first of the strangers, and so on."""

Row = tuple[int, int, int, float]
"""Place, displacement, map and factor of one change."""


@dataclass(frozen=True)
class Maps:
    """Maps that displacements go through: all of it, parts that tell something, random parts."""

    all: Float[np.ndarray, "map feature feature"]
    num_places: int
    num_controls: int

    @staticmethod
    def draw(directions: Directions, num_controls: int, *, key: Key) -> "Maps":
        """Put the identity, fitted projections and random maps side by side.

        Args:
            directions: What tells the exact answers.
            num_controls: Random maps of each kind.
            key: Typed key.

        Returns:
            The maps.
        """
        num_places, width, rank = directions.predictive.shape
        keys = jax.random.split(key, 3)
        none = np.zeros((width, 1))
        frame = [none if basis is None else basis for basis in directions.frame]
        told = (*directions.entropy, *directions.predictive, *frame)
        fitted = [projection(basis) for basis in told]
        maps = [
            np.eye(width)[None],
            np.stack(fitted),
            random_projections(num_controls, width, 1, key=keys[0]),
            random_projections(num_controls, width, rank, key=keys[1]),
            random_rotations(num_controls, width, key=keys[2]),
        ]
        return Maps(np.concatenate(maps), num_places, num_controls)

    def fitted(self, direction: int, place: int) -> int:
        """Return the map on one of the fitted directions at a place."""
        return 1 + direction * self.num_places + place

    def random(self, kind: int) -> range:
        """Return the maps on random subspaces of either rank (0, 1), or rotations (2)."""
        first = 1 + len(DIRECTIONS) * self.num_places + kind * self.num_controls
        return range(first, first + self.num_controls)


@dataclass(frozen=True)
class Rows:
    """All changes; the first row changes nothing."""

    removals: tuple[Row, ...]
    """For each place: every direction, then single random ones, then random subspaces."""
    swaps: tuple[Row, ...]
    """For each place: the whole stream, what tells the probabilities, then random subspaces."""
    strangers: tuple[Row, ...]
    """For each place: the whole stream of each stranger."""
    edits: tuple[Row, ...]
    """For each place: the stream of the prompt with another token, where that stands."""
    steerings: tuple[Row, ...]
    """For each place and share of the way: the belief's direction, then a random one."""
    turns: tuple[Row, ...]
    """For each place: all the way in further random directions."""

    @staticmethod
    def of(maps: Maps, num_strangers: int) -> "Rows":
        """List the changes that go through given maps.

        Args:
            maps: The maps.
            num_strangers: Further donors of each sequence.

        Returns:
            The rows.
        """
        places, (turn, *turns) = range(maps.num_places), maps.random(2)
        return Rows(
            removals=tuple(
                (place, MEAN, along, 1.0)
                for place in places
                for along in (
                    *(maps.fitted(direction, place) for direction in range(len(DIRECTIONS))),
                    *maps.random(0),
                    *maps.random(1),
                )
            ),
            swaps=tuple(
                (place, DONOR, along, 1.0)
                for place in places
                for along in (0, maps.fitted(1, place), *maps.random(1))
            ),
            strangers=tuple(
                (place, STRANGER + one, 0, 1.0) for place in places for one in range(num_strangers)
            ),
            edits=tuple((place, EDIT, 0, 1.0) for place in places),
            steerings=tuple(
                (place, BELIEF, along, share / 100)
                for place in places
                for share in STEERED
                for along in (0, turn)
            ),
            turns=tuple((place, BELIEF, along, 1.0) for place in places for along in turns),
        )

    @property
    def parts(self) -> tuple[tuple[Row, ...], ...]:
        """All kinds of changes, in the order of the items."""
        return (
            self.removals, self.swaps, self.strangers, self.edits, self.steerings, self.turns
        )  # fmt: skip

    def items(self) -> StreamShifts:
        """Return all rows, one below the other, as columns; the first one changes nothing."""
        rows = [(0, MEAN, 0, 0.0), *(row for part in self.parts for row in part)]
        place, kind, along, factor = zip(*rows, strict=True)
        indices = jnp.array(place), jnp.array(kind), jnp.array(along)
        return StreamShifts(*indices, jnp.array(factor, jnp.float32))

    def split(self, results: np.ndarray) -> list[np.ndarray]:
        """Cut results, one for each of the items but the first, into those of each kind."""
        return np.split(results, np.cumsum([len(part) for part in self.parts])[:-1])


def displace(cases: Cases, edits: Edits, directions: Directions, maps: Maps) -> StreamContext:
    """Return what is added to the streams to reach each target.

    Args:
        cases: Sequences with their donors.
        edits: The prompts with another token.
        directions: What tells the exact answers.
        maps: Maps that displacements go through.

    Returns:
        All that the rows refer to.
    """
    streams = read_streams(cases)
    edited = read_streams(replace(cases, inputs=edits.inputs))
    mean = jnp.tensordot(jnp.asarray(cases.weights, streams.dtype), streams, (0, 1))[:, None]
    at = jax.nn.one_hot(cases.asked_inputs, streams.shape[2], dtype=streams.dtype)[..., None]
    moves = _belief_moves(cases, directions)
    displacements = [
        mean - streams,
        at * (streams[:, cases.donors] - streams),
        at * jnp.asarray(moves, streams.dtype)[:, :, None, :],
        jnp.asarray(edits.at, streams.dtype)[..., None] * (edited - streams),
        *(at * (streams[:, each] - streams) for each in cases.strangers),
    ]
    return StreamContext(jnp.stack(displacements), jnp.asarray(maps.all, streams.dtype))


def read_streams(cases: Cases) -> Float[Array, "stream sequence input_position feature"]:
    """Return the residual stream of each case, at every place and input position.

    Args:
        cases: Sequences.

    Returns:
        The network's own stream.

    Raises:
        ValueError: If the network shows none.
    """
    streams = read_activations(cases.network, cases.inputs).streams
    if streams is None:
        raise ValueError("network: expected a residual stream, got none")
    return streams


def _belief_moves(
    cases: Cases, directions: Directions
) -> Float[np.ndarray, "stream sequence feature"]:
    """Return how the stream moves, by the ridge, from a receiver's belief to its donor's."""
    rows, laws = np.arange(len(cases.weights)), np.exp(cases.log_p)
    own, donor = laws[rows, cases.questions], laws[cases.donors, cases.questions]
    return np.einsum("no,sof->snf", donor - own, directions.encoder)
