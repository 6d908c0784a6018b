"""Every kind of model at a tiny size, each with a judge that shares no code with it.

A new model costs one row in ``CASES``; ``test_oracle_laws.py`` crosses it with every law.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import permutations

import equinox as eqx
import jax
import jax.numpy as jnp
import judges
import numpy as np
import numpyro
import numpyro.distributions as dist
import oracles
from numpyro.contrib.control_flow import scan
from scipy import special, stats

import bayescmp as bc
from bayescmp import models
from bayescmp.distributions import WithoutReplacement
from bayescmp.models import Bijection, HiddenMarkov, beta_bernoulli

Sites = dict[str, np.ndarray]

NUM_SEQUENCES = 1_024

# Tuples, not NumPy arrays: JAX 0.12 converts an array that a compiled function has used in
# 32 bits once and for all, so that the same program in 64 bits computes with 32.
URNS = ((0.7, 0.3, 0.0), (0.1, 0.2, 0.7), (0.4, 0.2, 0.4))
URN_PRIOR, SPOILED = (0.5, 0.3, 0.2), 0.25
SLOPES, SLOPE_PRIOR = (-2.0, 0.0, 1.5), (0.3, 0.3, 0.4)
STAYS, STAY_PRIOR = (0.1, 0.5, 0.95), (0.2, 0.5, 0.3)
CLUES = ((0.1, 0.5, 0.9), (0.8, 0.8, 0.2))  # p(clue = 1 | device, number - 3)
DEVICE_PRIOR = (0.6, 0.4)


def urns(length: int) -> None:
    """Draw from one of three urns, whose labels may be spoiled."""
    urn = numpyro.sample("urn", dist.Categorical(probs=jnp.array(URN_PRIOR)))
    spoiled = numpyro.sample("spoiled", dist.Bernoulli(SPOILED))
    law = jnp.where(spoiled == 1, jnp.full(3, 1.0 / 3.0), jnp.array(URNS)[urn])
    with numpyro.plate("position", length):
        numpyro.sample("token", dist.Categorical(probs=law))


def judge_urns(sites: Sites) -> oracles.Answer:
    laws = np.array([*URNS, (1.0 / 3.0,) * 3])
    prior = np.array([*((1.0 - SPOILED) * p for p in URN_PRIOR), SPOILED])
    return oracles.weighed_answer(prior, lambda z, _: laws[z], sites["token"])


def regression(length: int) -> None:
    """Classify real numbers with an unknown slope."""
    slope = numpyro.sample("slope", dist.Categorical(probs=jnp.array(SLOPE_PRIOR)))
    with numpyro.plate("position", length):
        x = numpyro.sample("x", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Bernoulli(logits=jnp.array(SLOPES)[slope] * x))


def judge_regression(sites: Sites) -> oracles.Answer:
    def step(z: int, position: int) -> np.ndarray:
        x = sites["x"][position]
        one = special.expit(SLOPES[z] * x)
        return stats.norm.pdf(x) * np.array([1.0 - one, one])

    return oracles.weighed_answer(np.array(SLOPE_PRIOR), step, sites["y"])


def clues(length: int) -> None:
    """Guess numbers from 3 to 5 by the clues of an unknown device."""
    device = numpyro.sample("device", dist.Categorical(probs=jnp.array(DEVICE_PRIOR)))
    with numpyro.plate("position", length):
        number = numpyro.sample("number", dist.DiscreteUniform(3, 5))
        numpyro.sample("clue", dist.Bernoulli(jnp.array(CLUES)[device][number - 3]))


def judge_clues(sites: Sites) -> oracles.Answer:
    device = np.array(CLUES)

    def step(z: int, position: int) -> np.ndarray:
        return np.where(sites["clue"][position] == 1, device[z], 1.0 - device[z]) / 3.0

    return oracles.weighed_answer(np.array(DEVICE_PRIOR), step, sites["number"] - 3)


def chain(length: int) -> None:
    """Walk a two-state Markov chain of unknown stickiness."""
    which = numpyro.sample("which", dist.Categorical(probs=jnp.array(STAY_PRIOR)))
    stay = jnp.array(STAYS)[which]

    def step(law: jax.Array, _: None) -> tuple[jax.Array, None]:
        token = numpyro.sample("token", dist.Categorical(probs=law))
        here = jax.nn.one_hot(token, 2)
        return here * stay + (1.0 - here) * (1.0 - stay), None

    scan(step, jnp.full(2, 0.5, stay.dtype), None, length=length)


def judge_chain(sites: Sites) -> oracles.Answer:
    tokens = sites["token"]

    def step(z: int, position: int) -> np.ndarray:
        if position == 0:
            return np.array([0.5, 0.5])
        return np.where(np.arange(2) == tokens[position - 1], STAYS[z], 1.0 - STAYS[z])

    return oracles.weighed_answer(np.array(STAY_PRIOR), step, tokens)


def deck(size: int, length: int) -> None:
    """Turn over cards of a shuffled deck."""
    numpyro.sample("card", WithoutReplacement(size, length))


def judge_deck(sites: Sites) -> oracles.Answer:
    orders = np.array(list(permutations(range(4))))
    prior = np.full(len(orders), 1.0 / len(orders))
    return oracles.weighed_answer(prior, lambda z, t: np.eye(4)[orders[z][t]], sites["card"])


BALLS = ((2, 1), (1, 3))
TWO_REGIMES = ((0.8, 0.2), (0.3, 0.7))
SOURCES = (0.9, 0.6)
GATES = (
    models.Gate("rain", leak=0.2),
    models.Gate("sprinkler", leak=0.3),
    models.Gate("mud", ("rain", "sprinkler"), (0.9, 0.8), leak=0.05, kind="and"),
    models.Gate("wet", ("rain", "mud"), (0.9, 1.0), leak=0.1),
)
ASKED = ("wet", "sprinkler", "rain")
PRIORS = ((4.0, 1.0, 1.0), (0.3, 0.3, 0.3))


def judge_sticky_state(sites: Sites) -> oracles.Answer:
    transition = np.where(np.eye(3, dtype=bool), 0.97, 0.015)
    emission = np.array([[0.35, 0.65], [0.65, 0.35], [0.35, 0.65]])
    return oracles.hidden_state_answer(transition, emission, sites["symbol"])


def judge_sticky_symbol(sites: Sites) -> oracles.Answer:
    transition = np.array([[[0.97, 0.03], [0.03, 0.97]]])
    emission = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1]])
    return judges.symbol_answer(transition, emission, sites["symbol"])


def judge_mixture(sites: Sites) -> oracles.Answer:
    rng = np.random.default_rng(0)
    transitions = rng.dirichlet([0.3, 0.3], (2, 2))
    return judges.symbol_answer(transitions, rng.dirichlet([0.3, 0.3], 2), sites["symbol"])


def judge_chain_pool(sites: Sites) -> oracles.Answer:
    pool, tokens = np.random.default_rng(0).dirichlet([1.0, 1.0], (3, 2)), sites["token"]

    def step(z: int, position: int) -> np.ndarray:
        return pool[z, tokens[position - 1]] if position else np.full(2, 0.5)

    return oracles.weighed_answer(np.full(3, 1.0 / 3.0), step, tokens)


def judge_prompts(sites: Sites) -> oracles.Answer:
    rows, tokens = sites["prompt"].tolist(), sites["token"]
    law, log_evidence = judges.dirichlet_answer([np.full(3, 0.5)], rows, tokens)
    return law, log_evidence - np.log(2.0) * np.arange(1, 4)  # prompts are uniform


def judge_gates(sites: Sites) -> oracles.Answer:
    rules = {
        gate.name: (gate.kind, tuple(zip(gate.parents, gate.strengths, strict=True)), gate.leak)
        for gate in GATES
    }
    return judges.gate_answer(rules, ASKED, sites["answer"])


def judge_hidden_markov(sites: Sites) -> oracles.Answer:
    return oracles.hidden_state_answer(sites["transition"], sites["emission"], sites["symbol"])


@dataclass(frozen=True)
class Case:
    """One model, its judge, and what holds for it."""

    make: Callable[[], bc.AbstractGenerativeModel]
    judge: Callable[[Sites], oracles.Answer]
    engine: str = "forward"
    """The engine that ``derive_oracle`` finds."""
    exchangeable: bool = True
    """Whether the steps of a sequence may come in any order."""


CASES: dict[str, Case] = {
    "bijection_3": Case(
        lambda: Bijection(size=3),
        lambda s: oracles.permutation_answer(3, s["key"], s["value"]),
        engine="closed form",
    ),
    "bijection_4_whole": Case(
        lambda: Bijection(size=4, num_pairs=4),
        lambda s: oracles.permutation_answer(4, s["key"], s["value"]),
        engine="closed form",
    ),
    "hidden_markov_3x2": Case(
        lambda: HiddenMarkov(num_states=3, num_symbols=2, length=4),
        judge_hidden_markov,
        engine="closed form",
        exchangeable=False,
    ),
    "hidden_markov_2x4": Case(
        lambda: HiddenMarkov(num_states=2, num_symbols=4, length=3, concentration=0.6),
        judge_hidden_markov,
        engine="closed form",
        exchangeable=False,
    ),
    "coin_flat": Case(
        lambda: beta_bernoulli(length=5),
        lambda s: oracles.beta_binomial_answer(1.0, 1.0, s["token"]),
        engine="conjugate",
    ),
    "coin_skewed": Case(
        lambda: beta_bernoulli(length=4, heads=2.5, tails=0.7),
        lambda s: oracles.beta_binomial_answer(2.5, 0.7, s["token"]),
        engine="conjugate",
    ),
    "urns": Case(lambda: bc.GenerativeModel(urns, outcome="token", length=4), judge_urns),
    "regression": Case(
        lambda: bc.GenerativeModel(regression, outcome="y", query=("x",), length=4),
        judge_regression,
    ),
    "clues": Case(
        lambda: bc.GenerativeModel(clues, outcome="number", query=("clue",), length=3),
        judge_clues,
    ),
    "chain": Case(
        lambda: bc.GenerativeModel(chain, outcome="token", length=5),
        judge_chain,
        exchangeable=False,
    ),
    "deck": Case(
        lambda: bc.GenerativeModel(deck, outcome="card", length=3, arguments={"size": 4}),
        judge_deck,
        engine="enumeration",
    ),
    "sticky_state": Case(
        lambda: models.sticky_hidden_markov(num_states=3, num_symbols=2, length=4),
        judge_sticky_state,
        exchangeable=False,
    ),
    "sticky_symbol": Case(
        lambda: models.sticky_hidden_markov(2, 3, length=3, accuracy=0.8, asked="symbol"),
        judge_sticky_symbol,
        exchangeable=False,
    ),
    "hidden_markov_mixture": Case(
        lambda: models.hidden_markov_mixture(2, 2, 2, length=4),
        judge_mixture,
        exchangeable=False,
    ),
    "chain_pool": Case(
        lambda: models.chain_pool(num_chains=3, num_states=2, length=4),
        judge_chain_pool,
        exchangeable=False,
    ),
    "urns_kept_out": Case(
        lambda: models.Urns(BALLS, length=3, replace=False),
        lambda s: judges.urn_answer(BALLS, False, s["ball"]),
        engine="closed form",
    ),
    "urns_put_back": Case(
        lambda: models.Urns(BALLS, length=4),
        lambda s: judges.urn_answer(BALLS, True, s["ball"]),
        engine="closed form",
    ),
    "changepoint": Case(
        lambda: models.changepoint(length=4, regimes=TWO_REGIMES),
        lambda s: judges.change_answer(TWO_REGIMES, s["token"]),
        exchangeable=False,
    ),
    "sula": Case(
        lambda: models.sula(length=3, num_answers=3, reliabilities=SOURCES),
        lambda s: judges.label_answer(3, np.array(SOURCES), s),
    ),
    "belief_network": Case(
        lambda: models.belief_network(GATES, ASKED),
        judge_gates,
        exchangeable=False,
    ),
    "context_tree": Case(
        lambda: models.ContextTree(depth=2, length=6),
        lambda s: judges.tree_answer(2, s["bit"]),
        engine="closed form",
        exchangeable=False,
    ),
    "prompt_matrix": Case(
        lambda: models.prompt_matrix(num_prompts=2, num_tokens=3, length=3),
        judge_prompts,
        engine="conjugate",
    ),
    "dirichlet_mixture": Case(
        lambda: models.dirichlet_mixture(length=4, concentrations=PRIORS),
        lambda s: judges.dirichlet_answer(np.array(PRIORS), [0] * 4, s["token"]),
        engine="conjugate",
    ),
}


@cache
def build(name: str) -> bc.AbstractGenerativeModel:
    """Build a case's model once."""
    return CASES[name].make()


@cache
def draw(name: str) -> bc.Batch:
    """Draw the same sequences of a case for every test, once."""
    return eqx.filter_jit(build(name).sample)(NUM_SEQUENCES, key=jax.random.key(17))


def first(name: str, num: int) -> bc.Batch:
    """Return the first few of them."""
    return jax.tree.map(lambda x: x[:num], draw(name))
