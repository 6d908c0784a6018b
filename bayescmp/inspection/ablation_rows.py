"""Every ablation that is made: of which part, with what in its place, and the controls."""

from dataclasses import dataclass
from itertools import product
from typing import Literal

import jax.numpy as jnp
import numpy as np

from bayescmp.inspection.ablation_runs import WAYS, attends
from bayescmp.inspection.intervention_cases import Cases
from bayescmp.layers.interventions import PartChanges

TESTED = WAYS.index("mean")
"""The way that effects are named by."""

PARTS = ("mixer", "mlp", "block")
"""Parts of a block that are taken away whole; the block is both others at once."""

HEADS, MIXER, MLP = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
ACTS = (MIXER, MLP, (0.0, 1.0, 1.0))
"""What is changed where a part is taken away, in the order of ``PARTS``."""

Kind = Literal["heads", "head_controls", "parts", "part_controls"]
Row = tuple[int, tuple[float, float, float], int, int, int]
"""Layer; whether heads, mixer and feed-forward part change; way; map of heads; map of others."""


@dataclass(frozen=True)
class Rows:
    """All ablations of each kind, and the axes along which they are arranged."""

    rows: dict[Kind, list[Row]]
    shapes: dict[Kind, tuple[int, ...]]

    @staticmethod
    def of(cases: Cases, num_controls: int) -> "Rows":
        """List the ablations of a network.

        Args:
            cases: Sequences with their network.
            num_controls: Random ablations of each layer, in every way.

        Returns:
            The rows. The maps that they name are one for each head, then random ones; and the
            identity, then random ones.
        """
        config, few = cases.network.config, max(3, num_controls // 4)
        layers, num_heads, ways = range(config.depth), config.heads_per_layer, range(len(WAYS))
        heads, draws = range(num_heads if attends(cases.network) else 0), range(num_controls)
        rows: dict[Kind, list[Row]] = {
            "heads": [(n, HEADS, way, head, 0) for way, n, head in product(ways, layers, heads)],
            "head_controls": [
                (n, HEADS, way, num_heads + draw, 0)
                if len(heads) > 1
                else (n, MIXER, way, 0, 1 + draw)
                for way, n, draw in product(ways, layers, draws)
            ],
            "parts": [(n, acts, way, 0, 0) for way, acts, n in product(ways, ACTS, layers)],
            "part_controls": [
                (n, acts, way, 0, 1 + draw)
                for way, acts, n, draw in product(ways, ACTS, layers, draws[:few])
            ],
        }
        shapes: dict[Kind, tuple[int, ...]] = {
            "heads": (len(WAYS), config.depth, len(heads)),
            "head_controls": (len(WAYS), config.depth, num_controls),
            "parts": (len(WAYS), len(PARTS), config.depth),
            "part_controls": (len(WAYS), len(PARTS), config.depth, few),
        }
        return Rows(rows, shapes)

    def items(self) -> PartChanges:
        """Return all rows as columns; the first one, before them, changes nothing."""
        nothing: Row = (0, (0.0, 0.0, 0.0), 0, 0, 0)
        rows = [nothing, *(row for each in self.rows.values() for row in each)]
        layer, acts, way, head_map, stream_map = zip(*rows, strict=True)
        return PartChanges(
            jnp.array(layer),
            jnp.array(acts, jnp.float32),
            jnp.array(way),
            jnp.array(head_map),
            jnp.array(stream_map),
        )

    def take(self, results: np.ndarray, kind: Kind) -> np.ndarray:
        """Return the results of one kind, arranged along their axes.

        Args:
            results: One for each of the items, in their order.
            kind: Which rows.

        Returns:
            Results with the axes of that kind in front.
        """
        kinds = list(self.rows)
        first = 1 + sum(len(self.rows[each]) for each in kinds[: kinds.index(kind)])
        part = results[first : first + len(self.rows[kind])]
        return part.reshape(*self.shapes[kind], *results.shape[1:])
