"""Claims with thresholds fixed beforehand."""

import math
from dataclasses import dataclass
from typing import Literal

Direction = Literal["below", "above"]


@dataclass(frozen=True)
class Claim:
    """A statement that a study makes before it runs.

    It says that the mean of a metric over training runs lies on one side of a threshold.
    The threshold is a number, or a rung of the ladder times a factor.

    Example:
        >>> mean_kl = "/divergence/mean_kl"
        >>> claim = bc.Claim("KL is below window 3's", mean_kl, 1.0, "below", rung="window 3")
        >>> bc.judge(claim, tree).threshold == float(tree["/ladder/mean_kl"].sel(rung="window 3"))
        True
    """

    statement: str
    """The claim in words, one line."""
    metric: str
    """Path of a variable of the tree with the axis seed alone, ``/divergence/mean_kl``."""
    threshold: float
    """Threshold in the unit of the metric; with `rung` a factor, 1.0 for the rung's value."""
    direction: Direction
    """Side of the threshold where the mean is claimed to lie."""
    level: float = 0.95
    """Confidence level of the interval of this one claim, between 0 and 1."""
    min_seeds: int = 5
    """Seeds without which there is no verdict, at least 2."""
    rung: str | None = None
    """Rung of the ladder whose value of the same variable is the threshold."""

    def __post_init__(self) -> None:
        if not self.statement or "\n" in self.statement:
            raise ValueError(f"statement: expected one line of text, got {self.statement!r}")
        parts = self.metric.split("/")
        if len(parts) < 3 or parts[0] or not all(parts[1:]):
            raise ValueError(f"metric: expected a path '/group/variable', got {self.metric!r}")
        if not math.isfinite(self.threshold):
            raise ValueError(f"threshold: expected a finite number, got {self.threshold}")
        if self.direction not in ("below", "above"):
            raise ValueError(f"direction: expected 'below' or 'above', got {self.direction!r}")
        if not 0.0 < self.level < 1.0:
            raise ValueError(f"level: expected a number between 0 and 1, got {self.level}")
        if self.min_seeds < 2:
            raise ValueError(f"min_seeds: expected at least 2, got {self.min_seeds}")
