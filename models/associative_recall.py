"""Key-value pairs, and then some of the keys again: recall, without any uncertainty."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float
from numpyro.contrib.control_flow import scan

from bayescmp.engine import AbstractEngine
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.layout import Questions
from bayescmp.models.arguments import require_at_least
from bayescmp.records import Reference


class AssociativeRecall(AbstractGenerativeModel):
    """Different keys with random values, then queries that repeat keys.

    ``mapping_k ~ uniform over the values``, independently for each key. The first
    ``num_pairs`` keys differ; each later one is uniform over those. Asked is the value at
    each key: uniform at its first occurrence, and certain from then on.

    Source: Agarwal, Dalal and Misra, arXiv 2512.22471, section on associative recall. The
    code there has 64 pairs, 3 queries and 256 keys and values, with 32 filler tokens
    between pairs and queries, which are left out here.

    Example:
        >>> AssociativeRecall(num_keys=16, num_values=4, num_pairs=6, num_queries=3).length
        9
    """

    num_keys: int = eqx.field(static=True)
    num_values: int = eqx.field(static=True)
    num_pairs: int = eqx.field(static=True)
    num_queries: int = eqx.field(static=True)

    def __init__(
        self,
        num_keys: int = 64,
        num_values: int = 64,
        num_pairs: int = 16,
        num_queries: int = 16,
    ) -> None:
        """Describe the process.

        Args:
            num_keys: Number of different keys, at least one.
            num_values: Number of different values, at least two.
            num_pairs: Pairs shown first, at most one for each key.
            num_queries: Keys shown again, none or more.

        Raises:
            ValueError: If a number is out of range.
        """
        require_at_least("num_keys", num_keys, 1)
        require_at_least("num_values", num_values, 2)
        require_at_least("num_queries", num_queries, 0)
        if not 1 <= num_pairs <= num_keys:
            raise ValueError(f"num_pairs: expected 1 to {num_keys} (the keys), got {num_pairs}")
        self.num_keys = num_keys
        self.num_values = num_values
        self.num_pairs = num_pairs
        self.num_queries = num_queries

    def program(self) -> None:
        """Draw a value for each key, then keys with their values in turn."""
        with numpyro.plate("each_key", self.num_keys):
            mapping = numpyro.sample("mapping", dist.DiscreteUniform(0, self.num_values - 1))
        values = jnp.arange(self.num_values)

        def step(seen: jax.Array, is_query: jax.Array) -> tuple[jax.Array, None]:
            # NumPyro's validation refuses infinite logits, which is what certainty has.
            log_law = jnp.where(seen == is_query, 0.0, -jnp.inf)
            key = numpyro.sample("key", dist.Categorical(logits=log_law, validate_args=False))
            certain = jnp.where(values == mapping[key], 0.0, -jnp.inf)
            numpyro.sample("value", dist.Categorical(logits=certain, validate_args=False))
            return seen | (jnp.arange(self.num_keys) == key), None

        is_query = jnp.arange(self.num_pairs + self.num_queries) >= self.num_pairs
        scan(step, jnp.zeros(self.num_keys, bool), is_query)

    def questions(self) -> Questions:
        """Show the key, ask for the value, then show it."""
        return Questions(outcome="value", query=("key",))

    def closed_form(self) -> AbstractEngine:
        """Return the look-up of values seen."""
        return RecallEngine(
            num_keys=self.num_keys,
            num_values=self.num_values,
            num_pairs=self.num_pairs,
            key_site="key",
            value_site="value",
            mapping_site="mapping",
        )

    def title(self) -> str:
        """Return the name for tables."""
        return f"associative recall, {self.num_pairs} pairs, {self.num_queries} queries"


class RecallEngine(AbstractEngine):
    """Values at keys that were seen are certain; all others are still uniform.

    Values of different keys are independent, so nothing else can be learnt:
    ``p(y_t = v | s_t) = 1[v = value at key_t]`` where ``key_t`` was seen, else ``1 / V``.
    ``belief[mapping][t, k, v]`` is ``p(mapping_k = v | s_t)``.
    """

    num_keys: int = eqx.field(static=True)
    num_values: int = eqx.field(static=True)
    num_pairs: int = eqx.field(static=True)
    key_site: str = eqx.field(static=True)
    value_site: str = eqx.field(static=True)
    mapping_site: str = eqx.field(static=True)

    def __call__(self, sites: dict[str, Array]) -> Reference:
        """Answer every question of one example."""
        keys, values = sites[self.key_site], sites[self.value_site]
        log_predictive = self.windowed(sites, keys.shape[0])
        return Reference(
            log_predictive=log_predictive,
            log_evidence=self._log_evidence(keys, values, log_predictive),
            belief={self.mapping_site: self._belief(keys, values)},
        )

    def windowed(self, sites: dict[str, Array], window: int) -> Float[Array, "position outcome"]:
        """Look up the last ``window`` pairs."""
        keys, values = sites[self.key_site], sites[self.value_site]
        age = jnp.arange(keys.shape[0])[:, None] - jnp.arange(keys.shape[0])[None, :]
        match = (keys[:, None] == keys[None, :]) & (age > 0) & (age <= window)
        found = match @ _one_hot(values, self.num_values)
        law = jnp.where(found > 0.0, 0.0, -jnp.inf)
        return jnp.where(match.any(axis=1, keepdims=True), law, -jnp.log(self.num_values))

    def treatment(self) -> dict[str, str]:
        """Say how each site was dealt with."""
        return {
            self.mapping_site: "summed in closed form",
            self.key_site: "shown",
            self.value_site: "asked, then shown",
        }

    def reason(self) -> str:
        """Say why the answer is exact."""
        return "values of different keys are independent, so a value is known or still uniform"

    def _log_evidence(
        self, keys: Array, values: Array, log_predictive: Float[Array, "position outcome"]
    ) -> Float[Array, " position"]:
        """Return the running sum of ``log p(key_t | before) + log p(value_t | key_t, before)``."""
        position = jnp.arange(keys.shape[0])
        seen = jnp.tril(keys[:, None] == keys[None, :], k=-1).any(axis=1)
        is_query = position >= self.num_pairs
        choices = jnp.where(is_query, self.num_pairs, self.num_keys - position)
        log_key = jnp.where(seen == is_query, -jnp.log(choices), -jnp.inf)
        log_value = jnp.take_along_axis(log_predictive, values[:, None], axis=1)[:, 0]
        return jnp.cumsum(log_key + log_value)

    def _belief(self, keys: Array, values: Array) -> Float[Array, "position key value"]:
        pairs = (
            _one_hot(keys, self.num_keys)[:, :, None] * _one_hot(values, self.num_values)[:, None]
        )
        known = jnp.cumsum(pairs, axis=0) - pairs > 0.0
        return jnp.where(known.any(axis=2, keepdims=True), known, 1.0 / self.num_values)


def _one_hot(indices: Array, size: int) -> Float[Array, "position value"]:
    return jax.nn.one_hot(indices, size, dtype=jnp.result_type(float))
