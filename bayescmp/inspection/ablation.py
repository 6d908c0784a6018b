"""Take parts of a network away, beside random changes of the same size."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bayescmp._types import Key
from bayescmp.inspection.ablation_rows import PARTS, TESTED, Rows
from bayescmp.inspection.ablation_runs import attends, head_size, measure_damage
from bayescmp.inspection.effect import Effect, exceedance
from bayescmp.inspection.intervention_cases import Cases
from bayescmp.layers.directions import random_projections, random_rotations


@dataclass(frozen=True)
class Ablations:
    """Damage ``KL(exact || ablated) - KL(exact || network)`` in nats, mean over questions."""

    heads: Float[np.ndarray, "way layer head"] | None
    """One head; None where nothing attends."""
    heads_by_position: Float[np.ndarray, "layer head position"] | None
    """The same for the mean in its place, question by question."""
    head_controls: Float[np.ndarray, "way layer draw"]
    """As many random directions of the layer's heads, with the same in their place; where a
    layer has one head, or none, its mixer's change turned in a random direction."""
    parts: Float[np.ndarray, "way part layer"]
    """One part; NaN where a network has none."""
    part_controls: Float[np.ndarray, "way part layer few_draws"]
    """The change that taking a part away makes, turned in a random direction."""

    def candidates(self, way: int = TESTED) -> tuple[Effect, ...]:
        """Return every head, or every mixer where nothing attends, beside its control.

        Args:
            way: What takes their place: an index into ``WAYS``.

        Returns:
            One for each, layer by layer.
        """
        if self.heads is None:
            values = self.parts[way, PARTS.index("mixer")][:, None]
        else:
            values = self.heads[way]
        return tuple(
            self._compare(layer, head, float(value), self.head_controls[way, layer])
            for (layer, head), value in np.ndenumerate(values)
            if np.isfinite(value)
        )

    def _compare(
        self, layer: int, head: int, value: float, draws: Float[np.ndarray, " draw"]
    ) -> Effect:
        """Hold one damage against the random ablations of its layer."""
        where = f"block {layer + 1} head {head}"
        where = f"mixer {layer + 1}" if self.heads is None else where
        return Effect(where, value, float(draws.mean()), exceedance(value, draws))


def ablate(cases: Cases, num_controls: int, *, key: Key) -> Ablations:
    """Replace every head, mixer, feed-forward part and block, one at a time.

    The control of a head replaces as many random directions of what all heads of its layer
    gather, by the same zeros, means or activations of another sequence. That of any other part,
    and of a head that is alone in its layer, makes the same change after a random rotation: of
    the same size at every place, in other directions. All ways share their random draws.

    Args:
        cases: Sequences.
        num_controls: Random ablations of each layer in every way, at least three; a quarter as
            many, and at least three, for each part.
        key: Typed key of the random directions.

    Returns:
        What each ablation costs.
    """
    rows = Rows.of(cases, num_controls)
    damage = measure_damage(cases, rows.items(), draw_maps(cases, num_controls, key=key))
    total, by_position = cases.over_questions(damage), cases.by_position(damage)
    network = cases.network
    parts, heads = rows.take(total, "parts"), rows.take(total, "heads")
    lacks = (network.blocks.mixer is None, network.blocks.mlp is None)
    gone = np.array([*lacks, all(lacks)])[:, None]
    return Ablations(
        heads=heads if attends(network) else None,
        heads_by_position=(rows.take(by_position, "heads")[TESTED] if attends(network) else None),
        head_controls=rows.take(total, "head_controls"),
        parts=np.where(gone, np.nan, parts),
        part_controls=np.where(gone[..., None], np.nan, rows.take(total, "part_controls")),
    )


def draw_maps(cases: Cases, num_controls: int, *, key: Key) -> tuple[Array, Array]:
    """Return the maps of heads, side by side, and of what mixers and feed-forward parts add.

    First come those that take one head, or all of what a part adds; then the random ones.

    Args:
        cases: Sequences with their network.
        num_controls: Random maps of either kind.
        key: Typed key of the random directions.

    Returns:
        Maps of heads, and of the others.
    """
    config, width = cases.network.config, cases.network.embedding.shape[-1]
    key_heads, key_parts = jax.random.split(key)
    rotations = random_rotations(num_controls, width, key=key_parts)
    stream_maps = np.concatenate([np.eye(width)[None], rotations])
    head_maps = np.zeros((1, 1, 1))
    if attends(cases.network):
        num, size = config.heads_per_layer, head_size(cases.network)
        owner = np.repeat(np.arange(num), size)
        own = np.stack([np.diag((owner == head).astype(float)) for head in range(num)])
        drawn = random_projections(num_controls, num * size, size, key=key_heads)
        head_maps = np.concatenate([own, drawn])
    return jnp.asarray(head_maps, jnp.float32), jnp.asarray(stream_maps, jnp.float32)
