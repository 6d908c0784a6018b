"""Everything that reliability says of one set of independent questions."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from bayescmp.measures.consistency import as_targets, draw_outcomes, monte_carlo_p_value
from bayescmp.measures.corp import isotonic_error, pool_forecasts
from bayescmp.measures.debiased import binned_errors
from bayescmp.measures.score_decomposition import PARTS, SCORES, score_forecasts

AGAINST = ("outcomes", "exact law")
"""What forecasts are held against."""

KINDS = ("class-wise", "top-label")
"""Each outcome by itself, averaged; or the likeliest outcome of each law."""

ESTIMATORS = ("binned", "debiased", "isotonic")
"""The expected calibration error, the same less its bias, and without bins."""

Laws = Float[np.ndarray, "row outcome"]
Errors = Float[np.ndarray, "kind estimator"]


@dataclass(frozen=True)
class Rows:
    """Independent questions: what was predicted, what came, and what is exact."""

    q: Laws
    """Predicted probabilities."""
    p: Laws
    """Exact probabilities."""
    outcomes: Int[np.ndarray, " row"]

    @property
    def num(self) -> int:
        """How many there are."""
        return len(self.q)

    def top_label(self) -> tuple[Float[np.ndarray, " row"], ...]:
        """Return forecast, outcome and exact probability of each law's likeliest outcome."""
        top = self.q.argmax(axis=1)
        rows = np.arange(self.num)
        return self.q[rows, top], (self.outcomes == top).astype(np.float64), self.p[rows, top]


@dataclass(frozen=True)
class RowsReliability:
    """Decomposed scores and calibration errors of one set of questions; NaN without any."""

    num: int
    """Questions, each of another sequence."""
    parts: Float[np.ndarray, "score against part"]
    """Score, miscalibration, discrimination and uncertainty; the log score in nats."""
    null_miscalibration: Float[np.ndarray, " score"]
    """Mean miscalibration of outcomes that were drawn from the laws themselves."""
    p_value: Float[np.ndarray, " score"]
    """Chance of as much miscalibration if they had been; NaN where it was not asked for."""
    errors: Errors
    """Calibration errors against outcomes."""
    exact_errors: Errors
    """What each of them would be with exact probabilities for frequencies."""
    squared: Float[np.ndarray, " kind"]
    """Mean square error in bins against outcomes, less its bias."""
    exact_squared: Float[np.ndarray, " kind"]
    """The same against exact probabilities."""


def measure_rows(rows: Rows, num_draws: int, rng: np.random.Generator) -> RowsReliability:
    """Decompose scores, test miscalibration and measure calibration errors.

    Args:
        rows: Independent questions.
        num_draws: Sets of outcomes drawn from the laws themselves; none for no test.
        rng: Where they come from.

    Returns:
        What was found.
    """
    if not rows.num:
        return _nothing()
    scored = [score_forecasts(column) for column in rows.q.T]
    targets = as_targets(rows.outcomes, rows.q.shape[1])
    parts = [
        np.sum([one.decompose(column) for one, column in zip(scored, table.T, strict=True)], axis=0)
        for table in (targets, rows.p)
    ]
    null, p_value = np.full(len(SCORES), np.nan), np.full(len(SCORES), np.nan)
    if num_draws:
        draws = np.array(
            [
                np.sum([s.decompose((y == k) + 0.0) for k, s in enumerate(scored)], axis=0)[:, 1]
                for y in draw_outcomes(rows.q, num_draws, rng)
            ]
        )
        null = draws.mean(axis=0)
        found = zip(parts[0][:, 1], draws.T, strict=True)
        p_value = np.array([monte_carlo_p_value(float(value), column) for value, column in found])
    errors = np.array([_average(entries) for entries in _entries(rows)])
    return RowsReliability(
        num=rows.num,
        parts=np.stack(parts, axis=1),
        null_miscalibration=null,
        p_value=p_value,
        errors=errors[:, 0, :3],
        exact_errors=errors[:, 1, :3],
        squared=errors[:, 0, 3],
        exact_squared=errors[:, 1, 3],
    )


Entries = list[tuple[Float[np.ndarray, " row"], ...]]


def _entries(rows: Rows) -> Iterator[Entries]:
    """Yield forecasts, outcomes and exact probabilities, for each kind of error."""
    came = as_targets(rows.outcomes, rows.q.shape[1])
    yield [*zip(rows.q.T, came.T, rows.p.T, strict=True)]
    yield [rows.top_label()]


def _average(entries: Entries) -> Float[np.ndarray, "against error"]:
    """Average the errors of each class: binned, debiased, isotonic, and the mean square."""
    tables = []
    for q, came, p in entries:
        binned, pooled = binned_errors(q, came > 0.5, p), pool_forecasts(q)
        drawn = (binned.plain, binned.debiased, isotonic_error(pooled, came), binned.squared)
        exact = (binned.exact, binned.exact, isotonic_error(pooled, p), binned.exact_squared)
        tables.append((drawn, exact))
    return np.mean(tables, axis=0)


def _nothing() -> RowsReliability:
    """Return what is said of no question at all."""

    def empty(*shape: int) -> np.ndarray:
        return np.full(shape, np.nan)

    scores, kinds = len(SCORES), len(KINDS)
    return RowsReliability(
        num=0,
        parts=empty(scores, len(AGAINST), len(PARTS)),
        null_miscalibration=empty(scores),
        p_value=empty(scores),
        errors=empty(kinds, len(ESTIMATORS)),
        exact_errors=empty(kinds, len(ESTIMATORS)),
        squared=empty(kinds),
        exact_squared=empty(kinds),
    )
