"""Is a process exchangeable? Its exact oracle tells."""

from dataclasses import dataclass

import equinox as eqx
import jax
import numpy as np

from bayescmp._types import PerPosition
from bayescmp.auditing.one_step import Ahead, OneStep, look_ahead, measure_one_step
from bayescmp.auditing.orders import LEAST_STEPS, AllLaws, Orders, Reordered, reorder
from bayescmp.auditing.steps import Rows, Steps
from bayescmp.comparison.evaluation import CHUNK, Evaluation, Subject
from bayescmp.comparison.tally import BITS
from bayescmp.measures.exchangeability import one_step_gap
from bayescmp.oracle import AbstractOracle
from bayescmp.records import Batch

TOLERANCE = 1e-9
"""Gap of an exact oracle that is rounding: some thousand operations in 64 bits."""

MOST_AHEAD = 256
"""Sequences of which every next answer is tried, at most."""

MOST_TRIED = 4_096
"""Next answers that are tried on all of them together, about."""

LEAST_AHEAD = 32
"""Sequences of which every next answer is tried, even where there are many answers."""


@dataclass(frozen=True)
class ExactSteps:
    """What the oracle says of the sequences that gaps are measured on."""

    reordered: Reordered
    """Sequences in several orders."""
    log_laws: AllLaws
    """Its answers about them, in nats."""
    steps: Steps
    """Sequences of which every next answer is tried."""
    positions: Rows
    """At which question of each."""
    ahead: Ahead | None
    """Its answers about those; None where outcomes are bins, since an answer would have to be
    made up within its bin."""

    def measure(self, subject: Subject) -> tuple[Orders, OneStep | None]:
        """Measure the gaps of a predictor on these sequences.

        Args:
            subject: What is asked.

        Returns:
            Gaps between orders and, where outcomes are no bins, one step ahead.
        """
        orders = self._compare_orders(self.reordered.ask(subject))
        if self.ahead is None:
            return orders, None
        return orders, measure_one_step(subject, self.steps, self.positions, self.ahead)

    def judge(self) -> tuple[float, str]:
        """Hold the oracle's own gaps against rounding.

        Returns:
            The largest of them [1], and why the process is not exchangeable; empty where it is.
        """
        orders = self._compare_orders(self.log_laws)
        ahead = np.zeros(1) if self.ahead is None else one_step_gap(*self.ahead)
        gap = float(orders.gap.max())
        spread = 0.0 if orders.spread is None else float(orders.spread.max())
        if gap > TOLERANCE or spread > TOLERANCE * self.steps.length:
            return gap, (
                "the process is not exchangeable: with its steps in another order the exact "
                f"answer changes by up to {gap:.2g} in total variation, and the log probability "
                f"of a sequence by {spread * BITS:.2g} bit"
            )
        if not float(ahead.max()) <= TOLERANCE:
            return float(ahead.max()), (
                "what is shown before a question tells about other answers: the exact answer, "
                f"asked a step early, is off by up to {ahead.max():.2g} in total variation"
            )
        return max(gap, float(ahead.max())), ""

    def _compare_orders(self, log_laws: AllLaws) -> Orders:
        there = self.reordered.laws_there(self.log_laws)[0]
        return self.reordered.measure(log_laws, there)


def reason_not_to_ask(evaluation: Evaluation) -> str:
    """Say why it cannot be told whether order matters, without asking the oracle anything.

    Args:
        evaluation: Sequences with exact answers.

    Returns:
        The reason in a few words; empty where it can be told.
    """
    layout, certificate = evaluation.model.layout, evaluation.oracle.certificate
    if not layout.reveal:
        return "answers are never shown, so that nothing is learnt from them"
    if layout.length < LEAST_STEPS:
        return f"a sequence of {layout.length} has no earlier steps to put into another order"
    if not certificate.exact:
        return "the oracle is not exact, so that its own gaps would not be zero either"
    if not certificate.jittable:
        return "the oracle answers sequence by sequence, and some thousand are asked about"
    if not evaluation.supervised.all():
        return "some sequences are shorter than others"
    return ""


def ask_oracle(
    steps: Steps, *, num_ordered: int, num_orders: int, rng: np.random.Generator
) -> ExactSteps | None:
    """Ask the oracle about the sequences that gaps are measured on.

    Args:
        steps: Drawn sequences.
        num_ordered: How many of them are put into other orders, at most.
        num_orders: Orders of each.
        rng: Source of orders and questions.

    Returns:
        Its answers; None where some order is impossible under the process.
    """
    oracle, every = steps.oracle, np.arange(len(steps))
    reordered = reorder(steps.take(every[:num_ordered]), num_orders, rng=rng)
    if not _are_possible(reordered.steps):
        return None
    num_ahead = min(MOST_AHEAD, max(LEAST_AHEAD, MOST_TRIED // steps.num_outcomes))
    few = steps.take(every[:num_ahead])
    positions = rng.permutation(np.resize(np.arange(steps.length - 1), len(few)))
    ahead = None
    if not steps.is_binned:
        possible = few.laws_at(oracle, positions) > 0.0
        ahead = look_ahead(oracle, few, positions, possible)
    return ExactSteps(reordered, reordered.ask(oracle), few, positions, ahead)


def _are_possible(steps: Steps) -> bool:
    """Say whether every sequence has a positive probability."""
    for start in range(0, len(steps), CHUNK):
        rows = np.minimum(np.arange(start, start + CHUNK), len(steps) - 1)
        batch = steps.take(rows).batch()
        with jax.enable_x64(True):
            log_evidence = np.asarray(_log_evidence(steps.oracle, batch))
        if not (log_evidence > -np.inf).all():
            return False
    return True


@eqx.filter_jit
def _log_evidence(oracle: AbstractOracle, batch: Batch) -> PerPosition:
    return oracle(batch).log_evidence
