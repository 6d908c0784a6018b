"""Sharpening: on what part of the past a question's attention falls, against even attention.

Where outcomes are used up by being shown, as values of a permutation are, a source position
that shows an outcome which the exact predictive now rules out holds *spent* evidence: all
elimination has to come from there. The positions of the question itself, the key that is asked
about, are *open*: their hypothesis is not decided yet. Earlier queries and the prompt are
neither. In other processes no outcome is ruled out by being shown, and the two masses have no
meaning.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

Marks = Bool[np.ndarray, "position source_position"]
"""For each question, the source positions of one kind."""


def spent_sources(asked: Int[np.ndarray, " position"], num_inputs: int) -> Marks:
    """Mark the positions that show the outcomes of earlier questions.

    Args:
        asked: Input position at which each question is answered; its outcome is shown next.
        num_inputs: Number of input positions.

    Returns:
        Marks.

    Example:
        >>> spent_sources(np.array([0, 2]), 3).astype(int).tolist()  # key, value, key
        [[0, 0, 0], [0, 1, 0]]
    """
    shown = np.arange(num_inputs)[None, :] == asked[:, None] + 1
    earlier = np.cumsum(shown, axis=0) - shown
    return earlier.astype(bool)


def open_sources(asked: Int[np.ndarray, " position"], num_inputs: int, num_queries: int) -> Marks:
    """Mark the positions of each question itself.

    Args:
        asked: Input position at which each question is answered, the last of its queries.
        num_inputs: Number of input positions.
        num_queries: Number of positions that a question takes.

    Returns:
        Marks.

    Example:
        >>> open_sources(np.array([0, 2]), 3, 1).astype(int).tolist()
        [[1, 0, 0], [0, 0, 1]]
    """
    age = asked[:, None] - np.arange(num_inputs)[None, :]
    return (age >= 0) & (age < num_queries)


def even_attention(
    asked: Int[np.ndarray, " position"], num_inputs: int, window: int | None = None
) -> Float[np.ndarray, "position source_position"]:
    """Return attention that looks at all of the past evenly, the asked position included.

    Args:
        asked: Input position at which each question is answered.
        num_inputs: Number of input positions.
        window: Positions that can be attended to; None for all.

    Returns:
        Rows that sum to one.

    Example:
        >>> even_attention(np.array([0, 1]), 3).tolist()
        [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]]
    """
    age = asked[:, None] - np.arange(num_inputs)[None, :]
    seen = (age >= 0) & (age < (num_inputs if window is None else window))
    return seen / seen.sum(axis=1, keepdims=True)


def uses_up(
    log_predictive: Float[np.ndarray, "sequence position outcome"],
    outcomes: Int[np.ndarray, "sequence position"],
    counts: Bool[np.ndarray, "sequence position"],
) -> bool:
    """Tell whether every outcome that was shown is impossible from then on.

    Args:
        log_predictive: Exact log probabilities, in nats.
        outcomes: Outcomes as indices, each shown after its question.
        counts: Which questions count.

    Returns:
        True for the bijection and others that draw without replacement; False where some
        shown outcome can come again, or none was shown before a question that counts.

    Example:
        >>> log_p = np.log(np.array([[[0.5, 0.5], [1.0, 1e-30]]]))
        >>> uses_up(log_p, np.array([[1, 0]]), np.ones((1, 2), bool))
        False
    """
    looked = False
    for position in range(1, outcomes.shape[1]):
        rows = counts[:, position]
        if not rows.any():
            continue
        law, shown = log_predictive[rows, position], outcomes[rows, :position]
        if not np.isneginf(np.take_along_axis(law, shown, axis=1)).all():
            return False
        looked = True
    return looked
