"""A hidden Markov chain whose parameters are hidden too: no closed form, Monte Carlo."""

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.contrib.control_flow import scan

from bayescmp.generative import GenerativeModel
from bayescmp.models.arguments import require_at_least, require_positive


def unknown_chain(length: int, num_states: int, num_symbols: int, concentration: float) -> None:
    """Draw both matrices, then states and symbols in turn."""
    with numpyro.plate("state_row", num_states):
        transition = numpyro.sample(
            "transition", dist.Dirichlet(jnp.full(num_states, concentration))
        )
        emission = numpyro.sample("emission", dist.Dirichlet(jnp.full(num_symbols, concentration)))

    def step(law: jax.Array, _: None) -> tuple[jax.Array, None]:
        state = numpyro.sample("state", dist.Categorical(probs=law))
        numpyro.sample("symbol", dist.Categorical(probs=emission[state]))
        return transition[state], None

    uniform = jnp.full(num_states, 1.0 / num_states, transition.dtype)
    scan(step, uniform, None, length=length)


def unknown_hidden_markov(
    num_states: int = 3, num_symbols: int = 4, length: int = 32, concentration: float = 0.5
) -> GenerativeModel:
    """Ask for each symbol of a chain of which nothing is known but the prior.

    Rows of the transition and emission matrices are Dirichlet and fresh for each sequence;
    the first state is uniform. ``p(y_t | s_t)`` is an integral over both matrices of a sum
    over all paths of states. It has no closed form: states can be swapped, so the posterior
    has ``num_states!`` equal modes. Predictives are the same in all of them, so one mode
    is enough for Monte Carlo.

    Source: Scott, "Bayesian Methods for Hidden Markov Models", Journal of the American
    Statistical Association 97 (2002).

    Args:
        num_states: Number of hidden states, at least two.
        num_symbols: Number of symbols, at least two.
        length: Number of symbols in a sequence, at least one.
        concentration: Concentration of every Dirichlet component, positive.

    Returns:
        The model.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> sorted(unknown_hidden_markov(num_states=2, length=4).sites)
        ['emission', 'state', 'symbol', 'transition']
    """
    require_at_least("num_states", num_states, 2)
    require_at_least("num_symbols", num_symbols, 2)
    require_positive("concentration", concentration)
    return GenerativeModel(
        unknown_chain,
        outcome="symbol",
        length=length,
        arguments={
            "num_states": num_states,
            "num_symbols": num_symbols,
            "concentration": float(concentration),
        },
        name=f"unknown hidden Markov chain, {num_states} states, {num_symbols} symbols",
    )
