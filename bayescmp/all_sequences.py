"""Every sequence that can happen under a model, each with its exact probability.

Where there are few enough, a mean over all of them, weighted by probability, replaces a mean
over drawn ones, and nothing is left to chance. The weight of a sequence is
``exp(log p(all that is shown))``, the last entry of the oracle's log evidence:

1. Where outcomes are revealed, that is the probability of queries and outcomes together, and
   each sequence carries its outcomes.
2. Where they are not, it is the probability of the queries alone. Sequences carry no outcome
   then; whatever depends on one is averaged over ``p(y_t | s_t)``, the exact predictive. This
   is right although the queries after step ``t`` tell more about ``y_t``: answers at step
   ``t`` depend on ``s_t`` alone, and summed over later queries
   ``sum p(queries) p(y_t | queries) = p(s_t) p(y_t | s_t)``.

Sites given in the prompt stand outside: the evidence is conditional on them, so that their
own probability is not known, and models that have any are sampled.
"""

import math
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from bayescmp.layout import Layout
from bayescmp.oracle import AbstractOracle, Oracle, sequences_at_once
from bayescmp.program import SUM_TOLERANCE, Site
from bayescmp.records import Batch

MOST_SEQUENCES = 1_000_000
"""Sequences that are listed at most."""

MOST_BY_ITSELF = 100_000
"""Sequences that a comparison lists without being asked to."""

NUM_SAMPLED = 4_096
"""Sequences that are drawn where they are not listed."""

MOST_FILLS = 64
"""How often an oracle may fill its share of memory for sequences that nobody asked to list: a
measure of its work, since engines that take much memory for a sequence take much time too."""

PART_ENTRIES = 2**20
"""Predicted probabilities that are held at once for each predictor: 8 MiB in 64 bits."""


@dataclass(frozen=True)
class AllSequences:
    """All sequences that are possible under a model, with their exact probabilities.

    Example:
        >>> oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=2))
        >>> every = list_sequences(oracle)
        >>> every.batch(slice(0, 4)).outcomes.tolist(), every.weights.round(3).tolist()
        ([[0, 0], [0, 1], [1, 0], [1, 1]], [0.333, 0.167, 0.167, 0.333])
    """

    oracle: AbstractOracle
    numbers: Int[np.ndarray, " sequence"]
    """Number of each possible sequence among all that can be written down."""
    weights: Float[np.ndarray, " sequence"]
    """Probability of each; positive, and their sum is one but for rounding."""

    @property
    def carry_outcomes(self) -> bool:
        """Whether a sequence fixes its outcomes, since they are shown."""
        return self.oracle.model.layout.reveal

    def batch(self, cut: slice) -> Batch:
        """Write out some of the sequences.

        Args:
            cut: Which of them.

        Returns:
            A batch with one leading axis. Outcomes that are never shown are placeholders.
        """
        return _write_out(self.oracle, self.numbers[cut])

    def cuts(self) -> list[slice]:
        """Return slices, nearly equal in length, each of which fits into memory."""
        size = math.ceil(len(self.numbers) / math.ceil(len(self.numbers) / _part_size(self.oracle)))
        return [slice(start, start + size) for start in range(0, len(self.numbers), size)]


def count_sequences(layout: Layout) -> int | None:
    """Count the sequences that can be written down, impossible ones included.

    Args:
        layout: Layout of a model.

    Returns:
        The product of the numbers of values of all that is shown after the prompt; None where
        something shown has infinitely many values, or a prompt is given.

    Example:
        >>> count_sequences(bc.models.Bijection(size=4).layout)  # three pairs of four symbols
        4096
    """
    if layout.given or not all(site.num_values for site in _listed_sites(layout)):
        return None
    return math.prod(_bases(layout))


def reason_to_sample(oracle: AbstractOracle) -> str:
    """Say why a model's sequences cannot all be listed.

    Args:
        oracle: Oracle of the model.

    Returns:
        The reason in a few words; empty where they can be.
    """
    layout = oracle.model.layout
    if not oracle.certificate.exact:
        return "its oracle is not exact, and neither would their probabilities be"
    if not oracle.certificate.jittable:
        return "its oracle answers sequence by sequence"
    if layout.given:
        return f"{layout.given[0].name!r} is given in the prompt, outside of the evidence"
    count = count_sequences(layout)
    if count is None:
        return "something that is shown has infinitely many values"
    if count > MOST_SEQUENCES:
        return f"there are {_write_count(count)} of them, more than {MOST_SEQUENCES:,}"
    return ""


def is_little_work(oracle: AbstractOracle) -> bool:
    """Say whether listing all sequences is reasonable without being asked to.

    Args:
        oracle: Oracle of a model.

    Returns:
        True up to 4,096 sequences, no more than would be drawn otherwise, and up to 100,000
        where the oracle answers many of them at once.
    """
    if reason_to_sample(oracle):
        return False
    count = count_sequences(oracle.model.layout) or 0
    at_once = sequences_at_once(oracle.engine) if isinstance(oracle, Oracle) else 1
    fills = 0 if at_once is None else math.ceil(count / at_once)
    return count <= NUM_SAMPLED or (count <= MOST_BY_ITSELF and fills <= MOST_FILLS)


def list_sequences(oracle: AbstractOracle) -> AllSequences:
    """List every sequence that is possible under a model, with its exact probability.

    Args:
        oracle: Exact oracle of the model.

    Returns:
        The sequences of positive probability.

    Raises:
        ValueError: If they cannot be listed, or the probabilities that the oracle gives them
            do not sum to one, so that its evidence is wrong.
    """
    reason = reason_to_sample(oracle)
    if reason:
        raise ValueError(f"model: expected one whose sequences can all be listed, but {reason}")
    num_sequences, size = math.prod(_bases(oracle.model.layout)), _part_size(oracle)
    starts = range(0, num_sequences, size)
    parts = [np.arange(start, min(start + size, num_sequences)) for start in starts]
    numbers = np.concatenate(parts)
    log_evidence = np.concatenate([_log_probability(oracle, part) for part in parts])
    with np.errstate(over="ignore"):  # an infinite probability is noticed below
        weights = np.exp(log_evidence)
    total = float(weights.sum())
    if not abs(total - 1.0) <= SUM_TOLERANCE:
        raise ValueError(
            "oracle: expected probabilities of all sequences that sum to one, got "
            f"{total:.9g} over {num_sequences:,} sequences of {oracle.model.title()}; "
            "its log evidence is wrong"
        )
    possible = weights > 0.0
    return AllSequences(oracle, numbers[possible], weights[possible])


def _log_probability(
    oracle: AbstractOracle, numbers: Int[np.ndarray, " sequence"]
) -> Float[np.ndarray, " sequence"]:
    """Return the log probability of all that the sequences show, in 64 bits."""
    batch = _write_out(oracle, numbers)
    with jax.enable_x64(True):
        return np.asarray(_log_evidence(oracle, batch), np.float64)


@eqx.filter_jit
def _log_evidence(oracle: AbstractOracle, batch: Batch) -> Float[Array, " sequence"]:
    return oracle(batch).log_evidence[:, -1]


def _write_out(oracle: AbstractOracle, numbers: Int[np.ndarray, " sequence"]) -> Batch:
    """Read numbers of sequences as digits, one for each site and step."""
    layout = oracle.model.layout
    digits, rest = [], numbers
    for base in reversed(_bases(layout)):
        rest, digit = np.divmod(rest, base)
        digits.append(digit)
    table = np.stack(digits[::-1], axis=-1).reshape(len(numbers), -1, layout.length)
    sites = {
        site.name: jnp.asarray(table[:, row] + site.lowest, jnp.int32)
        for row, site in enumerate(_listed_sites(layout))
    }
    if not layout.reveal:
        sites[layout.outcome.name] = _placeholder(layout.outcome, len(numbers))
    return oracle.model.batch_from_sites(sites)


def _placeholder(outcome: Site, num_sequences: int) -> Array:
    """Return values for an outcome that is never shown."""
    kind = jnp.result_type(float) if outcome.num_values is None else jnp.int32
    return jnp.full((num_sequences, *outcome.shape), outcome.lowest, kind)


def _listed_sites(layout: Layout) -> tuple[Site, ...]:
    """Return the sites whose values tell sequences apart."""
    return (*layout.query, *((layout.outcome,) if layout.reveal else ()))


def _bases(layout: Layout) -> list[int]:
    """Return the number of values of each digit of a sequence's number."""
    return [site.num_values or 0 for site in _listed_sites(layout) for _ in range(layout.length)]


def _part_size(oracle: AbstractOracle) -> int:
    """Return how many sequences are held at once."""
    layout = oracle.model.layout
    return max(1, PART_ENTRIES // (layout.length * layout.num_outcomes))


def _write_count(count: int) -> str:
    return f"{count:,}" if count < 10**9 else f"about {float(f'{count:.2g}'):.1e}"
