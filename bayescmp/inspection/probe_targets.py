"""What probes look for in a residual stream: the exact belief and what follows from it."""

from dataclasses import dataclass

import numpy as np
import scipy.special
from jaxtyping import Float

from bayescmp.inspection.recording import Recording
from bayescmp.layout import Layout

MOST_COLUMNS = 128
"""Numbers of one belief that are read at most; of more, whole laws are left out evenly."""

SUM_TOLERANCE = 1e-6
"""How far a law's sum may lie from one."""


@dataclass(frozen=True)
class ProbeTarget:
    """Numbers that an affine read-out is fitted to."""

    name: str
    meaning: str
    """In words, as it stands in reports."""
    values: Float[np.ndarray, "row column"]
    """One row for each question that counts; entropies in nats."""
    law_size: int | None
    """Where columns are probabilities: how many make up one law. None for other numbers."""

    @property
    def num_columns(self) -> int:
        """How many numbers are read."""
        return self.values.shape[1]


def build_targets(recording: Recording) -> tuple[ProbeTarget, ...]:
    """Collect what can be read of a recording's exact answers.

    Args:
        recording: A network on held-out sequences.

    Returns:
        Belief about each latent site (its law, or the parameters of a conjugate law), the
        predictive and its entropy, which outcomes are impossible, and, where no belief holds
        parameters, counts of what was shown. What does not vary is left out.

    Raises:
        ValueError: If nothing varies.
    """
    beliefs = [_belief(site, recording.rows(x)) for site, x in recording.belief.items()]
    found = [*beliefs, *_of_the_predictive(recording)]
    if not any(target.name.startswith("parameters") for target in beliefs):
        found += _counts(recording)
    varying = tuple(target for target in found if _varies(target.values))
    if not varying:
        raise ValueError("recording: expected exact answers that vary, got the same everywhere")
    return varying


def _belief(site: str, values: Float[np.ndarray, "row column"]) -> ProbeTarget:
    """Describe the belief about a site, as laws where it is one."""
    size = _law_size(values)
    if size is None:
        meaning = f"parameters of the exact posterior of {site}"
        return ProbeTarget(f"parameters: {site}", meaning, values[:, :MOST_COLUMNS], None)
    num = values.shape[1] // size
    most = max(1, MOST_COLUMNS // size)
    kept = np.unique(np.linspace(0, num - 1, min(num, most)).round().astype(int))
    laws = values.reshape(-1, num, size)[:, kept].reshape(len(values), -1)
    part = (
        "" if num == 1 else f", {len(kept)} of {num} laws" if len(kept) < num else f", {num} laws"
    )
    return ProbeTarget(f"belief: {site}", f"exact posterior of {site}{part}", laws, size)


def _law_size(values: Float[np.ndarray, "row column"]) -> int | None:
    """Return the least number of neighbouring columns that always sum to one."""
    if (values < -SUM_TOLERANCE).any():
        return None
    num = values.shape[1]
    sizes = (size for size in range(2, num + 1) if num % size == 0)
    return next((size for size in sizes if _are_laws(values, size)), None)


def _are_laws(values: Float[np.ndarray, "row column"], size: int) -> bool:
    """Whether neighbouring columns sum to one everywhere; a first row tells in most cases."""
    sums = (rows.reshape(-1, size).sum(axis=-1) for rows in (values[:1], values))
    return all(bool((np.abs(one - 1.0) <= SUM_TOLERANCE).all()) for one in sums)


def _of_the_predictive(recording: Recording) -> list[ProbeTarget]:
    log_p = recording.rows(recording.evaluation.log_p)
    law = np.exp(log_p)
    entropy = scipy.special.entr(law).sum(axis=-1, keepdims=True)
    impossible = np.isneginf(log_p).astype(np.float64)
    return [
        ProbeTarget("predictive", "exact law of the next outcome", law, law.shape[1]),
        ProbeTarget("entropy", "entropy of the exact law of the next outcome", entropy, None),
        ProbeTarget("eliminated", "one where an outcome is impossible", impossible, None),
    ]


def _counts(recording: Recording) -> list[ProbeTarget]:
    """Count what was shown: outcomes before each question, or else the first query up to it."""
    layout, batch = recording.evaluation.model.layout, recording.evaluation.batch
    if layout.reveal and layout.outcome.num_values is not None:
        site, values = layout.outcome, np.asarray(batch.outcomes)
    elif _first_query_is_finite(layout):
        site = layout.query[0]
        values = np.asarray(batch.shown[site.name]) - site.lowest
    else:
        return []
    shown = np.eye(site.num_values or 0)[values.astype(int)]
    before = shown if site is layout.outcome else np.zeros_like(shown)
    counts = np.cumsum(shown, axis=1) - before
    meaning = f"how often each value of {site.name} was shown so far"
    return [ProbeTarget(f"counts: {site.name}", meaning, recording.rows(counts), None)]


def _first_query_is_finite(layout: Layout) -> bool:
    if not layout.query:
        return False
    site = layout.query[0]
    return site.num_values is not None and len(site.shape) == 1


def _varies(values: Float[np.ndarray, "row column"]) -> bool:
    """Whether any column differs between rows by more than rounding."""
    return bool((np.ptp(values, axis=0) > 1e-9 * np.abs(values).max(initial=1e-300)).any())
