"""How two encoded descriptions differ, field by field."""

from collections.abc import Iterator, Mapping
from typing import Any

from bayescmp.codec import Plain

_MOST = 6
_WIDTH = 60
_ABSENT = "absent"


def describe_differences(there: Mapping[str, Plain], here: Mapping[str, Plain]) -> str:
    """Name the fields that differ, with both values.

    Args:
        there: What a file says, as :func:`bayescmp.codec.encode` writes it.
        here: What is wanted.

    Returns:
        One line with six differences at most and a count of the others; empty for equals.

    Example:
        >>> describe_differences({"network": {"num_layers": 1}}, {"network": {"num_layers": 2}})
        'network.num_layers is 1 there and 2 here'
    """
    found = list(_compare("", dict(there), dict(here)))
    rest = len(found) - _MOST
    told = "; ".join(found[:_MOST])
    return f"{told}; and {rest} more" if rest > 0 else told


def _compare(name: str, there: Plain, here: Plain) -> Iterator[str]:
    """Go down into records of the same class and lists of the same length."""
    if there == here:
        return
    if isinstance(there, dict) and isinstance(here, dict) and _kind(there) == _kind(here):
        for field in dict.fromkeys([*here, *there]):
            dotted = f"{name}.{field}" if name else field
            yield from _compare(dotted, there.get(field, _ABSENT), here.get(field, _ABSENT))
    elif isinstance(there, list) and isinstance(here, list) and _match(there, here):
        for place, (one, other) in enumerate(zip(there, here, strict=True)):
            yield from _compare(f"{name}[{place}]", one, other)
    else:
        yield f"{name} is {_show(there)} there and {_show(here)} here"


def _kind(record: dict[str, Plain]) -> Plain:
    return record.get("type")


def _match(there: list[Any], here: list[Any]) -> bool:
    """Tell whether two lists hold records that can be compared in pairs."""
    return len(there) == len(here) and any(isinstance(item, dict) for item in here)


def _show(value: Plain) -> str:
    """Return a few words: a record by its class, an odd number by its name."""
    if isinstance(value, dict) and set(value) == {"type", "value"}:
        return str(value["value"])
    text = str(_kind(value)) if isinstance(value, dict) else str(value)
    return text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."
