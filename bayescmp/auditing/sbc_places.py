"""Where the truth stands, by each quantity that a posterior can be asked for.

Ranks of latents alone miss a posterior that ignores the data: the prior is calibrated for them
(Modrák, Moon, Kim, Bürkner, Huurre, Faltejsková, Gelman and Vehtari, Simulation-based calibration
checking for Bayesian computation: the choice of test quantities shapes sensitivity, 2023).
So functions of latents and data are ranked too: the likelihood of the truth among those of
draws, or states in the order of their exact posterior.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from bayescmp.auditing.sbc_density import Density
from bayescmp.auditing.sbc_posterior import Beliefs, LatentDraws, LatentTable, Law, Placed
from bayescmp.measures.ranks import place_in_table, place_ranks, rank_draws
from bayescmp.montecarlo.target import Target
from bayescmp.records import Batch

MOST_ELEMENTS = 16
"""Elements of one latent that are ranked; of more, so many are taken evenly."""

DIGITS = 6
"""Digits by which probabilities are told apart; those of 32 bits agree in seven."""

AT_ONCE = 128
"""Replicates of which all draws are evaluated together."""

Places = dict[str, Float[np.ndarray, " replicate"]]


def place_values(beliefs: Beliefs, rng: np.random.Generator) -> Places:
    """Place the true value of every element of every latent.

    Args:
        beliefs: What a posterior says.
        rng: Where ties and places within cells are drawn from.

    Returns:
        Places by name, such as ``bias`` or ``mapping[3]``.
    """
    found = {}
    for name, law in beliefs.laws.items():
        truth = beliefs.truth[name]
        for at in _elements(truth):
            found[_label(name, at)] = _place(law.element(at), truth[(slice(None), *at)], rng)
    return found


def place_by_exact(beliefs: Beliefs, exact: Mapping[str, Law], rng: np.random.Generator) -> Places:
    """Place true states in the order of their exact posterior probability.

    ``f(z, data) = log p(z | data)``, known up to what does not depend on ``z`` from prior and
    likelihood, so that it is a function of latents and data.

    Args:
        beliefs: What a posterior says; its tables are used.
        exact: What is exactly so; tables of the same shape are used.
        rng: As above.

    Returns:
        Places by name, such as ``log posterior of mapping[3]``.
    """
    found = {}
    for name, law in beliefs.laws.items():
        right, truth = exact.get(name), beliefs.truth[name]
        if not (isinstance(law, LatentTable) and isinstance(right, LatentTable)):
            continue
        if law.probs.shape != right.probs.shape:
            continue
        for at in _elements(truth):
            order = _rounded(right.element(at).probs)
            own = truth[(slice(None), *at)]
            label = f"log posterior of {_label(name, at)}"
            found[label] = place_in_table(own, law.element(at).probs, rng, order)
    return found


def place_likelihood(
    density: Density, draws: Mapping[str, LatentDraws], batch: Batch, rng: np.random.Generator
) -> Places:
    """Rank the likelihood of the truth among the likelihoods of draws.

    Args:
        density: Log densities at the question.
        draws: Joint draws of all continuous latents.
        batch: Replicates.
        rng: As above.

    Returns:
        Places of ``log likelihood``.
    """
    truth, drawn = _evaluate("likelihood", density, draws, batch)
    ranks = rank_draws(_rounded(truth), _rounded(drawn), rng)
    return {"log likelihood": place_ranks(ranks, drawn.shape[1], rng)}


def place_next(
    beliefs: Beliefs, density: Density | None, batch: Batch, position: int, rng: np.random.Generator
) -> Places:
    """Place the next outcome in its predictive law, or among outcomes drawn from each draw.

    Args:
        beliefs: What a posterior says that has not seen the next outcome.
        density: Log densities at the question, where there are draws.
        batch: Replicates.
        position: The question.
        rng: As above.

    Returns:
        Places of ``next outcome``; none where nothing says what comes next.
    """
    came = np.asarray(batch.outcomes[:, position])
    if beliefs.predictive is not None:
        return {"next outcome": place_in_table(came, beliefs.predictive, rng)}
    draws = {name: law for name, law in beliefs.laws.items() if isinstance(law, LatentDraws)}
    if density is None or beliefs.knows_next:
        return {}
    _, log_next = _evaluate("next", density, draws, batch)
    cumulative = np.cumsum(np.exp(log_next), axis=-1)
    below = rng.random((*cumulative.shape[:-1], 1)) * cumulative[..., -1:]
    drawn = np.sum(below > cumulative[..., :-1], axis=-1)
    return {"next outcome": place_ranks(rank_draws(came, drawn, rng), drawn.shape[1], rng)}


def _elements(truth: np.ndarray) -> list[tuple[int, ...]]:
    """List the elements of a latent, or enough of them, evenly."""
    every = list(np.ndindex(*truth.shape[1:]))
    if len(every) <= MOST_ELEMENTS:
        return every
    taken = np.linspace(0, len(every) - 1, MOST_ELEMENTS).round().astype(int)
    return [every[i] for i in taken]


def _label(name: str, at: tuple[int, ...]) -> str:
    return f"{name}[{', '.join(map(str, at))}]" if at else name


def _place(law: Law, truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Place the true values of one element."""
    if isinstance(law, LatentTable):
        return place_in_table(truth, law.probs, rng)
    if isinstance(law, Placed):
        return law.places
    return place_ranks(rank_draws(truth, law.values, rng), law.values.shape[1], rng)


def _rounded(values: np.ndarray) -> np.ndarray:
    """Drop the digits that are rounding, so that equal numbers are ties."""
    with np.errstate(divide="ignore", invalid="ignore"):
        size = 10.0 ** (DIGITS - 1 - np.floor(np.log10(np.abs(values))))
        return np.where(np.isfinite(size), np.round(values * size) / size, values)


def _evaluate(
    what: str, density: Density, draws: Mapping[str, LatentDraws], batch: Batch
) -> tuple[np.ndarray, np.ndarray]:
    """Compute a function of latents and data for the truth and for every draw."""
    target, names = density.target, density.target.latents.names
    with jax.enable_x64(True):
        sites = target.in_64_bits(target.model.engine_sites(batch))
        truth = target.in_64_bits({name: batch.latents[name] for name in names})
        drawn = target.in_64_bits({name: draws[name].values for name in names})
        found = _compile(target, density.position, what)(truth, drawn, sites)
        return np.asarray(found[0]), np.asarray(found[1])


@lru_cache(maxsize=16)
def _compile(target: Target, position: int, what: str) -> Any:
    """Compile a function of latents and data for all replicates."""
    density = Density(target, position)
    function = density.log_likelihood if what == "likelihood" else density.log_next

    def one(example: tuple[dict[str, Array], dict[str, Array], dict[str, Array]]) -> Any:
        truth, drawn, sites = example
        return function(truth, sites), jax.vmap(lambda x: function(x, sites))(drawn)

    return jax.jit(lambda *examples: jax.lax.map(one, examples, batch_size=AT_ONCE))
