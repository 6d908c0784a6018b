"""Rows of a prompt-by-token matrix, with Dirichlet priors and mixtures of them."""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from bayescmp.exact.settings import constant
from bayescmp.generative import GenerativeModel
from bayescmp.models.arguments import require_at_least, require_law, require_positive

Concentrations = tuple[tuple[float, ...], ...]

TWO_PRIORS: Concentrations = ((8.0, 1.0, 1.0, 1.0), (0.3, 0.3, 0.3, 0.3))
"""One prior that expects the first token, and one that expects few tokens, any of them."""


def tokens_after_prompts(
    length: int, num_prompts: int, num_tokens: int, concentration: float
) -> None:
    """Draw a row for each prompt, then prompts with a token from their row."""
    with numpyro.plate("each_prompt", num_prompts):
        rows = numpyro.sample("row", dist.Dirichlet(jnp.full(num_tokens, concentration)))
    with numpyro.plate("position", length):
        prompt = numpyro.sample("prompt", dist.DiscreteUniform(0, num_prompts - 1))
        numpyro.sample("token", dist.Categorical(probs=rows[prompt]))


def prompt_matrix(
    num_prompts: int = 4, num_tokens: int = 8, length: int = 32, concentration: float = 0.5
) -> GenerativeModel:
    """Ask for the token that follows each prompt, where every prompt has a law of its own.

    ``row_i ~ Dirichlet(concentration)`` for every prompt ``i``; prompts are uniform and
    shown. ``p(y_t = y | prompt_t = i, s_t) = (n(i, y) + concentration) / (n(i) + num_tokens
    concentration)``: the pseudo-count that a network acts on can be read off its answers.

    Source: Dalal and Misra, "The Matrix: A Bayesian learning model for LLMs", arXiv
    2402.03175: rows of an ideal matrix of prompts by tokens, learnt by Dirichlet updates.

    Args:
        num_prompts: Number of prompts, at least one.
        num_tokens: Number of tokens, at least two.
        length: Number of prompts with tokens in a sequence, at least one.
        concentration: Concentration of each Dirichlet component, positive.

    Returns:
        The model.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> prompt_matrix(num_prompts=2, num_tokens=3, length=6).title()
        'prompt-by-token matrix, 2 x 3'
    """
    require_at_least("num_prompts", num_prompts, 1)
    require_at_least("num_tokens", num_tokens, 2)
    require_positive("concentration", concentration)
    return GenerativeModel(
        tokens_after_prompts,
        outcome="token",
        query=("prompt",),
        length=length,
        arguments={
            "num_prompts": num_prompts,
            "num_tokens": num_tokens,
            "concentration": float(concentration),
        },
        name=f"prompt-by-token matrix, {num_prompts} x {num_tokens}",
    )


def tokens_from_mixture(
    length: int, concentrations: Concentrations, weights: tuple[float, ...]
) -> None:
    """Draw a prior, a law from it, and tokens from the law."""
    component = numpyro.sample("component", dist.Categorical(probs=constant(np.array(weights))))
    prior = constant(np.array(concentrations))[component]
    law = numpyro.sample("law", dist.Dirichlet(prior))
    with numpyro.plate("position", length):
        numpyro.sample("token", dist.Categorical(probs=law))


def dirichlet_mixture(
    length: int = 32,
    concentrations: Concentrations = TWO_PRIORS,
    weights: tuple[float, ...] | None = None,
) -> GenerativeModel:
    """Ask for each token of a law whose prior is a mixture of Dirichlet laws.

    ``component ~ weights``, ``law ~ Dirichlet(concentrations[component])``. Mixtures of
    Dirichlet laws come as near as you like to any prior. With ``n`` the counts so far,
    ``p(y | s_t) = sum_k p(k | s_t) (n_y + a_ky) / (n + a_k)`` where
    ``p(k | s_t) ~ w_k B(a_k + n) / B(a_k)``.

    Source: Dalal and Misra, arXiv 2402.03175, section on approximation by Dirichlet
    mixtures.

    Args:
        length: Number of tokens in a sequence, at least one.
        concentrations: Concentrations of each component, one number for each token.
        weights: Probability of each component; equal by default.

    Returns:
        The model.

    Raises:
        ValueError: If the numbers do not fit together or are out of range.

    Example:
        >>> dirichlet_mixture(length=6).num_outcomes
        4
    """
    require_at_least("concentrations", len(concentrations), 1)
    sizes = {len(row) for row in concentrations}
    if len(sizes) != 1 or min(sizes) < 2:
        raise ValueError(
            "concentrations: expected the same number of tokens, two or more, for each "
            f"component, got {concentrations}"
        )
    for row in concentrations:
        for number in row:
            require_positive("concentrations", number)
    weights = (1.0 / len(concentrations),) * len(concentrations) if weights is None else weights
    require_law("weights", weights)
    if len(weights) != len(concentrations):
        raise ValueError(
            f"weights: expected {len(concentrations)}, one for each component, got {len(weights)}"
        )
    return GenerativeModel(
        tokens_from_mixture,
        outcome="token",
        length=length,
        arguments={
            "concentrations": tuple(tuple(float(a) for a in row) for row in concentrations),
            "weights": tuple(float(w) for w in weights),
        },
        name=f"mixture of {len(concentrations)} Dirichlet laws, {min(sizes)} tokens",
    )
