"""Which questions an audit stands on: independent ones, by position, entropy and place."""

from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from bayescmp._types import Key
from bayescmp.auditing.judged import Judged

NUM_ENTROPY_LEVELS = 4
"""Levels of exact entropy, of the same width."""

Table = Bool[np.ndarray, "sequence position"]


@dataclass(frozen=True)
class Picked:
    """Questions of different sequences, which are therefore independent."""

    sequences: Int[np.ndarray, " row"]
    positions: Int[np.ndarray, " row"]

    @property
    def num(self) -> int:
        """How many there are."""
        return int(self.sequences.size)

    def of(self, values: Shaped[np.ndarray, "sequence position *rest"]) -> np.ndarray:
        """Return what belongs to these questions.

        Args:
            values: Something for each sequence and position.

        Returns:
            One row for each.
        """
        return values[self.sequences, self.positions]


def numpy_generator(key: Key) -> np.random.Generator:
    """Return a generator of random numbers that a typed key decides.

    Args:
        key: Typed key.

    Returns:
        The generator; the same for the same key.
    """
    return np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())


def pick_one_each(eligible: Table, rng: np.random.Generator) -> Picked:
    """Pick one random question of each sequence.

    Args:
        eligible: Which questions may be picked.
        rng: Where randomness comes from.

    Returns:
        One question of each sequence that has any.
    """
    scores = np.where(eligible, rng.random(eligible.shape), -1.0)
    sequences = np.flatnonzero(eligible.any(axis=1))
    return Picked(sequences, scores[sequences].argmax(axis=1))


def pick_position(counts: Table, position: int) -> Picked:
    """Pick the questions at one position.

    Args:
        counts: Which questions count.
        position: The position.

    Returns:
        Those that count.
    """
    sequences = np.flatnonzero(counts[:, position])
    return Picked(sequences, np.full(sequences.size, position))


@dataclass(frozen=True)
class EntropyLevels:
    """Questions by the entropy of their exact predictive."""

    edges: Float[np.ndarray, " limit"]
    """Limits of the levels, in nats, rising; all the same where entropy never differs."""
    level: Int[np.ndarray, "sequence position"]
    """Level of each question; -1 where it does not count."""

    def pick(self, level: int, rng: np.random.Generator) -> Picked:
        """Pick one random question of each sequence that has any at a level.

        Args:
            level: Which level.
            rng: Where randomness comes from.

        Returns:
            The questions.
        """
        return pick_one_each(self.level == level, rng)


def entropy_levels(judged: Judged) -> EntropyLevels:
    """Divide the range of exact entropies that questions have.

    Args:
        judged: Questions with exact predictives.

    Returns:
        Levels of the same width from the least to the greatest entropy.

    Example:
        >>> oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=4))
        >>> judged = bc.auditing.judge(oracle, oracle, key=jax.random.key(0), num_sequences=64)
        >>> levels = entropy_levels(judged)
        >>> levels.edges.shape, int(levels.level[:, 0].min())  # nothing is known at first
        ((5,), 3)
    """
    from scipy.special import entr  # 0.1 s to import, and only needed here

    entropy = entr(np.exp(judged.log_p)).sum(axis=-1)
    counted = entropy[judged.counts]
    low, high = (float(counted.min()), float(counted.max())) if counted.size else (0.0, 0.0)
    edges = np.linspace(low, high, NUM_ENTROPY_LEVELS + 1)
    # Entropies that are equal but for rounding belong together, at a limit too.
    level = np.searchsorted(edges[1:-1] - 1e-9, entropy, side="right")
    return EntropyLevels(edges, np.where(judged.counts, level, -1))
