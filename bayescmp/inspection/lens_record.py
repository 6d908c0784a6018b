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
    control_kl: Float[np.ndarray, "draw stream"]
    """KL from the exact predictive to the Bayes lens of networks with initial weights; no draws
    where the network does not know its configuration."""
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
        """Return the places that add more of the answer than those of untrained networks do.

        Measured is by how many halvings the Bayes lens's distance from exact falls from the
        place before, or at the first place from the exact predictive's own mean. What stays in
        the stream is not counted again.

        Args:
            level: Chance of any such place where there is none.

        Returns:
            The places, the clearest first; none where there is no control.
        """
        own = np.diff(self._decoded(self.bayes_kl), prepend=0.0)
        control = np.diff(self._decoded(self.control_kl), prepend=0.0)
        return self._beyond(own, control, level)

    def decodable(self, level: float = LEVEL) -> tuple[Effect, ...]:
        """Return the places where the Bayes lens reads more than in untrained networks.

        Args:
            level: Chance of any such place where there is none.

        Returns:
            The places, the clearest first; none where there is no control.
        """
        return self._beyond(self._decoded(self.bayes_kl), self._decoded(self.control_kl), level)

    def _decoded(self, kl: Float[np.ndarray, "*draw stream"]) -> Float[np.ndarray, "*draw stream"]:
        """Return how often a divergence is halved in comparison to the mean law's."""
        return np.log2((self.constant_kl + TOLERANCE) / (kl + TOLERANCE))

    def _beyond(
        self,
        own: Float[np.ndarray, " stream"],
        control: Float[np.ndarray, "draw stream"],
        level: float,
    ) -> tuple[Effect, ...]:
        if not len(control):
            return ()
        candidates = [
            Effect(
                where=name,
                value=float(own[place]),
                control=float(control[:, place].mean()),
                p_value=exceedance(float(own[place]) - LEAST_RISE, control[:, place]),
            )
            for place, name in enumerate(self.stream_names)
        ]
        return select(candidates, level)
