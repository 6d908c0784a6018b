"""What a score is made of: miscalibration, discrimination and uncertainty.

With ``c`` the forecasts recalibrated by isotonic regression and ``r`` the mean outcome,

    S(q) = [S(q) - S(c)] - [S(r) - S(c)] + S(r) = MCB - DSC + UNC,

exactly, and MCB and DSC are never negative, for the regression is the best rising function under
every proper score. ``MCB`` is what recalibration would gain, ``DSC`` how much better than the
mean the forecasts can tell cases apart, ``UNC`` the score of the mean itself.

Several outcomes are scored one against the rest and summed. Summed over outcomes the Brier score
is that of the whole law, ``sum_k (q_k - y_k)^2``. The log score, ``-sum_k [y_k log q_k +
(1 - y_k) log(1 - q_k)]``, is a proper score of the whole law too, but more than ``-log q_y``,
which no recalibration of one outcome at a time leaves normalised; two outcomes score twice.

Both scores are linear in the outcome. With the exact probability in its place they are expected
scores, and the decomposition needs no labels.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayescmp.measures.corp import Blocks, Pooled, pool_forecasts

SCORES = ("brier", "log")
"""Scores that are decomposed."""

PARTS = ("score", "miscalibration", "discrimination", "uncertainty")
"""What a decomposition says, in order."""

Laws = Float[np.ndarray, "row outcome"]


@dataclass(frozen=True)
class Scored:
    """Forecasts of one outcome with what scoring and recalibrating them needs, labels aside."""

    pooled: Pooled
    if_true: Float[np.ndarray, "score distinct"]
    """Score of each forecast where it came true; the log score in nats."""
    if_false: Float[np.ndarray, "score distinct"]

    def decompose(self, targets: Float[np.ndarray, " entry"]) -> Float[np.ndarray, "score part"]:
        """Decompose the mean scores against outcomes or exact probabilities.

        Args:
            targets: Outcomes, 0 or 1, or their exact probabilities.

        Returns:
            Score, miscalibration, discrimination and uncertainty; the log score in nats,
            infinite where something came true that was called impossible.
        """
        came, counts = self.pooled.sums(targets), self.pooled.counts
        total = counts.sum()
        score = (_dot(self.if_true, came) + _dot(self.if_false, counts - came)) / total
        recalibrated = _score_of_blocks(self.pooled.regress_sums(came))
        uncertainty = _score_of_mean(np.array([came.sum() / total]))[:, 0]
        return np.stack(
            [score, score - recalibrated, uncertainty - recalibrated, uncertainty], axis=-1
        )


def score_forecasts(forecasts: Float[np.ndarray, " entry"]) -> Scored:
    """Prepare forecasts of one outcome for decompositions against any labels.

    Args:
        forecasts: Predicted probabilities [1].

    Returns:
        The forecasts, pooled and scored.

    Raises:
        ValueError: If there is none, or one is not inside [0, 1].

    Example:
        >>> scored = score_forecasts(np.array([0.1, 0.1, 0.9, 0.9]))
        >>> brier, log = scored.decompose(np.array([0.0, 0.0, 1.0, 0.0]))
        >>> bool(np.isclose(brier[0], brier[1] - brier[2] + brier[3])), brier.round(4)
        (True, array([0.21  , 0.085 , 0.0625, 0.1875]))
    """
    pooled = pool_forecasts(forecasts)
    q = np.minimum(pooled.forecasts, 1.0)
    with np.errstate(divide="ignore"):  # what was called impossible or certain
        if_true = np.stack([(1.0 - q) ** 2, -np.log(q)])
        if_false = np.stack([q**2, -np.log1p(-q)])
    return Scored(pooled, if_true, if_false)


def decompose_scores(q: Laws, targets: Laws) -> Float[np.ndarray, "score part"]:
    """Decompose the scores of laws over several outcomes, one against the rest and summed.

    Args:
        q: Predicted probabilities [1].
        targets: Outcomes as rows of zeros and a one, or exact probabilities.

    Returns:
        For the Brier and the log score [nat]: score, miscalibration, discrimination, uncertainty.

    Raises:
        ValueError: If shapes differ, there is no row, or a number is no probability.

    Source: Dimitriadis, Gneiting and Jordan, Stable reliability diagrams for probabilistic
    classifiers, 2021, PNAS 118, e2016191118, for one outcome.

    Example:
        >>> p = np.array([[0.5, 0.5], [0.9, 0.1]])
        >>> decompose_scores(p, p)[0].round(3) + 0.0  # exact: nothing to recalibrate
        array([0.34, 0.  , 0.08, 0.42])
    """
    if q.shape != targets.shape:
        raise ValueError(f"targets: expected shape {q.shape}, got {targets.shape}")
    columns = zip(q.T, targets.T, strict=True)
    return np.sum([score_forecasts(one).decompose(came) for one, came in columns], axis=0)


def _dot(
    scores: Float[np.ndarray, "score distinct"], weights: Float[np.ndarray, " distinct"]
) -> Float[np.ndarray, " score"]:
    """Sum scores by weight; what never came does not count, however bad it would have been."""
    positive = weights > 0.0
    return scores[:, positive] @ weights[positive]


def _score_of_blocks(blocks: Blocks) -> Float[np.ndarray, " score"]:
    """Return the mean scores of recalibrated forecasts: those of each part's own mean."""
    return _score_of_mean(blocks.value) @ blocks.weight / blocks.weight.sum()


def _score_of_mean(mean: Float[np.ndarray, " block"]) -> Float[np.ndarray, "score block"]:
    """Return the scores of frequencies that are forecast as themselves."""
    from scipy.special import entr  # 0.1 s to import, and only needed here

    mean = np.clip(mean, 0.0, 1.0)  # sums are off by rounding
    return np.stack([mean * (1.0 - mean), entr(mean) + entr(1.0 - mean)])
