"""Settings survive the way to JSON and back, and what cannot is refused in one line."""

import json
import math
import re
from dataclasses import dataclass, replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_networks import CONFIGS as SMALL_CONFIGS
from small_networks import SHAPE, Table

import bayescmp as bc
from bayescmp.codec import class_table, decode, encode
from bayescmp.models import Bijection, HiddenMarkov, beta_bernoulli
from bayescmp.networks.registry import CONFIGS
from bayescmp.networks.shape import TaskShape
from bayescmp.training.checkpoints.differences import describe_differences
from bayescmp.training.optimisers import ParameterGroup
from bayescmp.training.settings import Training

TABLE = class_table(TaskShape, Training, *CONFIGS.values())

GROUPS = (ParameterGroup("value", factor=10.0), ParameterGroup("*.up", weight_decay=0.5))
CASES = SMALL_CONFIGS | {
    "shape": SHAPE,
    "shape with edges": replace(SHAPE, outcome_token=None, edges=(-1.5, 0.0, 1e-300)),
    "training": Training(num_steps=7, optimiser=bc.AdamW(groups=GROUPS)),
    "no clip": Training(optimiser=bc.Muon(clip=math.inf)),
}


def there_and_back(value: object) -> object:
    return decode(json.loads(json.dumps(encode(value), allow_nan=False)), TABLE)


@pytest.mark.parametrize("name", CASES)
def test_settings_come_back_equal(name: str):
    back = there_and_back(CASES[name])
    assert back == CASES[name]
    assert type(back) is type(CASES[name])
    assert repr(back) == repr(CASES[name]), "an integer stays one, and so does a float"


@pytest.mark.parametrize("name", CONFIGS)
def test_every_network_is_known_and_comes_back(name: str):
    assert TABLE[name] is CONFIGS[name]
    assert there_and_back(CONFIGS[name]()) == CONFIGS[name]()


def test_the_table_reaches_everything_that_settings_can_hold():
    assert {"AdamW", "Muon", "ParameterGroup", "FiniteHead", "Training"} <= TABLE.keys()
    assert all(isinstance(found, type) and name == found.__name__ for name, found in TABLE.items())


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 0.1 + 0.2, -0.0, 1e-320])
def test_every_number_comes_back(number: float):
    back = there_and_back((number, 1))
    assert repr(back) == repr((number, 1))


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.True_, True),
        ([1, (2, None)], [1, [2, None]]),
        (len, {"type": "function", "name": "builtins.len"}),
        (Bijection(3), {"type": "Bijection", "size": 3, "num_pairs": 2}),
    ],
)
def test_known_descriptions(value: object, plain: object):
    assert encode(value) == plain


@pytest.mark.parametrize(
    "value",
    [
        lambda x: x,
        jax.jit(lambda x: x),
        jax.nn.relu,
        object(),
        jax.random.key(3),
        jnp.ones(3),
        beta_bernoulli(4),
        HiddenMarkov(2, 2, 3),
        Table(jnp.ones((2, 2))),
        {"a": (1, 2)},
    ],
)
def test_whatever_there_is_has_a_description_without_addresses(value: object):
    text = json.dumps(encode(value), allow_nan=False)
    assert not re.search("0x[0-9a-f]{4}", text)
    assert text == json.dumps(encode(value), allow_nan=False)


def test_arrays_are_told_apart_by_content_type_and_shape():
    arrays = [jnp.ones(4), jnp.zeros(4), jnp.ones((2, 2)), jnp.ones(4, jnp.int32)]
    assert len({json.dumps(encode(array)) for array in arrays}) == len(arrays)
    assert encode(np.ones(4, np.float32)) == encode(arrays[0])


# ------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type": "Mamba9"}, r"^type: expected one of .*TransformerConfig.*, got 'Mamba9'$"),
        ({"colour": 3}, r"^TransformerConfig has no field 'colour', which is 3 there$"),
        ({"num_layers": "two"}, r"^TransformerConfig.num_layers cannot be 'two'$"),
        ({"num_layers": 2.0}, r"^TransformerConfig.num_layers cannot be 2.0$"),
        ({"num_layers": True}, r"^TransformerConfig.num_layers cannot be True$"),
        ({"tied": 1}, r"^TransformerConfig.tied cannot be 1$"),
        ({"window": "all"}, r"^TransformerConfig.window cannot be 'all'$"),
        ({"positions": "spiral"}, r"^TransformerConfig.positions cannot be 'spiral'$"),
        ({"head": {"type": "Hydra"}}, r"^type: expected one of .*, got 'Hydra'$"),
        ({"head": {"size": 1}}, r"^type: expected one of .*, got None$"),
        ({"num_layers": 0}, r"^num_layers: expected at least 1, got 0$"),
    ],
)
def test_a_changed_record_is_refused(change: dict, message: str):
    plain = encode(bc.TransformerConfig())
    assert isinstance(plain, dict)
    with pytest.raises(ValueError, match=message) as caught:
        decode(plain | change, TABLE)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [len, jnp.ones(2), object(), {"a": 1}])
def test_a_description_cannot_be_read_back(value: object):
    with pytest.raises(ValueError, match=r"^type: expected one of"):
        there_and_back(value)


def test_a_missing_field_takes_its_default_if_it_has_one():
    assert decode({"type": "AdamW"}, TABLE) == bc.AdamW()
    with pytest.raises(ValueError, match=r"^TaskShape needs a field 'max_length'"):
        decode({"type": "TaskShape", "input_size": 2, "num_outcomes": 2}, TABLE)


@dataclass(frozen=True)
class Pair:
    """Fields of the kinds that no class of the package has."""

    numbers: tuple[int, float]
    word: Literal["a", "b"] = "a"


@pytest.mark.parametrize(
    ("numbers", "accepted"),
    [
        ([1, 2.5], True),
        ([1, 2], True),
        ([1.5, 2], False),
        ([1], False),
        (1, False),
        ([1, 2, 3], False),
    ],
)
def test_pairs_are_checked_place_by_place(numbers: Any, accepted: bool):
    plain = {"type": "Pair", "numbers": numbers}
    if accepted:
        assert decode(plain, class_table(Pair)).numbers == tuple(numbers)
    else:
        with pytest.raises(ValueError, match=r"^Pair.numbers cannot be"):
            decode(plain, class_table(Pair))


def test_two_classes_of_one_name_are_refused():
    other = dataclass(frozen=True)(type("Pair", (), {}))
    with pytest.raises(ValueError, match="expected different names, got 'Pair' twice"):
        class_table(Pair, other)


# ---------------------------------------------------------------- differences


def differences(one: object, other: object) -> str:
    return describe_differences({"it": encode(one)}, {"it": encode(other)})


@pytest.mark.parametrize("name", CASES)
def test_equals_have_no_differences(name: str):
    assert differences(CASES[name], CASES[name]) == ""


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        (Training(num_steps=3), Training(num_steps=4), "it.num_steps is 3 there and 4 here"),
        (
            Training(optimiser=bc.AdamW(learning_rate=0.5)),
            Training(optimiser=bc.AdamW(learning_rate=0.25)),
            "it.optimiser.learning_rate is 0.5 there and 0.25 here",
        ),
        (
            Training(optimiser=bc.AdamW()),
            Training(optimiser=bc.Muon()),
            "it.optimiser is AdamW there and Muon here",
        ),
        (
            bc.AdamW(groups=(ParameterGroup("up", 2.0),)),
            bc.AdamW(groups=(ParameterGroup("up", 3.0),)),
            "it.groups[0].factor is 2.0 there and 3.0 here",
        ),
        (bc.AdamW(), bc.AdamW(clip=math.inf), "it.clip is 1.0 there and inf here"),
        ((1, 2), (1, 3), "it is [1, 2] there and [1, 3] here"),
        (None, "word", "it is None there and word here"),
    ],
)
def test_differences_are_named_with_both_values(one: object, other: object, told: str):
    assert differences(one, other) == told


def test_a_field_on_one_side_only_is_absent_on_the_other():
    told = describe_differences({"a": 1, "c": 3}, {"b": 2, "c": 3})
    assert told == "b is absent there and 2 here; a is 1 there and absent here"


def test_six_differences_are_shown_and_the_others_counted():
    one, other = ({str(place): value for place in range(9)} for value in (1, 2))
    told = describe_differences(one, other)
    assert told.count(" is 1 there and 2 here") == 6
    assert told.endswith("; and 3 more")
    assert "more" not in describe_differences({"a": 1}, {"a": 2})


def test_a_long_value_is_cut():
    told = differences("a" * 500, "b" * 500)
    assert len(told) < 200
    assert "..." in told
