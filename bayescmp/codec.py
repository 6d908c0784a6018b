"""Settings as JSON that people can read, and back again through a table of known classes."""

import hashlib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

Plain = None | bool | int | float | str | list[Any] | dict[str, Any]
"""What JSON can hold."""

_NAME = "type"
"""Field of an encoded record that names its class."""


def encode(value: object) -> Plain:
    """Write a value down as JSON can hold it.

    A dataclass becomes its class's name with its fields, a tuple a list, an infinite number
    or a NaN its name. Whatever else there is gets a description, which is the same in every
    process but cannot be read back: an array its digest, a function its name.

    Args:
        value: Settings, a model, a network without its arrays.

    Returns:
        Nested dictionaries, lists and plain values.

    Example:
        >>> encode(bc.TransformerConfig(num_layers=2))["num_layers"]
        2
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {_NAME: "float", "value": repr(float(value))}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        named = {field.name: encode(getattr(value, field.name)) for field in fields(value)}
        return {_NAME: type(value).__name__} | named
    return _describe(value)


def decode(plain: Plain, table: Mapping[str, type]) -> Any:
    """Make a value again from what :func:`encode` wrote.

    Only classes of the table are made; nothing is imported by name. Fields that an older
    file lacks take their defaults.

    Args:
        plain: What JSON held.
        table: Classes by name.

    Returns:
        The value.

    Raises:
        ValueError: If a class or a field is unknown, or a value is not of its field's type.
    """
    if isinstance(plain, list):
        return tuple(decode(item, table) for item in plain)
    if not isinstance(plain, dict):
        return plain
    name = plain.get(_NAME)
    if name == "float" and name not in table:
        return float(plain["value"])
    if not isinstance(name, str) or name not in table:
        raise ValueError(f"{_NAME}: expected one of {', '.join(sorted(table))}, got {name!r}")
    values = {field: decode(item, table) for field, item in plain.items() if field != _NAME}
    return _make(table[name], values)


def class_table(*roots: type) -> dict[str, type]:
    """Gather dataclasses, and those that their fields may hold, by name.

    Args:
        roots: Classes to begin with.

    Returns:
        All of them.

    Raises:
        ValueError: If two have the same name.

    Example:
        >>> sorted(class_table(bc.AdamW))[0]
        'AdamW'
    """
    table: dict[str, type] = {}
    waiting: list[type] = list(roots)
    while waiting:
        found = waiting.pop()
        if table.get(found.__name__) is found:
            continue
        if found.__name__ in table:
            raise ValueError(f"roots: expected different names, got {found.__name__!r} twice")
        table[found.__name__] = found
        for hint in get_type_hints(found).values():
            waiting += _parts(hint)
    return table


def _describe(value: object) -> Plain:
    """Return what tells a value from others, without addresses in memory."""
    if name := getattr(value, "__qualname__", None):
        return {_NAME: "function", "name": f"{getattr(value, '__module__', '')}.{name}"}
    if isinstance(value, Mapping):
        return {_NAME: "mapping", "items": [[encode(k), encode(v)] for k, v in value.items()]}
    if isinstance(getattr(value, "dtype", None), np.dtype):
        return _digest(value)
    text = " ".join(re.sub(r" at 0x[0-9a-f]+", "", repr(value)).split())
    return {_NAME: type(value).__name__, "text": text}


def _digest(value: Any) -> Plain:
    """Return an array's type, shape and checksum."""
    array = np.asarray(value)
    return {
        _NAME: "array",
        "dtype": str(array.dtype),
        "shape": list(array.shape),
        "sha256": hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16],
    }


def _make(cls: type, values: Mapping[str, Any]) -> Any:
    """Make a record, or say which of its fields is wrong."""
    hints = get_type_hints(cls)
    known = {field.name: field for field in fields(cls) if field.init}
    for name, value in values.items():
        if name not in known:
            raise ValueError(f"{cls.__name__} has no field {name!r}, which is {value!r} there")
        if not _accepts(hints[name], value):
            raise ValueError(f"{cls.__name__}.{name} cannot be {value!r}")
    for name, field in known.items():
        if name not in values and field.default is field.default_factory is MISSING:
            raise ValueError(f"{cls.__name__} needs a field {name!r}, which is missing there")
    return cls(**values)


def _accepts(hint: Any, value: object) -> bool:
    """Tell whether a value that came from JSON is of an annotated type."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return value in arguments
    if origin in (Union, UnionType):
        return any(_accepts(part, value) for part in arguments)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        parts = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        return len(parts) == len(value) and all(map(_accepts, parts, value))
    if hint in (int, float):
        kinds = (int, float) if hint is float else (int,)
        return isinstance(value, kinds) and not isinstance(value, bool)
    return isinstance(value, hint) if isinstance(hint, type) else True


def _parts(hint: Any) -> Iterator[type]:
    """Yield the dataclasses that an annotation names."""
    if isinstance(hint, type) and is_dataclass(hint):
        yield hint
    for part in get_args(hint):
        yield from _parts(part)
