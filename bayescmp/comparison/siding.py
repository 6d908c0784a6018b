"""Which of two laws a network's answers side with, where the two differ."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from bayescmp._types import Key
from bayescmp.comparison.evaluation import Evaluation, Subject, ask
from bayescmp.comparison.memory import take_evaluation
from bayescmp.comparison.sequence_means import Weights, ratio
from bayescmp.comparison.tally import LogLaws
from bayescmp.measures.interval import Interval
from bayescmp.oracle import AbstractOracle

THRESHOLD = 0.01
"""Least total variation between the two laws at a question that is taken."""


@dataclass(frozen=True)
class Siding:
    """Where answers stand on the way from one law to another."""

    names: tuple[str, str]
    """The first law, at 0, and the second, at 1."""
    place: Interval
    """``sum (q - p)(b - p) / sum (b - p)^2`` over the questions at which the first law ``p`` and
    the second ``b`` differ; the interval is over sequences. NaN where they differ nowhere."""
    beside: Interval
    """``sum |q - p - place (b - p)|^2 / sum (b - p)^2``: how much of the answers lies on no point
    between the two, measured in their squared distance. Far above 1, neither explains them."""
    num_questions: int
    """Questions at which the two laws differ by the threshold at least."""
    num_sequences: int
    """Sequences that have such a question."""

    @property
    def side(self) -> str | None:
        """Name of the law that the answers are nearer to; None where the interval cannot tell."""
        if self.place.high < 0.5:
            return self.names[0]
        return self.names[1] if self.place.low > 0.5 else None

    def __str__(self) -> str:
        """Return one line for people."""
        place = self.place
        return (
            f"{self.side or 'undecided'}: at {place.mean:.3f} [{place.low:.3f}, {place.high:.3f}] "
            f"from {self.names[0]} (0) to {self.names[1]} (1), over {self.num_questions:,} "
            f"questions where they differ; {self.beside.mean:.3f} of their squared distance beside"
        )


def find_side(
    network: Subject,
    first: Subject,
    second: Subject,
    against: AbstractOracle | Evaluation,
    *,
    names: Sequence[str] = ("first", "second"),
    key: Key | None = None,
    num_sequences: int = 1_024,
    threshold: float = THRESHOLD,
    level: float = 0.95,
) -> Siding:
    """Ask which of two laws a network follows, at the questions where it makes a difference.

    Where belief propagation errs, this separates a network that does belief propagation from
    one that does Bayes. Of two networks equally far from exact, only one may err as it does.

    Args:
        network: Network, or anything else that answers.
        first: Oracle or rung of the ladder.
        second: Oracle or rung of the ladder.
        against: Oracle of the model, or sequences that it has answered.
        names: What the two laws are called.
        key: Typed key of the sequences, with an oracle.
        num_sequences: How many sequences are drawn, with an oracle.
        threshold: Least total variation between the two at a question that is taken.
        level: Coverage of the intervals.

    Returns:
        Where the answers stand between the two; print it for a line.

    Raises:
        ValueError: If the threshold is not between 0 and 1, or an oracle comes without a key.

    Example:
        >>> model = bc.models.FactorGraphModel(
        ...     bc.models.graph_structures.cycle(3), bc.models.SignCouplings(strength=1.0))
        >>> oracle, loopy = bc.derive_oracle(model), bc.predictors.GraphPropagation(model, 20)
        >>> names = ("exact", "loopy")
        >>> find_side(loopy, oracle, loopy, oracle, names=names, key=jax.random.key(0)).side
        'loopy'
    """
    evaluation = take_evaluation(against, num_sequences, key)
    return place_between(
        ask(network, evaluation),
        ask(first, evaluation),
        ask(second, evaluation),
        evaluation.supervised,
        weights=evaluation.weights,
        names=names,
        threshold=threshold,
        level=level,
    )


def place_between(
    log_q: LogLaws,
    log_first: LogLaws,
    log_second: LogLaws,
    supervised: Bool[np.ndarray, "sequence position"],
    *,
    weights: Weights | None = None,
    names: Sequence[str] = ("first", "second"),
    threshold: float = THRESHOLD,
    level: float = 0.95,
) -> Siding:
    """Project answers on the way from one law to another.

    ``q = p + place (b - p) + rest`` by least squares over probabilities, at the questions where
    ``TV(p, b) >= threshold``. Noise that does not know of ``b - p`` leaves the place at 0.

    Args:
        log_q: Answers, in nats.
        log_first: The law at 0.
        log_second: The law at 1.
        supervised: Which questions count.
        weights: Exact probabilities of the sequences, if these are all there are.
        names: What the two laws are called.
        threshold: Least total variation between the two at a question that is taken.
        level: Coverage of the intervals.

    Returns:
        The record.

    Raises:
        ValueError: If the threshold is not between 0 and 1.

    Example:
        >>> exact, loopy = np.log([[[0.5, 0.5]]] * 2), np.log([[[0.9, 0.1]], [[0.7, 0.3]]])
        >>> answers = np.log(0.25 * np.exp(exact) + 0.75 * np.exp(loopy))
        >>> found = place_between(answers, exact, loopy, np.ones((2, 1), bool))
        >>> round(float(found.place.mean), 6), found.side
        (0.75, 'second')
    """
    if not 0.0 < threshold < 1.0:
        raise ValueError(f"threshold: expected a number between 0 and 1, got {threshold}")
    q, p, b = (np.exp(law) for law in (log_q, log_first, log_second))
    way = np.where(supervised[..., None], b - p, 0.0)
    counts = 0.5 * np.abs(way).sum(axis=-1) >= threshold
    way = np.where(counts[..., None], way, 0.0)
    move = np.where(counts[..., None], q - p, 0.0)
    squares = _per_sequence(way**2)
    place = ratio(_per_sequence(move * way), squares, weights, level)
    rest = move - place.mean * way
    return Siding(
        names=(names[0], names[1]),
        place=place,
        beside=ratio(_per_sequence(rest**2), squares, weights, level),
        num_questions=int(counts.sum()),
        num_sequences=int(counts.any(axis=1).sum()),
    )


def _per_sequence(
    values: Float[np.ndarray, "sequence position outcome"],
) -> Float[np.ndarray, " sequence"]:
    return values.sum(axis=(1, 2))
