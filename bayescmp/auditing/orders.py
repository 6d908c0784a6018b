"""What a predictor makes of the same steps in other orders."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayescmp.auditing.steps import Rows, Steps
from bayescmp.comparison.evaluation import Subject
from bayescmp.measures.permutation_gap import (
    allowed_order_gap,
    order_divergence,
    order_gap,
    order_spread,
)

AllLaws = Float[np.ndarray, "ordered position outcome"]
"""Log laws of every sequence in the first order, then in the second, and so on, in nats."""

LEAST_STEPS = 3
"""Steps that a sequence needs: two to exchange, and one that is asked afterwards."""


@dataclass(frozen=True)
class Orders:
    """How much the order of exchangeable steps matters; each sequence is one trial."""

    positions: Rows
    """The question of each sequence before which earlier steps were reordered, two or more."""
    gap: Float[np.ndarray, " sequence"]
    """Mean total variation between the laws there after two orders [1]."""
    divergence: Float[np.ndarray, " sequence"]
    """Mean KL divergence between them [nat]."""
    spread: Float[np.ndarray, " sequence"] | None
    """Standard deviation of the whole sequence's log probability over its orders [nat]. None
    where an outcome is asked by its bin and shown as a number: the probabilities of bins, each
    given the numbers before it, are not those of one law of bins."""
    allowed: Float[np.ndarray, " sequence"]
    """The largest gap that the distance from exact Bayes allows [1]."""


@dataclass(frozen=True)
class Reordered:
    """Sequences in several orders, none of which moves the one question that is compared."""

    steps: Steps
    """All sequences in the first order, then all in the second, and so on."""
    positions: Rows
    """The question of each sequence that stays; the steps before it change places with each
    other, and so do those after it."""
    num_orders: int

    def ask(self, subject: Subject) -> AllLaws:
        """Ask every question of every sequence in every order, in nats."""
        return self.steps.all_laws(subject)

    def laws_there(self, log_laws: AllLaws) -> Float[np.ndarray, "order sequence outcome"]:
        """Return the log laws at the question that stays, in nats."""
        places = np.tile(self.positions, self.num_orders)
        return self._split(log_laws[np.arange(len(log_laws)), places])

    def measure(self, log_laws: AllLaws, exact: Float[np.ndarray, "sequence outcome"]) -> Orders:
        """Compare what a predictor says after different orders.

        Args:
            log_laws: Its answers to every question, in nats.
            exact: Exact log law at the question that stays, in nats.

        Returns:
            The gaps.
        """
        there = self.laws_there(log_laws)
        return Orders(
            positions=self.positions,
            gap=order_gap(np.exp(there)),
            divergence=order_divergence(there),
            spread=None if self.steps.is_binned else self._spread(log_laws),
            allowed=allowed_order_gap(np.exp(exact), np.exp(there)),
        )

    def _spread(self, log_laws: AllLaws) -> Float[np.ndarray, " sequence"]:
        answers = self.steps.outcomes[..., None]
        log_probs = np.take_along_axis(log_laws, answers, axis=-1)[..., 0].sum(axis=-1)
        return order_spread(self._split(log_probs))

    def _split(self, rows: np.ndarray) -> np.ndarray:
        return rows.reshape(self.num_orders, -1, *rows.shape[1:])


def reorder(steps: Steps, num_orders: int, *, rng: np.random.Generator) -> Reordered:
    """Put the steps of every sequence into several random orders.

    One question of each sequence stays where it is, places from the third on taking turns;
    what stands before it is reordered within itself, and what follows it too.

    Args:
        steps: Sequences of at least three steps.
        num_orders: Orders of each, at least two.
        rng: Source of the orders.

    Returns:
        The reordered sequences.

    Raises:
        ValueError: If sequences are too short, or there are fewer than two orders.
    """
    if steps.length < LEAST_STEPS:
        raise ValueError(f"steps: expected at least {LEAST_STEPS} steps, got {steps.length}")
    if num_orders < 2:
        raise ValueError(f"num_orders: expected at least 2, got {num_orders}")
    positions = rng.permutation(np.resize(np.arange(2, steps.length), len(steps)))
    rows = np.tile(np.arange(len(steps)), num_orders)
    side = np.sign(np.arange(steps.length) - positions[rows][:, None])
    orders = np.argsort(side + 0.5 * rng.random(side.shape), axis=1)
    return Reordered(steps.take(rows).reordered(orders), positions, num_orders)
