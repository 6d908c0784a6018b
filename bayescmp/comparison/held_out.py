"""The sequences of a comparison: drawn from the model, or every one that can happen."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, get_args

from bayescmp._types import Key
from bayescmp.all_sequences import (
    NUM_SAMPLED,
    AllSequences,
    is_little_work,
    list_sequences,
    reason_to_sample,
)
from bayescmp.comparison.evaluation import Evaluation, answer_exactly, draw_evaluation
from bayescmp.oracle import AbstractOracle
from bayescmp.results.schema import EVERY_SEQUENCE

NUM_EXAMPLES = 4
"""Sequences that are stored whole."""

EvaluationName = Literal["auto", "sampled", "every sequence"]
"""Over which sequences a comparison takes its means."""


@dataclass(frozen=True)
class HeldOut:
    """The sequences of a comparison: drawn ones, or every one with its probability."""

    examples: Evaluation
    """A few drawn sequences, to be stored whole."""
    drawn: Evaluation | None
    """The sequences, where they were drawn."""
    every: AllSequences | None
    """The sequences, where they are all there are."""

    def parts(self) -> Iterator[Evaluation]:
        """Answer the sequences exactly, as many at once as memory bears.

        Yields:
            Drawn sequences in one part; all sequences in one or more, with their weights.
        """
        if self.drawn is not None:
            yield self.drawn
        if self.every is not None:
            for cut in self.every.cuts():
                part = answer_exactly(self.every.oracle, self.every.batch(cut))
                yield replace(part, weights=self.every.weights[cut])

    def __str__(self) -> str:
        """Say which sequences they are."""
        if self.every is not None:
            num = len(self.every.numbers)
            return f"{EVERY_SEQUENCE}, {num:,} weighted by their exact probability"
        num = 0 if self.drawn is None else self.drawn.log_p.shape[0]
        return f"sampled, {num} sequences"


def hold_out(
    oracle: AbstractOracle,
    *,
    key: Key,
    num_sequences: int | None = None,
    evaluation: EvaluationName = "auto",
) -> HeldOut:
    """Choose the sequences of a comparison.

    Args:
        oracle: Oracle of the model.
        key: Typed key of the sequences that are drawn.
        num_sequences: How many are drawn; 4,096 by default.
        evaluation: ``sampled``; ``every sequence``, weighted by exact probability, up to
            10^6; or ``auto``: every sequence where that is little work and no number of
            drawn ones is asked for.

    Returns:
        Sequences with their exact answers.

    Raises:
        ValueError: If sequences cannot all be listed but should be, or a number is out of
            range or beside the point.

    Example:
        >>> oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=4))
        >>> print(hold_out(oracle, key=jax.random.key(0)))
        every sequence, 16 weighted by their exact probability
    """
    if evaluation not in get_args(EvaluationName):
        raise ValueError(
            f"evaluation: expected one of {get_args(EvaluationName)}, got {evaluation!r}"
        )
    if evaluation == EVERY_SEQUENCE:
        if num_sequences is not None:
            raise ValueError(
                f"num_sequences: expected none with every sequence, got {num_sequences}"
            )
        if reason := reason_to_sample(oracle):
            raise ValueError(f"evaluation: expected 'sampled' for this model, since {reason}")
    elif evaluation == "sampled" or num_sequences is not None or not is_little_work(oracle):
        num = NUM_SAMPLED if num_sequences is None else num_sequences
        if num < 2:
            raise ValueError(f"num_sequences: expected at least 2, got {num}")
        drawn = draw_evaluation(oracle, num, key=key)
        return HeldOut(drawn.first(NUM_EXAMPLES), drawn, None)
    return HeldOut(draw_evaluation(oracle, NUM_EXAMPLES, key=key), None, list_sequences(oracle))
