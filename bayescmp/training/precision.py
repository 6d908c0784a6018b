"""Arithmetic in bfloat16 with weights in float32."""

import contextlib
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

PrecisionName = Literal["auto", "float32", "mixed"]
"""What a user can ask for."""

Precision = Literal["float32", "mixed"]
"""What is computed."""

FULL_PRODUCTS = ("highest", "float32")
"""What JAX calls products of float32 that shorten no factor."""


def choose_precision(name: PrecisionName) -> Precision:
    """Return the precision that a setting stands for on this machine.

    Args:
        name: The setting.

    Returns:
        ``auto`` resolved: ``mixed`` on an accelerator; ``float32`` on a CPU, which computes
        in bfloat16 more slowly, and wherever JAX was told to compute full products.
    """
    if name != "auto":
        return name
    full = jax.config.jax_default_matmul_precision in FULL_PRODUCTS
    return "float32" if full or jax.default_backend() == "cpu" else "mixed"


def lower(tree: PyTree[Array], precision: Precision) -> PyTree[Array]:
    """Return arrays as the network computes with them.

    The gradient of a lowered array comes back in the type that the array had, so that an
    optimiser adds small steps to weights that can hold them.

    Args:
        tree: Weights or inputs; integers stay as they are.
        precision: Whether to lower anything.

    Returns:
        The arrays, floating-point ones in bfloat16 if the precision is ``mixed``.

    Example:
        >>> lower({"weight": jnp.ones(2), "token": jnp.array(1)}, "mixed")["weight"].dtype
        dtype(bfloat16)
    """
    if precision == "float32":
        return tree

    def cast(leaf: Array) -> Array:
        return leaf.astype(jnp.bfloat16) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(cast, tree)


def full_products(precision: Precision) -> contextlib.AbstractContextManager[object]:
    """Return a context in which matrix products in float32 are what their name says.

    Accelerators shorten the factors of a product unless they are told not to (a mantissa of
    10 bits on recent NVIDIA cards).

    Args:
        precision: ``float32`` for full products; ``mixed`` leaves the device its way.

    Returns:
        A context for what is traced inside; gradients inherit it.
    """
    if precision == "float32":
        return jax.default_matmul_precision("highest")
    return contextlib.nullcontext()
