"""A score that cannot be shown without its controls."""

import html
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayescmp.comparison.tally import BITS
from bayescmp.inspection.probe_controls import INITIAL


@dataclass(frozen=True, repr=False)
class Controlled:
    """A score that cannot be shown without its controls.

    Example:
        >>> from bayescmp.inspection.probe_controlled import Controlled
        >>> draws = np.array([0.94, 0.95, 0.96])
        >>> Controlled("R2", 0.999, 0.998, 1.0, draws, {"last input": 0.8})
        R2 0.999 [0.998, 1] beside random initialisation 0.95 (0.94 to 0.96), last input 0.8
    """

    name: str
    """What the score is: ``R2`` or ``KL in bit``."""
    value: float
    low: float
    """Lower end of the interval over sequences; the value itself where all are listed."""
    high: float
    initial: Float[np.ndarray, " draw"]
    """The same of networks that nobody trained."""
    controls: Mapping[str, float]
    """The same of every other control; NaN where it does not exist."""

    def __str__(self) -> str:
        """Write the score with its interval and all controls."""
        ends = f"[{self.low:.4g}, {self.high:.4g}]"
        drawn = f"{self.initial.mean():.4g} ({self.initial.min():.4g} to {self.initial.max():.4g})"
        known = [f"{name} {x:.4g}" for name, x in self.controls.items() if not math.isnan(x)]
        beside = ", ".join([f"{INITIAL} {drawn}", *known])
        return f"{self.name} {self.value:.4g} {ends} beside {beside}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Write the score as a table with its controls, for notebooks."""
        rows = {
            f"{self.name} of the network": f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]",
            f"{INITIAL}, {self.initial.size} draws": f"{self.initial.mean():.4g} "
            f"({self.initial.min():.4g} to {self.initial.max():.4g})",
            **{name: f"{x:.4g}" for name, x in self.controls.items() if not math.isnan(x)},
        }
        cells = (
            f"<tr><th>{html.escape(name)}</th><td>{text}</td></tr>" for name, text in rows.items()
        )
        return f"<table>{''.join(cells)}</table>"


def in_bits(score: Controlled) -> Controlled:
    """Convert a divergence from nats to bits.

    Args:
        score: Divergence in nats.

    Returns:
        The same in bits.
    """
    return Controlled(
        "KL in bit",
        score.value * BITS,
        score.low * BITS,
        score.high * BITS,
        score.initial * BITS,
        {name: x * BITS for name, x in score.controls.items()},
    )
