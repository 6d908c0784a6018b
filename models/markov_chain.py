"""Markov chains with unknown transition rows: count what followed each context."""

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.contrib.control_flow import scan

from bayescmp.generative import GenerativeModel
from bayescmp.models.arguments import require_at_least, require_positive

MAX_ROWS = 4_096
"""Largest number of contexts, ``num_states ** order``."""


def fresh_chain(length: int, num_states: int, order: int, concentration: float) -> None:
    """Draw a row for each context, then tokens; the first ones are uniform."""
    num_rows = num_states**order
    with numpyro.plate("context", num_rows):
        rows = numpyro.sample("row", dist.Dirichlet(jnp.full(num_states, concentration)))

    def step(context: jax.Array, position: jax.Array) -> tuple[jax.Array, None]:
        law = jnp.where(position < order, 1.0 / num_states, rows[context])
        token = numpyro.sample("token", dist.Categorical(probs=law))
        return jnp.mod(context * num_states + token, num_rows), None

    scan(step, jnp.zeros((), int), jnp.arange(length))


def markov_chain(
    num_states: int = 3, length: int = 100, order: int = 1, concentration: float = 1.0
) -> GenerativeModel:
    """Ask for each token of a fresh Markov chain with Dirichlet rows.

    ``row_c ~ Dirichlet(concentration)`` for every context ``c`` of the last ``order``
    tokens; the first ``order`` tokens are uniform. With ``n(c, y)`` counts so far
    ``p(y_t = y | s_t) = (n(c_t, y) + concentration) / (n(c_t) + num_states concentration)``:
    with concentration one, the add-one bigram (or trigram) rule.

    Source: Edelman, Edelman, Goel, Malach and Tsilivis, "The Evolution of Statistical
    Induction Heads: In-Context Learning Markov Chains", arXiv 2402.11004, section on the
    task: flat Dirichlet rows, 2 states, 100 tokens; also chains of higher order.

    Args:
        num_states: Number of states, each a token, at least two.
        length: Number of tokens in a sequence, at least one.
        order: Number of past tokens that matter, at least one.
        concentration: Concentration of each Dirichlet component, positive.

    Returns:
        The model.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> markov_chain(num_states=2, length=8, order=2).sites["row"].shape
        (4, 2)
    """
    require_at_least("num_states", num_states, 2)
    require_at_least("order", order, 1)
    require_positive("concentration", concentration)
    if num_states**order > MAX_ROWS:
        raise ValueError(
            f"order: expected at most {MAX_ROWS:,} contexts, got {num_states}**{order}"
        )
    return GenerativeModel(
        fresh_chain,
        outcome="token",
        length=length,
        arguments={
            "num_states": num_states,
            "order": order,
            "concentration": float(concentration),
        },
        name=f"Markov chain of order {order}, {num_states} states, unknown rows",
    )
