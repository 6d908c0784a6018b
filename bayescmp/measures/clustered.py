"""The interval of a frequency whose entries come in clusters: the sequences.

The entries of one sequence depend on each other (outcomes of a position exclude
each other, positions share latents), so the interval treats sequences, not
entries, as the independent units:

1. In a bin, sequence ``s`` has ``N_s`` entries, ``Y_s`` of them came true. The
   observed frequency ``r = sum_s Y_s / sum_s N_s`` is a ratio of two sums of
   independent terms. Write ``R`` for the ratio of their expectations.
2. Linearise: ``r - R = sum_s (Y_s - R N_s) / sum_s N_s``, and the denominator may
   be taken as fixed to first order.
3. So ``var(r) = G / (G - 1) * sum_s (Y_s - r N_s)^2 / (sum_s N_s)^2``, where ``G``
   counts the sequences that have an entry in the bin. The residuals sum to zero,
   hence the factor.
4. This is the variance that ``n = r (1 - r) / var(r)`` independent trials would
   have. Wilson's score interval with these ``n`` trials stays inside [0, 1] and
   covers where ``r`` is near 0 or 1, as in most bins here, unlike ``r +- z sd``.
5. Where nothing or everything came true, the variance says nothing; each
   sequence then counts as a single trial, ``n = G``, the most cautious choice.
"""

from statistics import NormalDist

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def clustered_interval(
    counts: Int[Array, "sequence bin"],
    hits: Int[Array, "sequence bin"],
    observed: Float[Array, " bin"],
    level: float,
) -> tuple[Float[Array, " bin"], Float[Array, " bin"]]:
    """Compute the score interval of a frequency over entries that depend by sequence.

    Args:
        counts: Entries of each sequence in each bin.
        hits: How many of them came true.
        observed: Share of each bin's entries that came true [1]; NaN for an empty bin.
        level: Coverage asked for, between 0 and 1.

    Returns:
        Lower and upper ends [1], as derived above; [0, 1] for one sequence.

    Example:
        >>> counts, hits = jnp.full((40, 1), 2), jnp.array([[2], [0]] * 20)  # pairs agree
        >>> low, high = clustered_interval(counts, hits, jnp.array([0.5]), 0.95)
        >>> float(high[0] - low[0]) > 1.3 * 0.216  # 80 independent trials would give 0.216
        True
    """
    num_sequences = jnp.sum(counts > 0, axis=0)
    residual = hits - observed[None, :] * counts
    factor = num_sequences / jnp.maximum(num_sequences - 1, 1)
    total = jnp.maximum(jnp.sum(counts, axis=0), 1).astype(observed.dtype)
    variance = factor * jnp.sum(jnp.square(residual / total[None, :]), axis=0)
    one_trial = observed * (1.0 - observed)
    mixed = one_trial > 0.0
    inverse_trials = jnp.where(
        mixed,
        variance / jnp.where(mixed, one_trial, 1.0),
        1.0 / jnp.maximum(num_sequences, 1),
    )
    shrink = NormalDist().inv_cdf(0.5 * (1.0 + level)) ** 2 * inverse_trials
    centre = (observed + 0.5 * shrink) / (1.0 + shrink)
    half_width = jnp.sqrt(shrink * one_trial + 0.25 * jnp.square(shrink)) / (1.0 + shrink)
    no_data = jnp.where(jnp.isnan(observed), jnp.nan, 0.0)
    known = num_sequences > 1
    low = jnp.where(known, jnp.clip(centre - half_width, 0.0, 1.0), 0.0) + no_data
    high = jnp.where(known, jnp.clip(centre + half_width, 0.0, 1.0), 1.0) + no_data
    return low, high
