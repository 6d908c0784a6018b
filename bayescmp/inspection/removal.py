"""Remove given directions from the residual stream, beside as many random ones."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from bayescmp._types import Key
from bayescmp.inspection.effect import exceedance
from bayescmp.inspection.intervention_cases import Cases, choose_cases
from bayescmp.inspection.patch_rows import read_streams
from bayescmp.inspection.recording import Recording
from bayescmp.layers.directions import projection, random_projections
from bayescmp.layers.interventions import (
    StreamContext,
    StreamShifts,
    divergences_after,
    shift_stream,
)

ROUNDING = 1e-4
"""Columns whose products differ by less from those of orthonormal ones count as such."""


@dataclass(frozen=True)
class Removal:
    """What it costs to put the mean in the place of some directions, at all input positions."""

    damage: float
    """``KL(exact || changed) - KL(exact || network)`` in nats, mean over questions."""
    controls: Float[np.ndarray, " draw"]
    """The same for as many random directions."""

    @property
    def p_value(self) -> float:
        """Chance of as much damage if the directions were one more random draw."""
        return exceedance(self.damage, self.controls)


def remove_directions(
    recording: Recording,
    place: str,
    basis: Float[np.ndarray, "feature rank"],
    *,
    key: Key,
    num_sequences: int = 128,
    num_controls: int = 16,
) -> Removal:
    """Replace what the residual stream says along some directions by its mean over sequences.

    Args:
        recording: A network on held-out sequences.
        place: Name of a place in the stream, such as ``"block 1"``.
        basis: Orthonormal columns.
        key: Typed key of the random directions.
        num_sequences: Sequences to intervene on, at most.
        num_controls: Random subspaces of the same rank, at least three.

    Returns:
        The damage, and that of the random subspaces.

    Raises:
        TypeError: If nothing can be changed inside the network.
        ValueError: If there is no such place, or the basis does not fit.

    Example:
        >>> from bayescmp.inspection.removal import remove_directions
        >>> oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=3))
        >>> network = bc.Transformer.for_model(oracle.model, key=jax.random.key(0))
        >>> seen = bc.inspection.record(network, oracle, key=jax.random.key(1))
        >>> axis = np.eye(64)[:, :1]
        >>> remove_directions(seen, "block 1", axis, key=jax.random.key(2)).controls.shape
        (16,)
    """
    index = find_place(place, recording.stream_names)
    width = recording.streams.shape[-1]
    _check_basis(basis, width)
    if num_controls < 3:
        raise ValueError(f"num_controls: expected at least 3, got {num_controls}")
    key_cases, key_maps = jax.random.split(key)
    cases = choose_cases(recording, num_sequences, key=key_cases)
    drawn = random_projections(num_controls, width, basis.shape[1], key=key_maps)
    maps = np.concatenate([projection(basis)[None], drawn])
    damage = cases.over_questions(_damage(cases, index, maps))
    return Removal(float(damage[0]), damage[1:])


def _damage(
    cases: Cases, place: int, maps: Float[np.ndarray, "map feature feature"]
) -> Float[np.ndarray, "map sequence position"]:
    """Return what it costs to move the stream to its mean through each of several maps."""
    rows = np.arange(-1, len(maps))  # the first of which changes nothing
    items = StreamShifts(
        jnp.full(len(rows), place),
        jnp.zeros(len(rows), int),
        jnp.asarray(np.maximum(rows, 0)),
        jnp.asarray(rows >= 0, jnp.float32),
    )
    streams = read_streams(cases)
    mean = jnp.tensordot(jnp.asarray(cases.weights, streams.dtype), streams, (0, 1))[:, None]
    context = StreamContext((mean - streams)[None], jnp.asarray(maps, streams.dtype))
    log_p = jnp.asarray(cases.log_p, jnp.float32)[None]
    kl = divergences_after(
        cases.network, cases.inputs, cases.asked, log_p, shift_stream, items, context
    )
    return np.asarray(kl[1:, 0] - kl[:1, 0], np.float64)


def find_place(place: str, names: Sequence[str]) -> int:
    """Return the number of a place in the residual stream.

    Args:
        place: Its name.
        names: Names of all places.

    Returns:
        Where it stands among them.

    Raises:
        ValueError: If there is no such place; the message names the nearest ones.

    Example:
        >>> from bayescmp.inspection.removal import find_place
        >>> find_place("mixer 2", bc.layers.stream_names(2))
        3
    """
    if place in names:
        return list(names).index(place)
    close = difflib.get_close_matches(place, names, n=3, cutoff=0.5) or list(names)
    raise ValueError(f"place: expected {' or '.join(map(repr, close))}, got {place!r}")


def _check_basis(basis: Float[np.ndarray, "feature rank"], width: int) -> None:
    """Check that columns are orthonormal and of the network's width."""
    if basis.shape[0] != width or not 1 <= basis.shape[1] <= width:
        raise ValueError(
            f"basis: expected shape ({width}, rank) with a rank of 1 to {width}, got {basis.shape}"
        )
    if not np.allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=ROUNDING):
        raise ValueError(
            "basis: expected orthonormal columns, got others; numpy.linalg.qr makes them so"
        )
