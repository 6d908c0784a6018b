"""What an oracle believes of each latent site, on held-out sequences."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bayescmp.comparison.evaluation import Evaluation
from bayescmp.oracle import AbstractOracle
from bayescmp.records import Batch


def ask_beliefs(
    evaluation: Evaluation,
) -> dict[str, Float[np.ndarray, "sequence position value"]]:
    """Ask the oracle of an evaluation for its belief about each latent site, in 64 bits.

    Args:
        evaluation: Sequences.

    Returns:
        Beliefs by site, each flattened.
    """
    with jax.enable_x64(True):
        ask = _beliefs_compiled if evaluation.oracle.certificate.jittable else _beliefs
        beliefs = ask(evaluation.oracle, _widen(evaluation.batch))
        flat = {site: np.asarray(values, np.float64) for site, values in beliefs.items()}
    return {site: values.reshape(*values.shape[:2], -1) for site, values in flat.items()}


def _beliefs(oracle: AbstractOracle, batch: Batch) -> dict[str, Array]:
    return oracle(batch).belief


_beliefs_compiled = eqx.filter_jit(_beliefs)


def _widen(batch: Batch) -> Batch:
    def widen(leaf: Array) -> Array:
        return leaf.astype(jnp.float64) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(widen, batch)
