"""The contract of every network: causal, one sequence at a time, traceable, trainable.

Each case is compiled twice: for batches in single precision, and for everything that is asked
of one sequence in double precision.
"""

import math
from collections import Counter
from functools import cache
from itertools import product
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import oracles_network
import pytest
from network_cases import CONTRACT, TRANSFORMERS, build_small, small_vectors, takes_vectors
from scipy import special
from small_networks import INPUT_SIZE, MAX_LENGTH, SHAPE, small_tokens

import bayescmp as bc
from bayescmp.models import beta_bernoulli
from bayescmp.networks import (
    CONFIGS,
    AbstractNetwork,
    AbstractTracedNetwork,
    ConvConfig,
    GRUConfig,
    HypernetworkConfig,
    LinearSSMConfig,
    LSTMConfig,
    NGramConfig,
    PositionwiseConfig,
    PrefixMLPConfig,
    SelectiveSSMConfig,
    TaskShape,
    TransformerConfig,
)
from bayescmp.networks.config import AbstractNetworkConfig, AbstractResidualConfig

EVERY_CASE = pytest.mark.parametrize("name", CONTRACT)
RESIDUAL = [
    name for name, (config, _) in CONTRACT.items() if isinstance(config, AbstractResidualConfig)
]
EVERY_RESIDUAL = pytest.mark.parametrize("name", RESIDUAL)
CAUSAL = [name for name, (config, _) in CONTRACT.items() if getattr(config, "causal", True)]
BOTH_WAYS = [name for name in CONTRACT if name not in CAUSAL]
"""Transformers for tasks that show all inputs first: the one exception to causality."""
LENGTH, CHANGED = MAX_LENGTH, 4
"""Positions of a sequence, and the first whose token is changed."""

# --------------------------------------------------------------------- answers

TRACED = Counter()
"""How often a configuration was traced for batches."""


@eqx.filter_jit
def answer(network: AbstractNetwork, tokens: jax.Array) -> jax.Array:
    TRACED[network.config] += 1
    return network(tokens)


class InBatches(NamedTuple):
    """Logits of two by three sequences, in single precision."""

    plain: np.ndarray
    changed: np.ndarray
    """With other tokens from position ``CHANGED`` on."""
    other: np.ndarray
    """By other weights."""


@cache
def in_batches(name: str) -> InBatches:
    network, tokens = build_small(*CONTRACT[name]), batch_of_tokens()
    changed = tokens.at[..., CHANGED:].set((tokens[..., CHANGED:] + 1) % INPUT_SIZE)
    calls = (network, tokens), (network, changed), (build_small(*CONTRACT[name], seed=9), tokens)
    return InBatches(*(np.asarray(answer(*call)) for call in calls))


class Alone(NamedTuple):
    """What is asked of one sequence, in double precision."""

    mapped: jax.Array
    """The batch's logits, by two ``vmap``."""
    single: jax.Array
    """Those of its first sequence."""
    gradients: AbstractNetwork
    """Of a random sum of logits with respect to every parameter."""
    reach: jax.Array | None
    """How much an answer's position depends on an input's; None where only tokens are read."""
    of_vectors: jax.Array | None
    """Logits of a sequence of vectors."""
    trace: dict[str, jax.Array] | None
    """Of the first sequence, with interventions that change nothing."""
    intervened: jax.Array | None
    """With factors of one half."""


@eqx.filter_jit
def ask(network: AbstractNetwork, tokens: jax.Array, vectors: jax.Array | None, factors) -> Alone:
    mapped, single = jax.vmap(jax.vmap(network))(tokens), network(tokens[0, 0])
    gradients, reach, of_vectors = differentiate(network, tokens[0, 0], vectors)
    trace = intervened = None
    if isinstance(network, AbstractTracedNetwork):
        identity, halves = factors
        found = network.trace_layers(tokens[0, 0], identity)
        trace = {field: getattr(found, field) for field in found.__dataclass_fields__}
        intervened = network(tokens[0, 0], halves)
    return Alone(mapped, single, gradients, reach, of_vectors, trace, intervened)


def differentiate(network: AbstractNetwork, tokens: jax.Array, vectors: jax.Array | None):
    """Return gradients, the reach of inputs and logits, all of one sequence."""
    weights, static = eqx.partition(network, eqx.is_inexact_array)
    inputs = tokens if vectors is None else vectors
    mix = jnp.asarray(np.random.default_rng(3).normal(size=network.shape.num_outcomes))

    def mixed(weights: AbstractNetwork, vectors: jax.Array | None):
        logits = eqx.combine(weights, static)(tokens if vectors is None else vectors)
        return logits @ mix, logits

    wanted = 0 if vectors is None else (0, 1)
    found, logits = jax.jacrev(mixed, argnums=wanted, has_aux=True)(weights, vectors)
    by_weights, by_vectors = (found, None) if vectors is None else found
    signs = jnp.asarray(np.random.default_rng(4).normal(size=inputs.shape[0]))
    gradients = jax.tree.map(lambda leaf: jnp.tensordot(signs, leaf, axes=1), by_weights)
    if by_vectors is None:
        return gradients, None, None
    return gradients, jnp.abs(by_vectors).max(axis=-1), logits


@cache
def alone(name: str) -> Alone:
    with jax.enable_x64(True):
        network = build_small(*CONTRACT[name], dtype=np.float64)
        vectors, factors = None, None
        if takes_vectors(name):
            vectors = jnp.asarray(small_vectors(LENGTH), jnp.float64)
        if isinstance(network, AbstractTracedNetwork):
            ones = network.no_interventions
            factors = ones, jax.tree.map(lambda leaf: 0.5 * leaf, ones)
        found = ask(network, batch_of_tokens(), vectors, factors)
        return jax.tree.map(np.asarray, found)


def batch_of_tokens() -> jax.Array:
    return small_tokens(2, 3, LENGTH)


def reach_of(config: AbstractNetworkConfig) -> int:
    """Number of last inputs that an answer depends on."""
    match config:
        case PositionwiseConfig():
            return 1
        case ConvConfig():
            return config.receptive_field
        case PrefixMLPConfig() if config.window is not None:
            return config.window
        case TransformerConfig() if config.window is not None:
            return 1 + config.depth * (config.window - 1)
        case NGramConfig():
            return config.order
    return LENGTH


# --------------------------------------------------------------------- the table


def missing(cases: dict[str, tuple[AbstractNetworkConfig, TaskShape]], names: set[str]) -> set[str]:
    return names - {type(config).__name__ for config, _ in cases.values()}


def test_every_registered_network_has_a_case():
    assert not missing(CONTRACT, set(CONFIGS))
    assert missing(CONTRACT, {*CONFIGS, "FreshConfig"}) == {"FreshConfig"}


@EVERY_CASE
def test_config_and_shape_are_kept_and_a_key_decides(name: str):
    config, shape = CONTRACT[name]
    network = build_small(*CONTRACT[name])
    assert isinstance(network, AbstractNetwork)
    assert network.config == config
    assert network.shape == shape
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(network))


# --------------------------------------------------------------------- causality


@pytest.mark.parametrize("name", CAUSAL)
def test_later_tokens_change_no_bit_of_earlier_answers(name: str):
    found = in_batches(name)
    np.testing.assert_array_equal(found.plain[..., :CHANGED, :], found.changed[..., :CHANGED, :])
    moved = np.abs(found.plain - found.changed)[..., CHANGED:, :].max(axis=-1)
    assert (moved > 1e-6).all()


@pytest.mark.parametrize("name", BOTH_WAYS)
def test_later_tokens_change_every_answer_of_what_looks_both_ways(name: str):
    found = in_batches(name)
    assert (np.abs(found.plain - found.changed).max(axis=-1) > 1e-6).all()


@pytest.mark.parametrize("name", [name for name in CONTRACT if takes_vectors(name)])
def test_gradients_reach_as_far_as_they_should_and_of_the_causal_ones_never_the_future(name: str):
    reach = alone(name).reach
    lag = np.arange(LENGTH)[:, None] - np.arange(LENGTH)[None, :]
    seen = (lag >= 0) & (lag < reach_of(CONTRACT[name][0])) | (name in BOTH_WAYS)
    assert (reach[seen] > 1e-9).all()
    assert (reach[~seen] == 0).all()


# ---------------------------------------------------------------------- batching


@EVERY_CASE
def test_batched_equals_mapped_equals_single(name: str):
    exact = alone(name).mapped
    assert exact.shape == (2, 3, LENGTH, SHAPE.num_outcomes)
    # Double precision: sums in another order, through at most three blocks.
    np.testing.assert_allclose(exact[0, 0], alone(name).single, rtol=1e-10, atol=1e-10)
    # Single precision: weights are rounded by 6e-8 and meet sums of about ten terms in each of
    # some ten layers. This is the test of one precision against the other, too.
    size = max(1.0, np.abs(exact).max())
    np.testing.assert_allclose(in_batches(name).plain, exact, rtol=0, atol=2e-5 * size)


@EVERY_CASE
def test_one_compilation_serves_all_batches_and_weights(name: str):
    found = in_batches(name)
    assert TRACED[CONTRACT[name][0]] == 1
    assert np.abs(found.plain - found.other).max() > 1e-3


# ------------------------------------------------------------------------- trace


@EVERY_RESIDUAL
def test_the_trace_hangs_together_and_ends_in_the_plain_answer(name: str):
    config, trace = CONTRACT[name][0], alone(name).trace
    assert trace is not None
    np.testing.assert_array_equal(trace["resid_post"][:-1], trace["resid_pre"][1:])
    assert len(trace["resid_post"]) == config.depth
    if config.norm_place == "pre":
        middle, last = trace["resid_pre"] + trace["mixer_out"], trace["resid_post"]
        np.testing.assert_allclose(middle, trace["resid_mid"], rtol=1e-12)
        np.testing.assert_allclose(middle + trace["mlp_out"], last, rtol=1e-10, atol=1e-12)


@EVERY_RESIDUAL
def test_the_identity_changes_nothing_and_other_factors_do(name: str):
    found = alone(name)
    assert found.trace is not None
    # Factors that are known to be one are left out of the compiled program, which may then
    # fuse a product with a sum, and so round once less: units in the last place.
    np.testing.assert_allclose(found.trace["logits"], found.single, rtol=1e-13, atol=1e-13)
    assert np.abs(found.intervened - found.single).max() > 1e-3


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_every_option_of_a_transformer_equals_plain_numpy(name: str):
    with jax.enable_x64(True):
        network = build_small(*CONTRACT[name], dtype=np.float64)
    found = alone(name)
    expected = oracles_network.trace(network, np.asarray(batch_of_tokens()[0, 0]))
    outputs = expected.pop("logits")
    for field, value in expected.items():
        np.testing.assert_allclose(found.trace[field], value, rtol=1e-9, atol=1e-10, err_msg=field)
    if name != "mixture head":  # whose logits are made of other numbers
        np.testing.assert_allclose(found.single, outputs, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", [name for name in TRANSFORMERS if name != "mixture head"])
def test_vectors_through_a_transformer_equal_plain_numpy(name: str):
    with jax.enable_x64(True):
        network = build_small(*CONTRACT[name], dtype=np.float64)
    expected = oracles_network.trace(network, small_vectors(LENGTH).astype(float))["logits"]
    np.testing.assert_allclose(alone(name).of_vectors, expected, rtol=1e-9, atol=1e-10)


# --------------------------------------------------------------------- gradients

RIGHTLY_NONE = {
    # One expert alone has weight one, whatever its score.
    "one expert of two": {"blocks.mlp.router"},
    # What is added to all keys shifts all scores of a query alike, which a softmax ignores.
    "two experts of three, biases, sigmoid": {"blocks.mixer.biases.1"},
}
"""Parameters that answers do not depend on."""


@EVERY_CASE
def test_gradients_are_finite_and_every_parameter_receives_one(name: str):
    found = jax.tree_util.tree_leaves_with_path(alone(name).gradients)
    silent = set()
    for path, leaf in found:
        assert np.isfinite(leaf).all(), path
        if np.abs(leaf).max() < 1e-9:
            silent.add(jax.tree_util.keystr(path, simple=True, separator="."))
    assert silent == RIGHTLY_NONE.get(name, set())


# ---------------------------------------------------------------------- learning

COIN = beta_bernoulli(length=8)
TINY = {"num_layers": 1, "model_size": 16, "mlp_size": 16}
LEARNERS = {
    "TransformerConfig": TransformerConfig(**TINY, num_heads=2),
    "LSTMConfig": LSTMConfig(**TINY),
    "GRUConfig": GRUConfig(**TINY),
    "LinearSSMConfig": LinearSSMConfig(**TINY, state_size=16),
    "SelectiveSSMConfig": SelectiveSSMConfig(**TINY, state_size=4),
    "ConvConfig": ConvConfig(**TINY, window=8),
    "PositionwiseConfig": PositionwiseConfig(**TINY),
    "PrefixMLPConfig": PrefixMLPConfig(**TINY),
    "NGramConfig": NGramConfig(order=3),
    "HypernetworkConfig": HypernetworkConfig(
        feature_size=16, hidden_size=16, code_size=16, main_size=8
    ),
}
"""One small network of each kind that is to learn a coin."""

NUM_STEPS = dict.fromkeys(LEARNERS, 100) | {"NGramConfig": 400}  # a row learns when it is met


def kl_from_exact(ones: np.ndarray, sizes: np.ndarray, predictive: np.ndarray) -> float:
    """Mean over sequences and positions of KL from ``(1 + ones) / (2 + sizes)``, by hand."""
    exact = (1.0 + ones) / (2.0 + sizes)
    terms = exact * np.log(exact / predictive)
    terms += (1.0 - exact) * np.log((1.0 - exact) / (1.0 - predictive))
    last = ones[:, -1].astype(int)
    prior = np.array([1.0 / (8 * math.comb(7, count)) for count in last])  # of seven tosses
    return float(prior @ terms.mean(axis=1))


def best_with_window(tosses: np.ndarray, window: int) -> float:
    """KL of the best answer that sees the last few inputs; no input before the first counts."""
    last, sizes, whole = [], [], []
    for position in range(8):
        shown = tosses[:, max(0, position - window) : position]
        whole.append(tosses[:, :position].sum(axis=1))
        # A window that reaches back to the start token tells how many tosses there were; one
        # that does not is averaged over places, and tosses are exchangeable.
        last.append(shown.sum(axis=1))
        sizes.append(np.full(len(tosses), shown.shape[1]))
    rival = (1.0 + np.stack(last, 1)) / (2.0 + np.stack(sizes, 1))
    return kl_from_exact(np.stack(whole, 1), np.arange(8), rival)


def test_every_registered_network_is_to_learn():
    assert set(LEARNERS) == set(CONFIGS)


def fresh(kind: str, seed: int) -> AbstractNetwork:
    """Draw a learner's weights; one compilation serves all seeds and both tests below."""
    return LEARNERS[kind].build(TaskShape.of(COIN), key=jax.random.key(seed))


@pytest.mark.parametrize("kind", CONFIGS)
def test_one_key_builds_one_network(kind: str):
    first, again, other = (fresh(kind, seed) for seed in (0, 0, 1))
    assert eqx.tree_equal(first, again)
    assert jax.tree.structure(first) == jax.tree.structure(other)
    if kind != "NGramConfig":  # which begins with zeros
        assert not eqx.tree_equal(first, other)


@pytest.mark.slow
@pytest.mark.parametrize("kind", CONFIGS)
def test_a_coin_is_learnt(kind: str):
    config, network = LEARNERS[kind], fresh(kind, seed=0)
    training = bc.Training(num_steps=NUM_STEPS[kind], num_devices=1, chunk_size=100)
    key = jax.random.key(1)
    found = bc.fit(network, COIN, None, key=key, training=training, progress=False).network
    tosses = np.array(list(product((0, 1), repeat=7)))
    tokens = np.concatenate([np.zeros((128, 1), int), tosses + 1], axis=1)  # start, then tosses
    logits = eqx.filter_jit(found)(jnp.asarray(tokens, jnp.int32)).astype(float)
    ones = np.concatenate([np.zeros((128, 1)), np.cumsum(tosses, axis=1)], axis=1)
    error = kl_from_exact(ones, np.arange(8), special.softmax(logits, axis=-1)[..., 1])
    # Who sees the whole past is to be ten times better than who sees the last toss alone, and
    # who sees less is to come as near to the best that it can do, and no nearer.
    floor = best_with_window(tosses, reach_of(config)) if reach_of(config) < 7 else 0.0
    assert floor - 1e-6 <= error <= floor + 0.1 * best_with_window(tosses, 1)
