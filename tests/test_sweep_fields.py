"""Values of the command line become values of a field, and JSON gives a configuration back."""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Literal

import pytest
from complaints import raised

from bayescmp.sweep.fields import restore_config, vary


@dataclass(frozen=True)
class Part:
    width: int = 3
    shape: tuple[int, int] = (1, 2)


@dataclass(frozen=True)
class Config:
    seeds: int = 2
    steps: int = 10
    rate: float = 0.1
    clip: float | None = None
    looped: bool = False
    kernel: Literal["softmax", "linear"] = "softmax"
    name: str = "a"
    rungs: tuple[str, ...] = ("window 1",)
    part: Part = field(default_factory=Part)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("steps=1,20", [1, 20]),
        ("rate=1e-3,2", [0.001, 2.0]),
        ("clip=none,0.5", [None, 0.5]),
        ("looped=true,false", [True, False]),
        ("kernel=linear", ["linear"]),
        ("name=1e-3,b", ["1e-3", "b"]),
    ],
)
def test_values_are_read_as_the_field_has_them(text: str, values: list[object]):
    name = text.partition("=")[0]
    read = [getattr(config, name) for config in vary(Config(), [text])]
    assert read == values
    assert [type(value) for value in read] == [type(value) for value in values]


def test_fields_are_crossed_and_the_rest_stays():
    configs = vary(Config(name="kept"), ["steps=1,2", "looped=true,false"])
    assert [(c.steps, c.looped) for c in configs] == [  # pyright: ignore
        (1, True),
        (1, False),
        (2, True),
        (2, False),
    ]
    assert {c.name for c in configs} == {"kept"}  # pyright: ignore
    assert vary(Config(), []) == [Config()]


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["step=1"], "vary: expected one of clip, .*, steps, got 'step'; did you mean 'steps'"),
        (["steps=two"], "vary: expected a whole number for steps, got 'two'"),
        (["steps=1.5"], "vary: expected a whole number for steps, got '1.5'"),
        (["steps=1,"], "vary: expected a whole number for steps, got ''"),
        (["rate=fast"], "vary: expected a number for rate, got 'fast'"),
        (["clip=off"], "vary: expected a number or none for clip, got 'off'"),
        (["looped=1"], "vary: expected true or false for looped, got '1'"),
        (["kernel=cubic"], "vary: expected one of softmax, linear for kernel, got 'cubic'"),
        (["rungs=a"], "vary: expected a value from Python .* for rungs, got 'a'"),
        (["seeds=3"], "vary: expected another field than seeds .use --seeds., got 'seeds=3'"),
        (["steps"], "vary: expected FIELD=VALUE,VALUE, got 'steps'"),
        (["=1"], "vary: expected FIELD=VALUE,VALUE, got '=1'"),
        (["steps=1,1"], "vary: expected different values, got 'steps=1,1'"),
        (["steps=1", "steps=2"], "vary: expected each field once, got steps twice"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(assignments: list[str], message: str):
    with pytest.raises(ValueError, match=message):
        vary(Config(), assignments)
    raised(ValueError, lambda: vary(Config(), assignments))


def test_json_gives_a_configuration_back():
    config = Config(clip=0.5, rungs=("a", "b"), part=Part(width=7, shape=(3, 4)))
    fields = json.loads(json.dumps(dataclasses.asdict(config)))
    assert restore_config(Config, fields) == config
    with pytest.raises(TypeError, match="no_such"):
        restore_config(Config, {"no_such": 1})
