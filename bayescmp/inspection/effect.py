"""An effect: a place where an instrument sees more than its control does, with its error rate."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.stats
from jaxtyping import Float

LEVEL = 0.05
"""Chance that an instrument reports any effect where there is none."""


@dataclass(frozen=True)
class Effect:
    """What an instrument saw at one place, beside what its control showed there."""

    where: str
    """The place, in words: a place of the residual stream, a layer or a head."""
    value: float
    """What was measured."""
    control: float
    """Mean of the control."""
    p_value: float
    """Chance of a value as far out if the place were one more draw of the control."""

    def __post_init__(self) -> None:
        """Check that the p-value is a probability."""
        if not 0.0 <= self.p_value <= 1.0:
            raise ValueError(f"p_value: expected 0 to 1, got {self.p_value}")


def exceedance(value: float, controls: Float[np.ndarray, " draw"]) -> float:
    """Return the chance that one more draw of a control would exceed a value.

    For ``n`` normal draws of mean ``m`` and standard deviation ``s``, a further draw ``v`` makes
    ``(v - m) / (s sqrt(1 + 1/n))`` a Student variable with ``n - 1`` degrees of freedom.

    Args:
        value: What was measured; large values speak for an effect.
        controls: The same measurement on draws of the control, at least three.

    Returns:
        One-sided p-value. Where all draws agree it is 0 for a larger value and 1 otherwise.

    Raises:
        ValueError: If there are fewer than three draws, or a number is not finite.

    Example:
        >>> from bayescmp.inspection.effect import exceedance
        >>> round(exceedance(1.0, np.array([-1.0, 0.0, 1.0])), 3)
        0.239
    """
    if controls.size < 3:
        raise ValueError(f"controls: expected at least 3 draws, got {controls.size}")
    if not (np.isfinite(value) and np.isfinite(controls).all()):
        raise ValueError("controls: expected finite numbers for value and draws, got others")
    spread = float(controls.std(ddof=1)) * np.sqrt(1.0 + 1.0 / controls.size)
    difference = value - float(controls.mean())
    # Equal draws differ by rounding only; 1e-12 of their size is far above that.
    if spread <= 1e-12 * max(abs(value), float(np.abs(controls).max()), 1e-300):
        return 0.0 if difference > spread else 1.0
    return float(scipy.stats.t.sf(difference / spread, controls.size - 1))


def select(candidates: Sequence[Effect], level: float = LEVEL) -> tuple[Effect, ...]:
    """Keep the effects that stand out when all places are looked at together.

    Holm's procedure: the k-th smallest of n p-values is held against ``level / (n - k + 1)``
    until one fails. The chance of any false effect is at most ``level``, whatever the
    dependence between places.

    Args:
        candidates: One for each place that was looked at.
        level: Chance of any false effect.

    Returns:
        Those that stand out, the clearest first.

    Raises:
        ValueError: If the level is not between 0 and 1.

    Source: Holm, Scandinavian Journal of Statistics 6 (1979).

    Example:
        >>> from bayescmp.inspection.effect import Effect, select
        >>> found = [Effect("head 1", 3.0, 0.0, 0.01), Effect("head 2", 1.0, 0.0, 0.2)]
        >>> [effect.where for effect in select(found)]
        ['head 1']
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level: expected a number between 0 and 1, got {level}")
    ordered = sorted(candidates, key=lambda effect: effect.p_value)
    for k, effect in enumerate(ordered):
        if effect.p_value > level / (len(ordered) - k):
            return tuple(ordered[:k])
    return tuple(ordered)
