"""A hidden permutation, shown pair by pair (the bijection wind tunnel)."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from bayescmp.distributions import WithoutReplacement
from bayescmp.engine import AbstractEngine
from bayescmp.exact.permutation import PermutationEngine
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.layout import Questions


class Bijection(AbstractGenerativeModel):
    """A uniform permutation; different keys are shown and their values asked.

    ``mapping ~ uniform over permutations``, keys without replacement,
    ``value_t = mapping[key_t]``. The exact predictive is uniform over the values not
    used yet, with entropy ``log2(size - t)`` bits at position ``t = 0, 1, ...``

    As in the paper, the last key is left out by default: its value is certain.

    Source: Agarwal, Dalal and Misra, "The Bayesian Geometry of Transformer Attention",
    arXiv 2512.22471, section on the bijection task.

    Example:
        >>> Bijection(size=20).length
        19
    """

    size: int = eqx.field(static=True)
    """Number of keys, and of values."""
    num_pairs: int = eqx.field(static=True)
    """Number of pairs in a sequence."""

    def __init__(self, size: int = 20, num_pairs: int | None = None) -> None:
        """Describe the process.

        Args:
            size: Number of keys and of values, at least two.
            num_pairs: Number of pairs in a sequence; ``size - 1`` by default.

        Raises:
            ValueError: If a number is out of range.
        """
        if size < 2:
            raise ValueError(f"size: expected at least 2, got {size}")
        num_pairs = size - 1 if num_pairs is None else num_pairs
        if not 1 <= num_pairs <= size:
            raise ValueError(f"num_pairs: expected 1 to {size} (the size), got {num_pairs}")
        self.size = size
        self.num_pairs = num_pairs

    def program(self) -> None:
        """Draw a permutation, keys without replacement, and look their values up."""
        mapping = numpyro.sample("mapping", WithoutReplacement(self.size, self.size))
        key = numpyro.sample("key", WithoutReplacement(self.size, self.num_pairs))
        certain = jnp.where(jax.nn.one_hot(mapping[key], self.size, dtype=bool), 0.0, -jnp.inf)
        with numpyro.plate("position", self.num_pairs):
            # NumPyro's validation refuses infinite logits, which is what certainty has.
            numpyro.sample("value", dist.Categorical(logits=certain, validate_args=False))

    def questions(self) -> Questions:
        """Show the key, ask for the value, then show it."""
        return Questions(outcome="value", query=("key",))

    def closed_form(self) -> AbstractEngine:
        """Return the posterior over permutations that agree with the pairs shown."""
        return PermutationEngine(
            size=self.size, key_site="key", value_site="value", mapping_site="mapping"
        )

    def title(self) -> str:
        """Return the name for tables."""
        return f"bijection of {self.size}"
