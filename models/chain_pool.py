"""A finite pool of Markov chains: memorise the pool, or learn each chain in context?"""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Float
from numpyro.contrib.control_flow import scan

from bayescmp.exact.settings import constant
from bayescmp.generative import GenerativeModel
from bayescmp.models.arguments import require_at_least, require_positive


def pooled_chain(
    length: int, num_chains: int, num_states: int, concentration: float, seed: int
) -> None:
    """Draw one chain of the pool, then walk it."""
    pool = constant(chain_tables(num_chains, num_states, concentration, seed))
    chain = numpyro.sample("chain", dist.DiscreteUniform(0, num_chains - 1))

    def step(law: jax.Array, _: None) -> tuple[jax.Array, None]:
        token = numpyro.sample("token", dist.Categorical(probs=law))
        return pool[chain, token], None

    scan(step, jnp.full(num_states, 1.0 / num_states), None, length=length)


def chain_tables(
    num_chains: int, num_states: int, concentration: float, seed: int
) -> Float[np.ndarray, "chain state next_state"]:
    """Return the pool's transition matrices, with Dirichlet rows.

    Args:
        num_chains: Number of chains.
        num_states: Number of states.
        concentration: Concentration of each Dirichlet component.
        seed: Seed of the pool.

    Returns:
        ``p(next state | state)`` of each chain.
    """
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(num_states, concentration), (num_chains, num_states))


def chain_pool(
    num_chains: int = 64,
    num_states: int = 10,
    length: int = 64,
    concentration: float = 1.0,
    seed: int = 0,
) -> GenerativeModel:
    """Ask for each token of a Markov chain that was picked from a fixed pool.

    ``chain ~ uniform over the pool``, the first token is uniform, and then
    ``p(y_t | s_t) = sum_c p(c | s_t) T_c[y_{t-1}, y_t]``. With few chains a network can
    memorise them; with many it does better to count transitions, as the exact answer for
    fresh chains does (:func:`~bayescmp.models.markov_chain.markov_chain`).

    Source: Park et al., "Competition Dynamics Shape Algorithmic Phases of In-Context
    Learning", arXiv 2412.01003: pools of 4 to 2,048 chains of 10 states, 512 tokens.

    Args:
        num_chains: Number of chains in the pool, at least one.
        num_states: Number of states, each a token, at least two.
        length: Number of tokens in a sequence, at least one.
        concentration: Concentration of the rows' Dirichlet components, positive.
        seed: Seed of the pool, which belongs to the model.

    Returns:
        The model.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> chain_pool(num_chains=4, num_states=3, length=8).title()
        'pool of 4 Markov chains, 3 states'
    """
    require_at_least("num_chains", num_chains, 1)
    require_at_least("num_states", num_states, 2)
    require_at_least("seed", seed, 0)
    require_positive("concentration", concentration)
    return GenerativeModel(
        pooled_chain,
        outcome="token",
        length=length,
        arguments={
            "num_chains": num_chains,
            "num_states": num_states,
            "concentration": float(concentration),
            "seed": seed,
        },
        name=f"pool of {num_chains} Markov chains, {num_states} states",
    )
