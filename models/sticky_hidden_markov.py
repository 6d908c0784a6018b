"""A hidden Markov chain that rarely moves and is seen badly: the regime that tests recursion."""

from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.contrib.control_flow import scan

from bayescmp.generative import GenerativeModel
from bayescmp.models.arguments import require_at_least, require_inside

Asked = Literal["state", "symbol"]


def sticky_chain(
    length: int, num_states: int, num_symbols: int, stay: float, accuracy: float
) -> None:
    """Draw states that mostly stay, each with a symbol that is often a wrong one."""
    leave = (1.0 - stay) / (num_states - 1)
    miss = (1.0 - accuracy) / (num_symbols - 1)
    transition = jnp.where(jnp.eye(num_states, dtype=bool), stay, leave)
    own = jnp.arange(num_states)[:, None] % num_symbols == jnp.arange(num_symbols)[None, :]
    emission = jnp.where(own, accuracy, miss)

    def step(law: jax.Array, _: None) -> tuple[jax.Array, None]:
        state = numpyro.sample("state", dist.Categorical(probs=law))
        numpyro.sample("symbol", dist.Categorical(probs=emission[state]))
        return transition[state], None

    scan(step, jnp.full(num_states, 1.0 / num_states), None, length=length)


def sticky_hidden_markov(
    num_states: int = 5,
    num_symbols: int = 5,
    length: int = 100,
    stay: float = 0.97,
    accuracy: float = 0.35,
    asked: Asked = "state",
) -> GenerativeModel:
    """Ask for the state, or for the next symbol, of a sticky and ambiguous chain.

    The first state is uniform. ``p(state_{t+1} = state_t) = stay``, each other state has
    ``(1 - stay) / (num_states - 1)``; state ``k`` emits symbol ``k mod num_symbols`` with
    probability ``accuracy``, each other with ``(1 - accuracy) / (num_symbols - 1)``. No
    parameter is shown: all sequences share them.

    Chains with flat Dirichlet rows forget in about three steps, so that a short window
    does as well as recursion. Here even twenty observations are too few: at the default size
    the exact filter of the last twenty misses by an entropy error of 0.116 bits and by
    ``KL(exact || window)`` of 0.045 bits in the mean of all 100 positions, and by 0.146 and
    0.056 bits in that of the 80 positions which it does not reach over (NumPy filters,
    ``models/README.md``).

    Source: the task is that of Agarwal, Dalal and Misra, arXiv 2512.22471, section on HMM
    filtering; the regime is ours. Rabiner, "A tutorial on hidden Markov models",
    Proceedings of the IEEE 77 (1989), has the forward recursion.

    Args:
        num_states: Number of hidden states, at least two.
        num_symbols: Number of symbols, at least two; may differ from the states.
        length: Number of symbols in a sequence, at least one.
        stay: Probability of keeping the state, between 0 and 1.
        accuracy: Probability of a state's own symbol, between 0 and 1.
        asked: "state" for the state behind each symbol shown, which is never shown;
            "symbol" for the next symbol.

    Returns:
        The model.

    Raises:
        ValueError: If a number is out of range, or ``asked`` is another word.

    Example:
        >>> model = sticky_hidden_markov(num_states=3, num_symbols=2, length=8)
        >>> model.num_outcomes, bc.derive_oracle(model).certificate.engine
        (3, 'forward')
    """
    require_at_least("num_states", num_states, 2)
    require_at_least("num_symbols", num_symbols, 2)
    require_inside("stay", stay, 0.0, 1.0)
    require_inside("accuracy", accuracy, 0.0, 1.0)
    if asked not in get_args(Asked):
        raise ValueError(f"asked: expected one of {get_args(Asked)}, got {asked!r}")
    return GenerativeModel(
        sticky_chain,
        outcome=asked,
        query=("symbol",) if asked == "state" else (),
        reveal=asked == "symbol",
        length=length,
        arguments={
            "num_states": num_states,
            "num_symbols": num_symbols,
            "stay": float(stay),
            "accuracy": float(accuracy),
        },
        name=f"sticky hidden Markov chain ({num_states} x {num_symbols}), {asked} asked",
    )
