"""Fields of a configuration as text of the command line, and as JSON that gives them back."""

import dataclasses
import itertools
import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from bayescmp.catalogue import unknown_name
from bayescmp.study import StudyConfig

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def vary(config: StudyConfig, assignments: Sequence[str]) -> list[StudyConfig]:
    """Replace fields of a configuration by every combination of the values given.

    Args:
        config: Where fields that are not named come from.
        assignments: ``field=value,value`` for each field varied, first field slowest.

    Returns:
        The configurations, one for each combination.

    Raises:
        ValueError: If a field is unknown or named twice, or a value does not fit it.

    Example:
        >>> from bayescmp.studies.bijection import PRESETS
        >>> configs = vary(PRESETS["quick"], ["num_layers=1,2", "steps=700,900"])
        >>> [(config.num_layers, config.steps) for config in configs]
        [(1, 700), (1, 900), (2, 700), (2, 900)]
    """
    values: dict[str, list[object]] = {}
    for assignment in assignments:
        name, read = _read_assignment(config, assignment)
        if name in values:
            raise ValueError(f"vary: expected each field once, got {name} twice")
        values[name] = read
    combinations = itertools.product(*values.values())
    return [
        dataclasses.replace(config, **dict(zip(values, combination, strict=True)))
        for combination in combinations
    ]


def _read_assignment(config: StudyConfig, assignment: str) -> tuple[str, list[object]]:
    """Read one ``field=value,value``."""
    name, equals, text = assignment.partition("=")
    if not equals or not name or not text:
        raise ValueError(f"vary: expected FIELD=VALUE,VALUE, got {assignment!r}")
    hints = get_type_hints(type(config))
    known = [field.name for field in dataclasses.fields(config) if field.name != "seeds"]
    if name == "seeds":
        raise ValueError(
            f"vary: expected another field than seeds (use --seeds), got {assignment!r}"
        )
    if name not in known:
        raise unknown_name("vary", name, known)
    values = [_read(name, word, hints[name]) for word in text.split(",")]
    if len(set(values)) < len(values):
        raise ValueError(f"vary: expected different values, got {assignment!r}")
    return name, values


def _read(name: str, word: str, hint: Any) -> object:
    """Read one value of a field as the field's annotation has it."""
    kinds = _alternatives(hint)
    for kind in kinds:
        if kind is type(None) and word.lower() == "none":
            return None
        if get_origin(kind) is Literal:
            for choice in get_args(kind):
                if str(choice) == word:
                    return choice
        elif kind is bool:
            if word.lower() in ("true", "false"):
                return word.lower() == "true"
        elif kind in (int, float, str):
            try:
                return kind(word)
            except ValueError:
                continue
    raise ValueError(f"vary: expected {_describe(kinds)} for {name}, got {word!r}")


def _alternatives(hint: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the annotation alone."""
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _describe(kinds: Sequence[Any]) -> str:
    """Say what a field takes; what no text can give is left to Python."""
    words = []
    for kind in kinds:
        if get_origin(kind) is Literal:
            words.append("one of " + ", ".join(map(str, get_args(kind))))
        elif kind is type(None):
            words.append("none")
        else:
            words.append(_WORDS.get(kind, f"a value from Python ({kind})"))
    return " or ".join(words)


def restore_config[Record](config_type: type[Record], fields: Mapping[str, object]) -> Record:
    """Make a configuration of what JSON gives back of its fields.

    Args:
        config_type: Class of the configuration.
        fields: Values by name, with lists for tuples and mappings for dataclasses.

    Returns:
        The configuration.

    Raises:
        TypeError: If a field is missing or unknown.

    Example:
        >>> from bayescmp.studies.bijection import Config
        >>> restore_config(Config, {"steps": 700}) == Config(steps=700)
        True
    """
    hints = get_type_hints(config_type)
    restored = {name: _restore(value, hints.get(name)) for name, value in fields.items()}
    return config_type(**restored)


def _restore(value: object, hint: Any) -> Any:
    """Turn lists into tuples and mappings into dataclasses, where the annotation says so."""
    for kind in _alternatives(hint):
        if isinstance(value, Mapping) and isinstance(kind, type) and dataclasses.is_dataclass(kind):
            return restore_config(kind, value)
        if isinstance(value, list) and (get_origin(kind) or kind) is tuple:
            inner = get_args(kind)
            repeated = len(inner) == 2 and inner[1] is Ellipsis
            hints = [inner[0]] * len(value) if repeated or len(inner) == 1 else inner
            known = hints if len(hints) == len(value) else [None] * len(value)
            return tuple(_restore(item, each) for item, each in zip(value, known, strict=True))
    return value
