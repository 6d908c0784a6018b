"""Discrete distributions that the models need and NumPyro does not have."""

import math
from itertools import permutations

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln
from jaxtyping import Array
from numpyro.distributions import Distribution, constraints


class WithoutReplacement(Distribution):
    """Ordered draws from ``0 .. size - 1`` without replacement.

    ``p(x_1 .. x_n) = (size - n)! / size!`` for different elements. With
    ``num_draws == size`` this is the uniform law over permutations.
    """

    pytree_aux_fields = ("size", "num_draws")

    def __init__(self, size: int, num_draws: int) -> None:
        """Describe the draws.

        Args:
            size: Number of different elements, at least one.
            num_draws: Number of draws, from one to ``size``.

        Raises:
            ValueError: If a number is out of range.
        """
        if size < 1:
            raise ValueError(f"size: expected at least 1, got {size}")
        if not 1 <= num_draws <= size:
            raise ValueError(f"num_draws: expected 1 to {size} (the size), got {num_draws}")
        self.size = size
        self.num_draws = num_draws
        super().__init__(batch_shape=(), event_shape=(num_draws,), validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """Vectors of integers below ``size``; repeated elements have probability zero."""
        return constraints.independent(constraints.integer_interval(0, self.size - 1), 1)

    @property
    def support_size(self) -> int:
        """Number of different draws, known without listing them."""
        return math.perm(self.size, self.num_draws)

    @property
    def has_enumerate_support(self) -> bool:
        """Always true."""
        return True

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw by sorting uniform numbers."""
        noise = jax.random.uniform(key, (*sample_shape, self.size))
        return jnp.argsort(noise, axis=-1)[..., : self.num_draws]

    def log_prob(self, value: Array) -> Array:
        """Return the log probability of ordered draws, in nats."""
        same = value[..., :, None] == value[..., None, :]
        repeated = jnp.sum(same, axis=(-1, -2)) > self.num_draws
        in_range = jnp.all((value >= 0) & (value < self.size), axis=-1)
        size = jnp.asarray(float(self.size))
        log_count = gammaln(size + 1.0) - gammaln(size - self.num_draws + 1.0)
        return jnp.where(in_range & ~repeated, -log_count, -jnp.inf)

    def enumerate_support(self, expand: bool = True) -> Array:
        """List all ordered draws."""
        draws = list(permutations(range(self.size), self.num_draws))
        return jnp.asarray(np.asarray(draws, np.int32))
