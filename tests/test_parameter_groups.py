"""Parameters with learning rates of their own, and training on two time scales."""

import dataclasses
import functools
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import pytest
from optimiser_cases import OPTIMISERS, assert_close, assert_same_bits, random_tree, take_steps

import bayescmp as bc
from bayescmp.training.optimisers import (
    AdamW,
    Optimiser,
    ParameterGroup,
    ScheduleFree,
    name_parameters,
    two_timescale,
    two_timescale_controls,
)

EVERY = pytest.mark.parametrize("optimiser", OPTIMISERS.values(), ids=OPTIMISERS)
NAMES = "blocks.norm, blocks.query, blocks.value, embedding"
SETTINGS = {"weight_decay": 0.1, "warmup": 0.2}


def grouped(optimiser: Optimiser, *groups: ParameterGroup, **settings) -> Optimiser:
    return dataclasses.replace(optimiser, groups=groups, **settings)


def start(optimiser: Optimiser, params=None):
    """Build an optimiser's state, without its numbers."""
    return jax.eval_shape(optimiser.build(10).init, params or random_tree(0))


@functools.cache
def outcome(optimiser: Optimiser):
    """Train on fixed gradients, and return the trained weights and those to evaluate."""
    params, state = take_steps(optimiser, random_tree(0), [random_tree(seed) for seed in (1, 2, 3)])
    return params, optimiser.evaluation_params(state, params)


# ----------------------------------------------------------------------- laws


@EVERY
def test_factor_of_one_changes_no_bit(optimiser: Optimiser):
    plain = dataclasses.replace(optimiser, **SETTINGS)
    same = grouped(plain, ParameterGroup("value", weight_decay=0.1), ParameterGroup("*", 1.0))
    assert_same_bits(outcome(same), outcome(plain))


@EVERY
def test_factor_on_everything_is_a_factor_on_the_learning_rate(optimiser: Optimiser):
    plain = dataclasses.replace(optimiser, **SETTINGS)
    faster = dataclasses.replace(plain, learning_rate=3 * plain.learning_rate)
    assert_close(outcome(grouped(plain, ParameterGroup("*", factor=3.0))), outcome(faster))


@EVERY
def test_factor_on_one_matrix_touches_no_other(optimiser: Optimiser):
    plain = dataclasses.replace(optimiser, **SETTINGS)
    group = ParameterGroup("blocks.value", factor=3.0)
    faster = dataclasses.replace(plain, learning_rate=3 * plain.learning_rate)
    expected = jax.tree.map(lambda leaf: leaf, outcome(plain))
    for tree, fast in zip(expected, outcome(faster), strict=True):
        tree["blocks"]["value"] = fast["blocks"]["value"]
    assert_close(outcome(grouped(plain, group)), expected)


@EVERY
def test_factor_of_zero_freezes_and_leaves_the_rest_as_if_alone(optimiser: Optimiser):
    plain = dataclasses.replace(optimiser, **SETTINGS)
    freezing = grouped(plain, ParameterGroup("embedding", factor=0.0))
    for found in outcome(freezing):
        assert_same_bits(found["embedding"], random_tree(0)["embedding"])
    grads = [random_tree(seed)["blocks"] for seed in (1, 2, 3)]
    expected, _ = take_steps(plain, random_tree(0)["blocks"], grads)
    # The gradients are long enough for the clip, which must not count frozen parameters.
    assert_close(outcome(freezing)[0]["blocks"], expected)


def test_weight_decay_of_a_group_replaces_the_common_one():
    optimiser = AdamW(
        learning_rate=0.1,
        weight_decay=0.5,
        warmup=0.0,
        groups=(ParameterGroup("norm", weight_decay=0.0), ParameterGroup("value", 2.0, 1.5)),
    )
    params = random_tree(0)
    found, _ = take_steps(optimiser, params, [jax.tree.map(jnp.zeros_like, params)])
    shrinks = {"blocks": {"norm": 0.0, "query": 0.05, "value": 0.3}, "embedding": 0.05}
    assert_close(found, jax.tree.map(lambda leaf, share: (1 - share) * leaf, params, shrinks))


def test_first_group_that_matches_counts():
    both = (ParameterGroup("blocks.value", 2.0), ParameterGroup("blocks.*", 5.0))
    optimiser = AdamW(learning_rate=0.1, warmup=0.0, groups=both)
    params = random_tree(0)
    found, _ = take_steps(optimiser, params, [jax.tree.map(jnp.ones_like, params)])
    lengths = jax.tree.map(lambda a, b: float(jnp.max(b - a)), found, params)
    expected = {"blocks": {"norm": 0.5, "query": 0.5, "value": 0.2}, "embedding": 0.1}
    assert_close(lengths, expected)


# ---------------------------------------------------------------------- names


class Layer(eqx.Module):
    query: jax.Array
    up: jax.Array
    up_bias: jax.Array


class Net(eqx.Module):
    embedding: jax.Array
    blocks: Layer
    tail: list[Layer]
    unembedding: jax.Array | None


def small_net() -> Net:
    stack = Layer(jnp.ones((2, 3, 3)), jnp.ones((2, 3, 4)), jnp.ones((2, 4)))
    single = Layer(jnp.ones((3, 3)), jnp.ones((3, 4)), jnp.ones(4))
    return Net(jnp.ones((5, 3)), stack, [single, single], None)


def test_names_are_paths():
    assert jax.tree.leaves(name_parameters(small_net())) == [
        "embedding",
        *("blocks.query", "blocks.up", "blocks.up_bias"),
        *("tail.0.query", "tail.0.up", "tail.0.up_bias"),
        *("tail.1.query", "tail.1.up", "tail.1.up_bias"),
    ]


@pytest.mark.parametrize(
    ("match", "name", "fits"),
    [
        ("blocks.mixer.value", "blocks.mixer.value", True),
        ("blocks.*", "blocks.mixer.value", True),
        ("*.value", "blocks.mixer.value", True),
        ("value", "blocks.mixer.value", True),
        ("embedding", "embedding", True),
        ("embedding", "unembedding", False),
        ("mixer.value", "blocks.mixer.value", False),
        ("Value", "blocks.mixer.value", False),
        ("up", "blocks.mlp.up_bias", False),
    ],
)
def test_pattern_is_of_the_whole_name_or_its_last_part(match: str, name: str, fits: bool):
    assert ParameterGroup(match).matches(name) == fits


# ------------------------------------------------------------ two time scales


def test_two_time_scales_is_one_group():
    optimiser = two_timescale(bc.Muon(learning_rate=0.02), factor=5.0)
    assert optimiser == bc.Muon(learning_rate=0.02, groups=(ParameterGroup("value", 5.0),))


def test_controls_are_every_other_matrix_and_all():
    controls = two_timescale_controls(bc.AdamW(), small_net(), factor=5.0, fast="blocks.query")
    others = ["embedding", "blocks.up", "tail.*.query", "tail.*.up"]
    assert list(controls) == ["none", *others, "all"]
    assert controls["none"] == bc.AdamW()
    assert controls["all"] == two_timescale(bc.AdamW(), 5.0, "*")
    for name in others:
        assert controls[name] == two_timescale(bc.AdamW(), 5.0, name)
    params = eqx.filter(small_net(), eqx.is_array)
    for optimiser in controls.values():
        start(optimiser, params)  # refuses patterns that match nothing


# --------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "groups",
    [
        [ParameterGroup("valu", 2.0)],
        [ParameterGroup("*", 3.0), ParameterGroup("valu", 2.0)],
        [ParameterGroup("value", 3.0), ParameterGroup("valu", 1.0)],
    ],
)
@pytest.mark.parametrize("make", [bc.AdamW, bc.Muon, ScheduleFree])
def test_group_that_matches_nothing_is_refused_with_the_names(make, groups: list):
    message = (
        "groups: expected a pattern that matches a parameter which no earlier group has, "
        f"got 'valu'; there are {NAMES}"
    )
    with pytest.raises(ValueError, match=r"^groups") as caught:
        start(make(groups=tuple(groups)))
    assert str(caught.value) == message


def test_group_that_an_earlier_one_takes_everything_from_is_refused():
    groups = (ParameterGroup("blocks.*", 3.0), ParameterGroup("value", 2.0))
    with pytest.raises(ValueError, match="which no earlier group has, got 'value'"):
        start(AdamW(groups=groups))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"match": ""}, "match: expected a pattern of parameter names, got ''"),
        ({"match": "*", "factor": -1.0}, "factor: expected zero or a positive number, got -1.0"),
        (
            {"match": "*", "factor": float("nan")},
            "factor: expected zero or a positive number, got nan",
        ),
        (
            {"match": "*", "weight_decay": -0.5},
            "weight_decay: expected zero, a positive number or None, got -0.5",
        ),
    ],
)
def test_group_out_of_range_is_refused_in_one_line(settings: dict, message: str):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        ParameterGroup(**settings)


def test_groups_that_are_no_tuple_of_groups_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # a user has no checker
    with pytest.raises(TypeError, match=r"^groups: expected a tuple of ParameterGroup, got \["):
        AdamW(groups=[ParameterGroup("value")])


def test_second_fast_group_is_refused():
    twice = "optimiser: expected one without groups, got AdamW with 1"
    with pytest.raises(ValueError, match=f"^{twice}$"):
        two_timescale(two_timescale(AdamW()))
    with pytest.raises(ValueError, match=r"got 'value'; there are embedding, blocks\.query"):
        two_timescale_controls(AdamW(), small_net())
