"""Is a predictor the posterior predictive of any exchangeable process, the right one or not?"""

from dataclasses import dataclass

import jax
import numpy as np

from bayescmp._types import Key
from bayescmp.auditing.drift import measure_drift
from bayescmp.auditing.exchangeable import ask_oracle, reason_not_to_ask
from bayescmp.auditing.judged import Judged
from bayescmp.auditing.one_step import OneStep
from bayescmp.auditing.orders import Orders
from bayescmp.auditing.paths import Paths, follow_paths
from bayescmp.auditing.steps import Steps, take_apart
from bayescmp.comparison.evaluation import Subject
from bayescmp.inspection.initial import draw_initial
from bayescmp.measures.martingale import ScoreTest
from bayescmp.networks.network import AbstractTracedNetwork

NUM_ORDERED = 256
"""Sequences whose steps are reordered."""

NUM_ORDERS = 8
"""Orders of each of them."""

NUM_CONTEXTS = 128
"""Contexts from which a predictor goes on by itself."""

NUM_PATHS = 8
"""Paths from each of them."""

IMPOSSIBLE = "the process is not exchangeable: in another order of steps, some are impossible"
"""Why the audit does not run where order decides what can happen."""


@dataclass(frozen=True)
class Exchangeability:
    """What reordering, looking one step ahead and going on by itself show of one predictor.

    Everything is None where the audit does not apply. Looking ahead and paths are left out, too,
    where outcomes are bins of a number, since an answer would have to be made up within its bin.
    """

    length: int
    """Number of questions in a sequence."""
    reason: str
    """Why the audit does not apply; empty where it does."""
    oracle_gap: float
    """Largest gap of the oracle itself [1]; NaN where it was not asked."""
    orders: Orders | None = None
    """Gaps between orders."""
    one_step: OneStep | None = None
    """Gaps between now and the mean one step later."""
    drift: ScoreTest | None = None
    """Drift along sequences of the true process."""
    paths: tuple[Paths, ...] = ()
    """Drift and spread along the predictor's own paths, by the length of the context."""
    untrained_orders: Orders | None = None
    """Gaps of a network of the same shape that nobody trained, where there is one."""
    untrained_one_step: OneStep | None = None
    """Its gaps one step ahead."""


def check_exchangeability(
    judged: Judged,
    *,
    key: Key,
    num_ordered: int = NUM_ORDERED,
    num_orders: int = NUM_ORDERS,
    num_contexts: int = NUM_CONTEXTS,
    num_paths: int = NUM_PATHS,
) -> Exchangeability:
    """Check whether a predictor's laws are those of some posterior over exchangeable steps.

    Whether a process is exchangeable is asked of its exact oracle: with the steps in another
    order, and one step ahead, its own gaps must be zero up to rounding. Otherwise the audit
    does not run, and says so. Gaps are computed, and have no p-value; drift is tested.

    Args:
        judged: Laws on drawn sequences.
        key: Typed key of orders, steps and paths.
        num_ordered: Sequences whose steps are reordered, at most.
        num_orders: Orders of each, at least two.
        num_contexts: Contexts from which the predictor goes on by itself, at most.
        num_paths: Paths from each, at least two.

    Returns:
        Gaps, drift and spread, or why they were not measured.

    Raises:
        ValueError: If a number is too small.

    Example:
        >>> oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=4))
        >>> judged = bc.auditing.judge(oracle, oracle, key=jax.random.key(0), num_sequences=64)
        >>> found = check_exchangeability(judged, key=jax.random.key(1), num_paths=2)
        >>> found.reason, bool(found.orders.gap.max() < 1e-9)
        ('', True)
    """
    reason, length = reason_not_to_ask(judged.evaluation), judged.evaluation.model.length
    if reason:
        return Exchangeability(length, reason, np.nan)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
    steps = take_apart(judged.evaluation)
    exact = ask_oracle(steps, num_ordered=num_ordered, num_orders=num_orders, rng=rng)
    if exact is None:
        return Exchangeability(length, IMPOSSIBLE, np.nan)
    gap, reason = exact.judge()
    if reason:
        return Exchangeability(length, reason, gap)
    orders, one_step = exact.measure(judged.subject)
    untrained = _untrained(judged.subject, key=key)
    untrained_gaps = (None, None) if untrained is None else exact.measure(untrained)
    drift = measure_drift(judged, steps, rng=rng)
    few = steps.take(np.arange(len(steps))[:num_contexts])
    paths = _follow(judged.subject, few, num_paths, rng)
    return Exchangeability(length, "", gap, orders, one_step, drift, paths, *untrained_gaps)


def _untrained(subject: Subject, *, key: Key) -> AbstractTracedNetwork | None:
    """Draw a network of the same shape; None where the subject is no such network."""
    if not isinstance(subject, AbstractTracedNetwork):
        return None
    drawn = draw_initial(subject, 1, key=key)
    return drawn[0] if drawn else None


def _follow(
    subject: Subject, steps: Steps, num_paths: int, rng: np.random.Generator
) -> tuple[Paths, ...]:
    """Follow paths that begin after a quarter and after half of the steps."""
    if steps.is_binned:
        return ()
    starts = sorted({steps.length // 4, steps.length // 2})
    return tuple(
        follow_paths(subject, steps, start=start, num_paths=num_paths, rng=rng)
        for start in starts
        if start < steps.length - 1
    )
