"""What a row of the table of results says: dimensions, variables, attributes and groups."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import numpy as np

Kind = Literal["float", "int", "bool", "str"]
AttributeKind = Literal["text", "number", "json"]

STORED_TYPES: Mapping[str, type[np.generic]] = MappingProxyType(
    {"float": np.float64, "int": np.int64, "bool": np.bool_, "str": np.str_}
)
"""NumPy type of each kind of variable."""


@dataclass(frozen=True)
class Dimension:
    """One axis of the tree, with one size and one set of labels in all groups."""

    long_name: str
    """What the axis counts."""
    units: str = "1"
    """Unit of its labels."""
    start: int | None = 0
    """First label where none are given; None: labels must be given."""


@dataclass(frozen=True)
class Variable:
    """One array of a group."""

    dims: tuple[str, ...]
    """Names of the axes, in the order stored."""
    units: str
    """Unit: ``bit``, ``nat``, ``1``, or another word where it is one."""
    long_name: str
    """What the numbers are, in words."""
    kind: Kind = "float"
    """float64, int64, bool or text."""
    required: bool = True
    """False where a group may lack it."""


@dataclass(frozen=True)
class Attribute:
    """One attribute of a group."""

    kind: AttributeKind
    """Text, a number, or JSON that ``read_attribute`` decodes."""
    meaning: str
    """What it says, in words."""
    required: bool = True
    """False where a group may lack it."""


@dataclass(frozen=True)
class Group:
    """One group of the tree."""

    meaning: str
    """What the group holds, in words."""
    variables: Mapping[str, Variable] = field(default_factory=dict)
    """Its arrays by name."""
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    """Its attributes by name."""
    required: bool = True
    """False where a tree may lack the group."""
