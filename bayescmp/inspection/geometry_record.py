"""What geometry found in one network, with every control beside it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import scipy.stats
from jaxtyping import Float

from bayescmp.inspection.cross_network import Similarity
from bayescmp.inspection.domain_restriction import Domains
from bayescmp.inspection.effect import LEVEL, Effect, exceedance, select
from bayescmp.inspection.simplex import Simplex

FEWEST_DRAWS = 3
"""Untrained networks without which nothing can be said to stand out."""


@dataclass(frozen=True)
class Controlled:
    """A measure at some places, beside the same on untrained networks."""

    value: Float[np.ndarray, "*place"]
    initial: Float[np.ndarray, "draw *place"]
    """None drawn where a network does not know its own configuration."""

    def mean(self) -> Float[np.ndarray, "*place"]:
        """Return the mean over untrained networks; NaN where there is none."""
        if len(self.initial) == 0:
            return np.full(self.value.shape, np.nan)
        return np.asarray(self.initial.mean(axis=0))

    def spread(self) -> Float[np.ndarray, "*place"]:
        """Return their standard deviation; NaN where there are fewer than two."""
        if len(self.initial) < 2:
            return np.full(self.value.shape, np.nan)
        return np.asarray(self.initial.std(axis=0, ddof=1))


@dataclass(frozen=True)
class Manifolds:
    """How values and streams spread."""

    names: tuple[str, ...]
    """The places: values of each block where it attends, then every stream."""
    measures: dict[str, Controlled]
    """Fields of :class:`bayescmp.layers.Manifold` by name."""
    gaussian: dict[str, Float[np.ndarray, " place"]]
    """Mean of ``pc1`` and ``participation`` over draws of independent normal features."""
    permuted: dict[str, Float[np.ndarray, " place"]]
    """The same over draws in which each feature is shuffled by itself."""


Outlying = Callable[[np.ndarray], np.ndarray]


def _smaller(values: np.ndarray) -> np.ndarray:
    return -values


def _probit(share: np.ndarray) -> np.ndarray:
    """Stretch shares to normal ones, as a uniform share would be.

    One less than 1e-9, the square of rounding in 32 bits and more, counts as that far away.
    """
    return scipy.stats.norm.ppf(np.clip(share, 1e-9, 1.0 - 1e-9))


WHAT_STANDS_OUT: Mapping[str, tuple[str, Outlying]] = MappingProxyType(
    {
        "token_key_cosine": ("keys of tokens more orthogonal", _smaller),
        "key_column_cosine": ("columns of the key matrix more orthogonal", _smaller),
        "attention_entropy": ("attention sharper", _smaller),
        "spent_mass": ("more attention on spent evidence", np.asarray),
        "alignment": ("output follows the exact predictive", _probit),
    }
)
"""Measures of heads, what is said of those that stand out, and the scale that it is judged on."""


@dataclass(frozen=True)
class Geometry:
    """Directions inside one network, beside their nulls; information in nats."""

    network: str
    """Name of its kind."""
    stream_names: tuple[str, ...]
    heads: dict[str, Controlled]
    """Measures of every block and head by name; absent where they do not apply."""
    even: dict[str, float]
    """What attention that looks everywhere evenly has of some of these measures."""
    chance: dict[str, float]
    """What random directions have of some of these measures."""
    embedding: Controlled | None
    """Mean absolute cosine of token embeddings; None where inputs are no tokens."""
    manifolds: Manifolds
    simplex: Simplex
    similarity: Similarity
    """Of the places in the stream."""
    similarity_initial: Float[np.ndarray, "draw stream other_stream"]
    """CKA, debiased, of untrained networks."""
    domains: Domains | None
    """None where no latent site tells families of sequences apart."""
    inputs: np.ndarray
    """Sequences that were looked at."""
    streams: Float[np.ndarray, "stream row feature"]
    """Streams at their questions, to compare seeds with."""
    row_weights: Float[np.ndarray, " row"] | None
    """Exact weights of the rows; None where sequences were drawn."""
    absent: tuple[str, ...]
    """What was not measured, and why, in words."""

    def effects(self, level: float = LEVEL) -> tuple[Effect, ...]:
        """Name the heads that stand out from those of untrained networks.

        Each measure of a head is held against the same head of networks of the same shape with
        fresh weights. Manifolds are left out: values and streams of many untrained networks lie
        along few directions; see :meth:`low_dimensional`.

        Args:
            level: Chance of any effect in a network whose weights are as at the start.

        Returns:
            Those heads, the clearest first; none where no control could be drawn.

        Raises:
            ValueError: If the level is not between 0 and 1.
        """
        found = []
        for name, (what, outlying) in WHAT_STANDS_OUT.items():
            if name in self.heads:
                found += _candidates(self.heads[name], _head_name, what, outlying)
        return select(found, level)

    def low_dimensional(self, level: float = LEVEL) -> tuple[Effect, ...]:
        """Name the places whose first component holds more than in untrained networks.

        Args:
            level: Chance of any such place in a network whose weights are as at the start.

        Returns:
            Values and streams, the clearest first; none where no control could be drawn.

        Raises:
            ValueError: If the level is not between 0 and 1.
        """
        names, what = self.manifolds.names, "fewer directions"
        pc1 = self.manifolds.measures["pc1"]
        return select(_candidates(pc1, lambda place: names[place[0]], what, _probit), level)


def _head_name(place: tuple[int, ...]) -> str:
    return f"block {place[0] + 1} head {place[1]}"


def _candidates(
    measure: Controlled, name: Callable[[tuple[int, ...]], str], what: str, outlying: Outlying
) -> list[Effect]:
    """List the places at which the network and all draws have a number."""
    if len(measure.initial) < FEWEST_DRAWS:
        return []
    known = np.isfinite(measure.value) & np.isfinite(measure.initial).all(axis=0)
    own, drawn = outlying(measure.value), outlying(measure.initial)
    return [
        Effect(
            where=f"{name(place)}: {what}",
            value=float(measure.value[place]),
            control=float(measure.initial[(slice(None), *place)].mean()),
            p_value=exceedance(float(own[place]), drawn[(slice(None), *place)]),
        )
        for place in zip(*(index.tolist() for index in np.nonzero(known)), strict=True)
    ]
