"""The sequences that interventions are made on: each with a question, and with a donor."""

from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from bayescmp._types import Key
from bayescmp.comparison.tally import LogLaws
from bayescmp.inspection.recording import Recording
from bayescmp.networks.residual import AbstractResidualNetwork
from bayescmp.oracle import AbstractOracle
from bayescmp.records import Batch

SMALLEST_GAP = 1e-6
"""Two exact predictives that differ by less in every probability count as the same."""


@dataclass(frozen=True)
class Cases:
    """Sequences, one question of each, and the sequences that stand in for them.

    The donor of a question reads the same at the input position where it is asked, where there
    is such a sequence, and has another exact predictive: up to that question it is the
    receiver's counterfactual, with other evidence and the same query.
    """

    network: AbstractResidualNetwork
    oracle: AbstractOracle
    batch: Batch
    """The sequences."""
    inputs: Array
    """What the network reads, sequence by sequence."""
    asked: Int[np.ndarray, " position"]
    """Input position of each question."""
    log_p: LogLaws
    """Log exact predictives, in nats."""
    log_q: LogLaws
    """The network's own log probabilities, in nats."""
    counts: Bool[np.ndarray, "sequence position"]
    """Which questions count."""
    weights: Float[np.ndarray, " sequence"]
    """Weight of each sequence; their sum is one."""
    questions: Int[np.ndarray, " sequence"]
    """The question that donors answer, from zero."""
    donors: Int[np.ndarray, " sequence"]
    """The sequence that is the donor."""
    matched: Bool[np.ndarray, " sequence"]
    """Whether the donor reads the same where the question is asked."""
    others: Int[np.ndarray, " sequence"]
    """Any other sequence."""
    strangers: Int[np.ndarray, "draw sequence"]
    """Further sequences that were drawn as donors are; none of them is the counterfactual."""

    @property
    def asked_inputs(self) -> Int[np.ndarray, " sequence"]:
        """Input position of each sequence's question."""
        return self.asked[self.questions]

    def over_questions(self, values: Float[np.ndarray, "*rows sequence position"]) -> np.ndarray:
        """Average over sequences and the questions that count.

        Args:
            values: One number for each.

        Returns:
            Weighted means.
        """
        weights = self.weights[:, None] * self.counts
        kept = np.where(self.counts, values, 0.0)
        return np.einsum("...np,np->...", kept, weights / weights.sum())

    def by_position(self, values: Float[np.ndarray, "*rows sequence position"]) -> np.ndarray:
        """Average over sequences, question by question.

        Args:
            values: One number for each sequence and question.

        Returns:
            Weighted means; NaN where a question never counts.
        """
        weights = self.weights[:, None] * self.counts
        kept = np.where(self.counts, values, 0.0)
        total = weights.sum(axis=0)
        sums = np.einsum("...np,np->...p", kept, weights)
        return np.where(total > 0, sums / np.where(total > 0, total, 1.0), np.nan)

    def at_question(self, values: Float[np.ndarray, "*rows sequence position"]) -> np.ndarray:
        """Keep each sequence's own question.

        Args:
            values: One number for each sequence and question.

        Returns:
            One number for each sequence.
        """
        return values[..., np.arange(len(self.questions)), self.questions]

    def by_question(self, values: Float[np.ndarray, "*rows sequence"]) -> np.ndarray:
        """Average numbers of one question a sequence, question by question.

        Args:
            values: One number for each sequence.

        Returns:
            Weighted means; NaN where no sequence has that question.
        """
        chosen = self.questions[:, None] == np.arange(len(self.asked))
        weights = self.weights[:, None] * chosen
        total = weights.sum(axis=0)
        return np.where(total > 0, values @ weights / np.where(total > 0, total, 1.0), np.nan)


def choose_cases(recording: Recording, num: int, *, key: Key, num_strangers: int = 0) -> Cases:
    """Choose sequences to intervene on, from those that a recording judges on.

    Where fewer are listed than asked for, all are taken with their exact weights, and each of
    them with each of its questions if that is not too many either. Where more are listed,
    they are drawn by their probability.

    Args:
        recording: A network on held-out sequences.
        num: How many at most, at least four.
        key: Typed key of questions and donors.
        num_strangers: Further donors of each sequence.

    Returns:
        The cases.

    Raises:
        TypeError: If nothing can be changed inside the network.
        ValueError: If fewer than four are asked for.
    """
    network = recording.network
    if not isinstance(network, AbstractResidualNetwork):
        raise TypeError(
            "network: expected one whose parts can be changed (a residual network of "
            f"bayescmp.networks), got {type(network).__name__}"
        )
    if num < 4:
        raise ValueError(f"num_sequences: expected at least 4, got {num}")
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
    _, judged = recording.split()
    rows, weights, questions = _choose_rows(judged, num, rng)
    evaluation = judged.evaluation
    counts = np.asarray(judged.counts)[rows]
    inputs = np.asarray(evaluation.batch.inputs)[rows]
    log_p, asked = evaluation.log_p[rows], evaluation.model.asked_positions
    asking = (questions, asked)
    donors, matched = _choose_donors(inputs, log_p, counts, weights, asking, 1, rng)
    others = _choose_others(inputs, weights, rng)
    strangers, _ = _choose_donors(inputs, log_p, counts, weights, asking, num_strangers, rng)
    return Cases(
        network=network,
        oracle=evaluation.oracle,
        batch=jax.tree.map(lambda leaf: leaf[rows], evaluation.batch),
        inputs=jax.numpy.asarray(inputs),
        asked=asked,
        log_p=log_p,
        log_q=judged.log_q[rows],
        counts=counts,
        weights=weights,
        questions=questions,
        donors=donors[0],
        matched=matched[0],
        others=others,
        strangers=strangers,
    )


def _choose_rows(
    judged: Recording, num: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return sequences, their weights, and a question of each."""
    counts, weights = np.asarray(judged.counts), judged.sequence_weights
    rows = np.flatnonzero(counts.any(axis=1))
    pairs = np.argwhere(counts)
    if len(pairs) <= num:
        shares = weights[pairs[:, 0]] / counts.sum(axis=1)[pairs[:, 0]]
        return pairs[:, 0], shares / shares.sum(), pairs[:, 1]
    if len(rows) > num and judged.is_exhaustive:
        drawn = rng.choice(rows, num, p=weights[rows] / weights[rows].sum())
        rows, weights = drawn, np.full(len(weights), 1.0)
    rows = rows[:num]
    turns = rng.permutation(len(rows))
    questions = [
        (found := np.flatnonzero(counts[row]))[turn % len(found)]
        for row, turn in zip(rows, turns, strict=True)
    ]
    return rows, weights[rows] / weights[rows].sum(), np.array(questions)


def _choose_donors(
    inputs: np.ndarray,
    log_p: LogLaws,
    counts: np.ndarray,
    weights: np.ndarray,
    asking: tuple[np.ndarray, np.ndarray],
    num: int,
    rng: np.random.Generator,
) -> tuple[Int[np.ndarray, "draw sequence"], Bool[np.ndarray, "draw sequence"]]:
    """Return donors for each sequence, and whether they read the same where they are asked."""
    questions, asked = asking
    donors, matched = np.zeros((num, len(inputs)), int), np.zeros((num, len(inputs)), bool)
    laws, names = np.exp(log_p), _name_sequences(inputs)
    for row, question in enumerate(questions):
        read = inputs[:, asked[question]].reshape(len(inputs), -1)
        same = (read == read[row]).all(axis=1)
        gap = np.abs(laws[:, question] - laws[row, question]).max(axis=-1)
        fitness = 4.0 * counts[:, question] + 2.0 * same + (gap > SMALLEST_GAP)
        fitness[names == names[row]] = -1.0
        best = np.where(fitness == fitness.max(), np.maximum(weights, 1e-300), 0.0)
        donors[:, row] = rng.choice(len(inputs), num, p=best / best.sum())
        matched[:, row] = same[donors[:, row]]
    return donors, matched


def _choose_others(inputs: np.ndarray, weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return another sequence for each, drawn by its weight."""
    names, others = _name_sequences(inputs), np.zeros(len(inputs), int)
    for row, name in enumerate(names):
        shares = np.where(names == name, 0.0, weights)
        shares = shares if shares.sum() > 0.0 else weights
        others[row] = rng.choice(len(inputs), p=shares / shares.sum())
    return others


def _name_sequences(inputs: np.ndarray) -> np.ndarray:
    """Return a number for each sequence, the same for those that read the same throughout."""
    rows = inputs.reshape(len(inputs), -1)
    return np.unique(rows, axis=0, return_inverse=True)[1].reshape(-1)
