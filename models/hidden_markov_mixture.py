"""A mixture of hidden Markov chains: which one speaks has to be inferred (GINC)."""

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


def mixture(
    length: int,
    num_concepts: int,
    num_states: int,
    num_symbols: int,
    concentration: float,
    seed: int,
) -> None:
    """Draw a concept, then states by its transition matrix and symbols in turn."""
    tables = concept_tables(num_concepts, num_states, num_symbols, concentration, seed)
    transition, emission = (constant(table) for table in tables)
    concept = numpyro.sample("concept", dist.DiscreteUniform(0, num_concepts - 1))

    def step(law: jax.Array, _: None) -> tuple[jax.Array, None]:
        state = numpyro.sample("state", dist.Categorical(probs=law))
        numpyro.sample("symbol", dist.Categorical(probs=emission[state]))
        return transition[concept, state], None

    scan(step, jnp.full(num_states, 1.0 / num_states), None, length=length)


def concept_tables(
    num_concepts: int, num_states: int, num_symbols: int, concentration: float, seed: int
) -> tuple[Float[np.ndarray, "concept state next_state"], Float[np.ndarray, "state symbol"]]:
    """Return the transition matrix of each concept, and the emissions that all share.

    Args:
        num_concepts: Number of concepts.
        num_states: Number of hidden states.
        num_symbols: Number of symbols.
        concentration: Concentration of the rows' Dirichlet components.
        seed: Seed of the tables.

    Returns:
        Transition and emission probabilities.
    """
    rng = np.random.default_rng(seed)
    rows = rng.dirichlet(np.full(num_states, concentration), (num_concepts, num_states))
    return rows, rng.dirichlet(np.full(num_symbols, concentration), num_states)


def hidden_markov_mixture(
    num_concepts: int = 5,
    num_states: int = 10,
    num_symbols: int = 50,
    length: int = 32,
    concentration: float = 0.3,
    seed: int = 0,
) -> GenerativeModel:
    """Ask for each symbol of a chain whose transition matrix is one of a fixed pool.

    ``concept ~ uniform``, then a hidden chain with that concept's transition matrix; the
    emissions are the same for all concepts. Inference over the concept is what the paper
    takes in-context learning to be: ``p(y_t | s_t) = sum_c p(c | s_t) p(y_t | s_t, c)``.

    Source: Xie, Raghunathan, Liang and Ma, "An Explanation of In-context Learning as
    Implicit Bayesian Inference", arXiv 2111.02080, section on the GINC data: a mixture of 5
    hidden Markov models over a vocabulary of 50. There a state is an entity and a property,
    which together determine the token; here rows are Dirichlet draws.

    Args:
        num_concepts: Number of chains in the pool, at least one.
        num_states: Number of hidden states, at least two.
        num_symbols: Number of symbols, at least two.
        length: Number of symbols in a sequence, at least one.
        concentration: Concentration of the rows' Dirichlet components, positive; the
            smaller, the more the chains differ.
        seed: Seed of the pool, which belongs to the model.

    Returns:
        The model.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> model = hidden_markov_mixture(num_states=3, num_symbols=4, length=6)
        >>> model.draw(key=jax.random.key(0)).latents["concept"] < 5
        Array(True, dtype=bool)
    """
    for name, value, least in (
        ("num_concepts", num_concepts, 1),
        ("num_states", num_states, 2),
        ("num_symbols", num_symbols, 2),
        ("seed", seed, 0),
    ):
        require_at_least(name, value, least)
    require_positive("concentration", concentration)
    return GenerativeModel(
        mixture,
        outcome="symbol",
        length=length,
        arguments={
            "num_concepts": num_concepts,
            "num_states": num_states,
            "num_symbols": num_symbols,
            "concentration": float(concentration),
            "seed": seed,
        },
        name=f"mixture of {num_concepts} hidden Markov chains, {num_symbols} symbols",
    )
