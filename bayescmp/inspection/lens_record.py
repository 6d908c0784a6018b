"""What lenses saw of one network, and where that is more than in networks nobody trained."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped

from bayescmp.inspection.effect import LEVEL, Effect, exceedance, select
from bayescmp.inspection.lens_distances import Distances

LENSES = ("logit lens", "tuned lens", "Bayes lens")
"""The lenses, in the order of their axis."""

TOLERANCE = 1e-5
"""Added to a divergence before its logarithm, in bits: what is less counts as exact."""

LEAST_RISE = 0.1
"""Halvings by which a place must be ahead of the control: 7 % of a divergence."""

LEAST_WAY = 0.02
"""Share of the way to exact by which a head must be ahead of the control."""


@dataclass(frozen=True)
class Untrained:
    """What the Bayes lens reads in networks with initial weights, KL from exact in bits."""

    streams: Float[np.ndarray, "draw stream"]
    """At each place of the stream; no draws where a network does not know its configuration."""
    heads: Float[np.ndarray, "head_draw head"]
    """From what each head writes; no heads where nothing attends."""


@dataclass(frozen=True)
class Lenses:
    """What three lenses see of one network; information in bits, means over questions."""

    stream_names: tuple[str, ...]
    """The places in the residual stream."""
    rungs: tuple[str, ...]
    """Names of the rivals."""
    distances: tuple[tuple[Distances, ...], ...]
    """For each lens and place: how far exact Bayes, the output and every rung are from it."""
    penalty: Float[np.ndarray, "lens stream"]
    """Ridge penalty that was chosen; infinite where no fit helped, NaN for the logit lens."""
    constant_kl: float
    """KL from the exact predictive to its own mean: what needs no network."""
    head_names: tuple[str, ...]
    """The attention heads, block by block; none where nothing attends."""
    head_kl: Float[np.ndarray, " head"]
    """KL from the exact predictive to the Bayes lens of what one head writes."""
    untrained: Untrained
    """The same of networks with initial weights."""
    fitting: str
    """Which questions lenses were fitted to and judged on."""

    def stack(self, name: str) -> Float[np.ndarray, "lens stream law *position"]:
        """Return one of the distances as an array.

        Args:
            name: Field of :class:`~bayescmp.inspection.lens_distances.Distances`.

        Returns:
            Its values; laws are the exact one, the network's output, then the rungs.
        """
        return np.stack([[getattr(one, name) for one in row] for row in self.distances])

    def names(self, name: str) -> Shaped[np.ndarray, "lens stream"]:
        """Return which rival is nearest, or which others are tied with it, as an array of text.

        Args:
            name: ``nearest`` or ``tied``.

        Returns:
            Names for each lens and place.
        """
        return np.array([[getattr(one, name) for one in row] for row in self.distances])

    @property
    def bayes_kl(self) -> Float[np.ndarray, " stream"]:
        """KL from the exact predictive to the Bayes lens at each place."""
        return self.stack("mean")[LENSES.index("Bayes lens"), :, 0]

    def effects(self, level: float = LEVEL) -> tuple[Effect, ...]:
        """Return the heads and places that add more of the answer than untrained ones do.

        Of a place it is measured by how many halvings the Bayes lens's distance from exact falls
        from the place before, or at the first from the exact predictive's own mean; what stays
        in the stream is not counted again. Of a head it is which part of the way from that mean
        to exact its write alone goes, ``1 - sqrt(KL / KL before)``: roots of the divergence of
        untrained heads are nearly normal, logarithms are not.

        Args:
            level: Chance of any such head or place where there is none.

        Returns:
            Heads and places, the clearest first; none where there is no control.
        """
        own = np.diff(self._decoded(self.bayes_kl), prepend=0.0)
        control = np.diff(self._decoded(self.untrained.streams), prepend=0.0)
        places = _compare(self.stream_names, own, control, LEAST_RISE)
        way, ways = (self._approached(kl) for kl in (self.head_kl, self.untrained.heads))
        heads = _compare(self.head_names, way, ways, LEAST_WAY)
        return select([*places, *heads], level)

    def decodable(self, level: float = LEVEL) -> tuple[Effect, ...]:
        """Return the places where the Bayes lens reads more than in untrained networks.

        Args:
            level: Chance of any such place where there is none.

        Returns:
            The places, the clearest first; none where there is no control.
        """
        own, control = (self._decoded(kl) for kl in (self.bayes_kl, self.untrained.streams))
        return select(_compare(self.stream_names, own, control, LEAST_RISE), level)

    def _decoded(self, kl: Float[np.ndarray, "*draw place"]) -> Float[np.ndarray, "*draw place"]:
        """Return how often a divergence is halved in comparison to the mean law's."""
        return np.log2((self.constant_kl + TOLERANCE) / (kl + TOLERANCE))

    def _approached(self, kl: Float[np.ndarray, "*draw head"]) -> Float[np.ndarray, "*draw head"]:
        """Return which part of the way from the mean law to exact a divergence is."""
        return 1.0 - np.sqrt((kl + TOLERANCE) / (self.constant_kl + TOLERANCE))


def _compare(
    names: tuple[str, ...],
    own: Float[np.ndarray, " place"],
    control: Float[np.ndarray, "draw place"],
    least: float,
) -> list[Effect]:
    """Hold each place, or head, against the same one of untrained networks, by at least so much."""
    if not len(control):
        return []
    return [
        Effect(
            where=name,
            value=float(own[place]),
            control=float(control[:, place].mean()),
            p_value=exceedance(float(own[place]) - least, control[:, place]),
        )
        for place, name in enumerate(names)
    ]
