"""Sequences taken apart into steps, so that they can be put together in another order.

A step is what is shown and asked together: its queries, the question and the answer. Sites that
are given in the prompt belong to no step and stay where they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, Shaped

from bayescmp.comparison.evaluation import CHUNK, Evaluation, Subject, ask
from bayescmp.comparison.tally import LogLaws
from bayescmp.oracle import AbstractOracle
from bayescmp.records import Batch

Rows = Int[np.ndarray, " sequence"]
"""One number for each sequence."""


@dataclass(frozen=True)
class Steps:
    """Sequences of a model as arrays, whole sequences of full length.

    Example:
        >>> from bayescmp.auditing.steps import take_apart
        >>> oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=3))
        >>> judged = bc.auditing.judge(oracle, oracle, key=jax.random.key(0), num_sequences=4)
        >>> steps = take_apart(judged.evaluation).with_outcome(np.full(4, 1), np.full(4, 0))
        >>> steps.outcomes[:, 1].tolist()
        [0, 0, 0, 0]
    """

    oracle: AbstractOracle
    sites: Mapping[str, Shaped[np.ndarray, "sequence ..."]]
    """Value of every site that is given, shown or asked."""

    def __len__(self) -> int:
        """Return the number of sequences."""
        return len(self.sites[self.oracle.model.layout.outcome.name])

    @property
    def length(self) -> int:
        """Number of steps."""
        return self.oracle.model.length

    @property
    def num_outcomes(self) -> int:
        """Number of outcomes of a question."""
        return self.oracle.model.num_outcomes

    @property
    def has_queries(self) -> bool:
        """Whether a step shows anything before its question."""
        return bool(self.oracle.model.layout.query)

    @property
    def is_binned(self) -> bool:
        """Whether outcomes are numbers that are asked by their bin."""
        return bool(self.oracle.model.layout.edges)

    @property
    def outcomes(self) -> Int[np.ndarray, "sequence position"]:
        """Answers as indices, or their bins."""
        layout = self.oracle.model.layout
        name = layout.outcome.name
        indices = jax.vmap(lambda values: layout.outcome_indices({name: values}))
        return np.asarray(indices(jnp.asarray(self.sites[name])))

    def take(self, rows: Rows) -> "Steps":
        """Return some of the sequences, each as often as it is named."""
        return replace(self, sites={name: values[rows] for name, values in self.sites.items()})

    def reordered(self, orders: Int[np.ndarray, "sequence position"]) -> "Steps":
        """Put the steps of each sequence into another order.

        Args:
            orders: Which of the old steps stands at each place.
        """
        layout = self.oracle.model.layout
        moved = {site.name for site in (*layout.query, layout.outcome)}
        rows = np.arange(len(self))[:, None]
        return replace(
            self,
            sites={n: x[rows, orders] if n in moved else x for n, x in self.sites.items()},
        )

    def swapped(self, first: Rows, second: Rows) -> "Steps":
        """Exchange two steps of each sequence."""
        orders = np.tile(np.arange(self.length), (len(self), 1))
        rows = np.arange(len(self))
        orders[rows, first], orders[rows, second] = second, first
        return self.reordered(orders)

    def with_outcome(self, positions: Rows, outcomes: Rows) -> "Steps":
        """Replace one answer of each sequence by a given outcome."""
        outcome = self.oracle.model.layout.outcome
        values = self.sites[outcome.name].copy()
        values[np.arange(len(self)), positions] = outcomes + outcome.lowest
        return replace(self, sites={**self.sites, outcome.name: values})

    def laws_at(self, subject: Subject, positions: Rows) -> Float[np.ndarray, "sequence outcome"]:
        """Ask for one law of each sequence; what comes after that question is not shown.

        Args:
            subject: What is asked.
            positions: Which question of each sequence.

        Returns:
            Probabilities.
        """
        laws = self._ask(subject, positions + 1, keep=positions)
        return np.exp(laws)

    def all_laws(self, subject: Subject) -> LogLaws:
        """Ask every question, and return log probabilities in nats."""
        return self._ask(subject, np.full(len(self), self.length))

    def _ask(self, subject: Subject, lengths: Rows, keep: Rows | None = None) -> np.ndarray:
        """Ask in parts of one size, so that a subject is compiled once."""
        parts, num = [], len(self)
        for start in range(0, num, CHUNK):
            rows = np.minimum(np.arange(start, start + CHUNK), num - 1)
            laws = self._ask_part(subject, rows, lengths[rows])
            parts.append(laws if keep is None else laws[np.arange(CHUNK), keep[rows]])
        return np.concatenate(parts)[:num]

    def batch(self, lengths: Rows | None = None) -> Batch:
        """Put the sequences together, of full length or cut off after some questions."""
        sites = {name: jnp.asarray(values) for name, values in self.sites.items()}
        return self.oracle.model.batch_from_sites(sites, lengths=lengths)

    def _ask_part(self, subject: Subject, rows: Rows, lengths: Rows) -> LogLaws:
        shape = (len(rows), self.length, self.num_outcomes)
        return ask(
            subject, Evaluation(self.oracle, self.take(rows).batch(lengths), np.zeros(shape))
        )


def take_apart(evaluation: Evaluation) -> Steps:
    """Take the sequences of an evaluation apart into their steps.

    Args:
        evaluation: Drawn sequences, each with all questions.

    Returns:
        The steps.

    Raises:
        ValueError: If some question does not count.
    """
    if not evaluation.supervised.all():
        raise ValueError("evaluation: expected sequences of full length, got shorter ones")
    sites = evaluation.model.engine_sites(evaluation.batch)
    return Steps(evaluation.oracle, {name: np.asarray(x) for name, x in sites.items()})
