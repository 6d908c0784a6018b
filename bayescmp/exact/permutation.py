"""The exact answer for a hidden permutation that is shown pair by pair."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from bayescmp.engine import AbstractEngine
from bayescmp.records import Reference


class PermutationEngine(AbstractEngine):
    """Posterior over a uniform permutation, given pairs of different keys and values.

    After ``t`` pairs the permutations that agree with all of them are equally likely.
    There are ``(size - t)!`` of them, and each unused value stands at a new key in
    ``(size - t - 1)!``, so the predictive is uniform over the unused values:
    ``p(y_t = v | s_t) = 1 / (size - t)`` and its entropy ``log(size - t)``.

    ``belief[mapping][t, k, v]`` is the probability that key ``k`` maps to value ``v``:
    one or zero for keys seen, uniform over unused values for others.
    """

    size: int = eqx.field(static=True)
    key_site: str = eqx.field(static=True)
    value_site: str = eqx.field(static=True)
    mapping_site: str = eqx.field(static=True)

    def __call__(self, sites: dict[str, Array]) -> Reference:
        """Answer every question of one example."""
        keys, values = sites[self.key_site], sites[self.value_site]
        one_hot = jax.nn.one_hot(values, self.size, dtype=bool)
        log_predictive = _uniform_over(~_seen_before(one_hot))
        return Reference(
            log_predictive=log_predictive,
            log_evidence=self._log_evidence(keys, values),
            belief={self.mapping_site: self._belief(keys, one_hot)},
        )

    def windowed(self, sites: dict[str, Array], window: int) -> Float[Array, "position outcome"]:
        """Answer from the last ``window`` pairs: uniform over values not among them."""
        one_hot = jax.nn.one_hot(sites[self.value_site], self.size, dtype=bool)
        return _uniform_over(~_seen_before(one_hot, window))

    def treatment(self) -> dict[str, str]:
        """Say how each site was dealt with."""
        return {
            self.mapping_site: "summed in closed form",
            self.key_site: "shown",
            self.value_site: "asked, then shown",
        }

    def reason(self) -> str:
        """Say why the answer is exact."""
        return (
            "all permutations that agree with the pairs shown are equally likely, so the "
            "predictive is uniform over the values not yet used"
        )

    def _log_evidence(
        self, keys: Int[Array, " position"], values: Int[Array, " position"]
    ) -> Float[Array, " position"]:
        """Return ``-2 sum_{s <= t} log(size - s)``, or minus infinity after a repetition."""
        left = self.size - jnp.arange(keys.shape[0])
        log_probs = -2.0 * jnp.cumsum(jnp.log(left))
        possible = ~(_repeats(keys) | _repeats(values))
        return jnp.where(jnp.cumprod(possible) > 0, log_probs, -jnp.inf)

    def _belief(
        self, keys: Int[Array, " position"], one_hot: Bool[Array, "position value"]
    ) -> Float[Array, "position key value"]:
        pairs = jax.nn.one_hot(keys, self.size)[:, :, None] * one_hot[:, None, :]
        known = jnp.cumsum(pairs, axis=0) - pairs
        unseen = 1.0 - jnp.sum(known, axis=2, keepdims=True)
        unused = 1.0 - jnp.sum(known, axis=1, keepdims=True)
        return known + unseen * unused / jnp.maximum(jnp.sum(unused, axis=2, keepdims=True), 1.0)


def _seen_before(
    one_hot: Bool[Array, "position value"], window: int | None = None
) -> Bool[Array, "position value"]:
    """Mark the values at the last ``window`` positions before each position."""
    length = one_hot.shape[0]
    age = jnp.arange(length)[:, None] - jnp.arange(length)[None, :]
    remembered = (age > 0) & (age <= (length if window is None else window))
    return jnp.any(remembered[:, :, None] & one_hot[None, :, :], axis=1)


def _uniform_over(allowed: Bool[Array, "position value"]) -> Float[Array, "position value"]:
    count = jnp.sum(allowed, axis=-1, keepdims=True)
    return jnp.where(allowed, -jnp.log(count), -jnp.inf)


def _repeats(elements: Int[Array, " position"]) -> Bool[Array, " position"]:
    """Mark elements that occurred at an earlier position."""
    same = elements[:, None] == elements[None, :]
    return jnp.any(jnp.tril(same, k=-1), axis=1)
