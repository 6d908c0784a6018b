"""Memory length: how many last steps exact inference needs to be as good as a network."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from bayescmp import measures
from bayescmp._types import Key
from bayescmp.comparison.evaluation import Evaluation, Subject, ask, draw_evaluation
from bayescmp.comparison.sequence_means import over_questions
from bayescmp.comparison.tally import BITS, LogLaws
from bayescmp.measures.interval import Interval
from bayescmp.oracle import AbstractOracle
from bayescmp.predictors.predictor import WindowPredictor

ROUNDING = 1e-12
"""Differences in bits that are none: a divergence of laws over some hundred outcomes, in
float64, rounds to about 100 * 2.2e-16 * 10."""


@dataclass(frozen=True)
class MemoryLength:
    """The shortest memory with which exact inference comes as near to exact as a network."""

    window: int | None
    """In steps; None where it is longer than the sequence, so that no window will do."""
    network_kl: Interval
    """``KL(exact || network)``, mean over questions, in bits."""
    kl: dict[int, Interval]
    """``KL(exact || window)`` of every window that was tried, in bits."""
    advantage: dict[int, Interval]
    """``KL(exact || network) - KL(exact || window)`` in bits, paired by sequence: positive
    where the window is nearer to exact."""

    @property
    def is_clear(self) -> bool:
        """Whether the intervals tell the window and the one before it from the network.

        The advantage of the window must not reach below zero, and that of the next shorter
        one must stay below; a window that ties with the network exactly does not reach below.
        """
        longest = max(self.kl, default=0)
        shorter = longest if self.window is None else self.window - 1
        enough = self.window is None or bool(self.advantage[self.window].low >= -ROUNDING)
        return enough and (shorter < 1 or bool(self.advantage[shorter].high < 0))

    def __str__(self) -> str:
        """Return a small table for people."""
        steps = "1 step" if self.window == 1 else f"{self.window} steps"
        length = "longer than the sequence" if self.window is None else steps
        lines = [
            f"memory length: {length}{'' if self.is_clear else ' (intervals overlap)'}",
            f"{'':>10}  KL from exact (bit)",
            f"{'network':>10}  {_in_words(self.network_kl)}",
        ]
        lines += [f"{f'window {w}':>10}  {_in_words(self.kl[w])}" for w in sorted(self.kl)]
        return "\n".join(lines)


def memory_length(
    network: Subject,
    against: AbstractOracle | Evaluation,
    *,
    key: Key | None = None,
    num_sequences: int = 1_024,
    level: float = 0.95,
) -> MemoryLength:
    """Find the smallest window whose exact filter is at least as near to exact as a network.

    Longer windows are never farther from exact in expectation, so the window is found by
    bisection; it, its neighbours and the windows on the way are recorded. Windows over the
    whole sequence are the oracle itself, and count as longer than the sequence.

    Args:
        network: Network, rung or oracle.
        against: Oracle of the model, or sequences that it has answered.
        key: Typed key of the sequences, with an oracle.
        num_sequences: How many sequences are drawn, with an oracle.
        level: Coverage of the intervals.

    Returns:
        The window with the divergences around it.

    Raises:
        ValueError: If an oracle comes without a key, or everything is shown before the first
            question.

    Example:
        >>> oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=6))
        >>> rung = bc.predictors.WindowPredictor(oracle, 2)
        >>> memory_length(rung, oracle, key=jax.random.key(0), num_sequences=64).window
        2
    """
    evaluation = take_evaluation(against, num_sequences, key)
    oracle, layout = evaluation.oracle, evaluation.model.layout
    if layout.shows_all_first:
        raise ValueError(
            f"against: expected a model that shows one step after another, got "
            f"{evaluation.model.title()}, which shows all before the first question"
        )
    own = _divergences(ask(network, evaluation), evaluation)
    network_kl = over_questions(own, evaluation.weights, level)
    kl: dict[int, Interval] = {}
    advantage: dict[int, Interval] = {}

    def is_enough(window: int) -> bool:
        if window not in kl:
            rows = _divergences(ask(WindowPredictor(oracle, window), evaluation), evaluation)
            kl[window] = over_questions(rows, evaluation.weights, level)
            with np.errstate(invalid="ignore"):  # both infinitely far: nobody is nearer
                gain = own - rows
            advantage[window] = over_questions(gain, evaluation.weights, level)
        return bool(kl[window].mean <= network_kl.mean + ROUNDING)

    # Before the last question stand length - 1 revealed outcomes, or length queries.
    longest = layout.length - 2 if layout.reveal else layout.length - 1
    window = _first_that(is_enough, longest)
    around = longest if window is None else window
    for neighbour in {around - 1, around, around + 1} & set(range(1, longest + 1)):
        is_enough(neighbour)
    return MemoryLength(window, network_kl, kl, advantage)


def take_evaluation(
    against: AbstractOracle | Evaluation, num_sequences: int, key: Key | None
) -> Evaluation:
    """Return an evaluation, drawn where only an oracle is given.

    Args:
        against: Oracle, or sequences that it has answered.
        num_sequences: How many to draw.
        key: Typed key, needed for drawing.

    Returns:
        Sequences and exact answers.

    Raises:
        ValueError: If an oracle comes without a key.
    """
    if isinstance(against, Evaluation):
        return against
    if key is None:
        raise ValueError("key: expected a typed key to draw sequences with, got None")
    return draw_evaluation(against, num_sequences, key=key)


def _first_that(holds: Callable[[int], bool], longest: int) -> int | None:
    """Return the smallest window that holds, if any up to the longest does."""
    if longest < 1 or not holds(longest):
        return None
    low, high = 0, longest
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _divergences(log_q: LogLaws, evaluation: Evaluation) -> np.ndarray:
    """Return KL from exact at every question in bits, NaN where it does not count."""
    with jax.enable_x64(True):
        rows = np.asarray(_kl(jnp.asarray(evaluation.log_p), jnp.asarray(log_q))) * BITS
    return np.where(evaluation.supervised, rows, np.nan)


_kl = jax.jit(measures.kl)


def _in_words(interval: Interval) -> str:
    return f"{interval.mean:.5f} [{interval.low:.5f}, {interval.high:.5f}]"
