"""Gradients inside attention: routing by advantage, and values weighted by responsibility.

With ``o_i = sum_j a_ij v_j`` for weights ``a_ij = softmax_j(s_ij)``, and ``g_i = dL / do_i``,
two identities hold for any loss ``L``:

1. ``dL / da_ij = g_i . v_j = b_ij``, the payoff of looking at ``j``. The softmax's derivative
   ``da_ik / ds_ij = a_ik (1[j = k] - a_ij)`` then gives
   ``dL / ds_ij = a_ij (b_ij - sum_k a_ik b_ik)``: what a source pays beyond the mean.
2. ``do_i / dv_j = a_ij`` gives ``dL / dv_j = sum_i a_ij g_i``: each value gathers what those
   want who look at it, by how much they do. Heads that share a value add theirs up.

Source: Agarwal, Dalal and Misra, arXiv 2512.22473, for the names and the reading as E and M step.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

Pattern = Float[Array, "*rows head input_position source_position"]
HeadVectors = Float[Array, "*rows head input_position head_feature"]
HeadValues = Float[Array, "*rows head source_position head_feature"]
SourceVectors = Float[Array, "*rows source_head source_position head_feature"]


def score_gradient(pattern: Pattern, values: HeadValues, upstream: HeadVectors) -> Pattern:
    """Return ``dL / ds_ij = a_ij (b_ij - sum_k a_ik b_ik)`` with ``b_ij = g_i . v_j``.

    Args:
        pattern: Attention weights ``a`` of a softmax.
        values: Values ``v``, one for each head.
        upstream: Gradients ``g`` by what each head has mixed.

    Returns:
        Gradients by the scores; each row sums to zero.

    Example:
        >>> from bayescmp.layers.attention_gradients import score_gradient
        >>> even, values = jnp.full((1, 1, 2), 0.5), jnp.array([[[1.0], [3.0]]])
        >>> score_gradient(even, values, jnp.ones((1, 1, 1))).tolist()
        [[[-0.5, 0.5]]]
    """
    payoff = upstream @ jnp.swapaxes(values, -1, -2)
    mean = jnp.sum(pattern * payoff, axis=-1, keepdims=True)
    return pattern * (payoff - mean)


def value_gradient(pattern: Pattern, upstream: HeadVectors) -> HeadValues:
    """Return ``dL / dv_j = sum_i a_ij g_i``.

    Args:
        pattern: Attention weights ``a``.
        upstream: Gradients ``g`` by what each head has mixed.

    Returns:
        Gradients by the values of each head; those of heads that share values add up.

    Example:
        >>> from bayescmp.layers.attention_gradients import value_gradient
        >>> value_gradient(jnp.array([[[0.25, 0.75]]]), jnp.full((1, 1, 1), 4.0)).tolist()
        [[[1.0], [3.0]]]
    """
    return jnp.swapaxes(pattern, -1, -2) @ upstream


def share(source: SourceVectors, num_heads: int) -> HeadValues:
    """Repeat what heads share, once for each of them.

    Args:
        source: Keys, values or gradients by them.
        num_heads: Number of heads.

    Returns:
        One entry for each head.
    """
    return jnp.repeat(source, num_heads // source.shape[-3], axis=-3)


def gather(heads: HeadValues, num_source_heads: int) -> SourceVectors:
    """Add up what belongs to heads with the same keys and values.

    Args:
        heads: One entry for each head.
        num_source_heads: Number of keys and values.

    Returns:
        One entry for each of them.
    """
    rows, rest = heads.shape[:-3], heads.shape[-2:]
    return heads.reshape(*rows, num_source_heads, -1, *rest).sum(axis=-3)
