"""Parameter counts without building, and widths that meet a count."""

from dataclasses import replace

import pytest
from complaints import raised
from network_cases import EVERY, small_network
from small_networks import SHAPE

from bayescmp.networks import (
    CONFIGS,
    HypernetworkConfig,
    LinearSSMConfig,
    LSTMConfig,
    NGramConfig,
    TaskShape,
    TransformerConfig,
    count_parameters,
)
from bayescmp.networks.matching import TOLERANCE, count_of, match_parameters

SMALL = TransformerConfig(num_layers=2, model_size=24, mlp_size=60)


@pytest.mark.parametrize("name", EVERY)
def test_a_count_needs_no_network(name: str):
    config, shape = EVERY[name]
    assert count_of(config, shape) == count_parameters(small_network(name))


def test_a_count_by_hand():
    config = TransformerConfig(num_layers=2, num_heads=2, model_size=6, mlp_size=5)
    shape = TaskShape(input_size=4, num_outcomes=3, max_length=9)
    block = 4 * 6 * 6 + (6 * 5 + 5 + 5 * 6) + 2 * 6
    assert count_of(config, shape) == (4 + 9) * 6 + 2 * block + 6 + 6 * 3


@pytest.mark.parametrize("kind", [name for name in CONFIGS if name != "NGramConfig"])
def test_every_kind_meets_a_count_within_two_per_cent(kind: str):
    start, target = CONFIGS[kind](), count_of(SMALL, SHAPE)
    matched = match_parameters(start, to=SMALL, shape=SHAPE)
    assert abs(count_of(matched, SHAPE) - target) <= TOLERANCE * target
    main = "feature_size" if isinstance(start, HypernetworkConfig) else "model_size"
    second = "hidden_size" if isinstance(start, HypernetworkConfig) else "mlp_size"
    kept = {name: value for name, value in vars(start).items() if not name.endswith("_size")}
    assert {name: vars(matched)[name] for name in kept} == kept
    before = getattr(start, second) / getattr(start, main)
    after = getattr(matched, second) / getattr(matched, main)
    # One step of the main width, at most four of about twenty, is what the second makes up for.
    assert 0.6 * before < after < 1.6 * before


def test_widths_stay_multiples_of_the_heads():
    config = TransformerConfig(num_heads=6, model_size=48, positions="rotary")
    matched = match_parameters(config, to=30_000, shape=SHAPE)
    assert matched.model_size % 12 == 0
    assert abs(count_of(matched, SHAPE) - 30_000) <= 600


def test_groups_of_hidden_units_are_not_cut():
    config = TransformerConfig(
        num_layers=1, model_size=16, mlp_size=35, activation="logsumexp", activation_group=5
    )
    matched = match_parameters(config, to=30_000, shape=SHAPE)
    assert matched.mlp_size % 5 == 0
    assert abs(count_of(matched, SHAPE) - 30_000) <= 600


def test_a_state_of_its_own_width_grows_too():
    config = LSTMConfig(num_layers=1, model_size=16, mlp_size=32, state_size=8)
    matched = match_parameters(config, to=40_000, shape=SHAPE)
    assert matched.state_size == round(matched.model_size / 2)
    without = match_parameters(replace(config, state_size=None), to=40_000, shape=SHAPE)
    assert without.state_size is None
    states = match_parameters(LinearSSMConfig(), to=40_000, shape=SHAPE)
    assert states.state_size == states.model_size


def test_a_match_is_left_alone_and_matching_twice_changes_nothing():
    assert match_parameters(SMALL, to=SMALL, shape=SHAPE) is SMALL
    matched = match_parameters(LSTMConfig(), to=SMALL, shape=SHAPE)
    assert match_parameters(matched, to=matched, shape=SHAPE) is matched


def test_what_cannot_be_met_names_the_nearest():
    attention_only = TransformerConfig(num_layers=1, num_heads=8, mlp_size=0)
    nearest = replace(attention_only, model_size=16)
    message = raised(ValueError, lambda: match_parameters(attention_only, to=1_000, shape=SHAPE))
    assert message == (
        "to: expected a count that TransformerConfig can meet within 2 %, got 1,000; the nearest "
        f"is {count_of(nearest, SHAPE):,} with model_size = 16"
    )
    message = raised(ValueError, lambda: match_parameters(NGramConfig(), to=1_000, shape=SHAPE))
    assert message == (
        "to: expected a count that NGramConfig can meet within 2 %, got 1,000; the nearest is "
        "196, and there is no width to change"
    )
    message = raised(ValueError, lambda: match_parameters(LSTMConfig(), to=0, shape=SHAPE))
    assert message == "to: expected at least one parameter, got 0"
