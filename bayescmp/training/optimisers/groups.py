"""Parameters by name, and groups of them with settings of their own."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import jax
import optax
from jaxtyping import Array, PyTree


@dataclass(frozen=True)
class ParameterGroup:
    """Settings for the parameters whose name matches a pattern.

    Example:
        >>> group = ParameterGroup("blocks.*.value", factor=10.0)
        >>> bc.AdamW(groups=(group,)).groups[0].factor
        10.0
    """

    match: str
    """Shell-style pattern of a whole name, or of the part after a name's last dot."""
    factor: float = 1.0
    """Factor on the learning rate; zero freezes the parameters."""
    weight_decay: float | None = None
    """Weight decay of the group; None keeps the optimiser's."""

    def __post_init__(self) -> None:
        """Reject settings out of range."""
        if not self.match:
            raise ValueError("match: expected a pattern of parameter names, got ''")
        if not 0 <= self.factor < math.inf:
            raise ValueError(f"factor: expected zero or a positive number, got {self.factor}")
        if self.weight_decay is not None and not 0 <= self.weight_decay < math.inf:
            raise ValueError(
                f"weight_decay: expected zero, a positive number or None, got {self.weight_decay}"
            )

    def matches(self, name: str) -> bool:
        """Return whether a parameter may belong to this group.

        Args:
            name: Name of the parameter, for example ``blocks.mixer.value``.

        Returns:
            Whether the whole name or its last part matches.
        """
        last = name.rpartition(".")[2]
        return fnmatchcase(name, self.match) or fnmatchcase(last, self.match)


Groups = tuple[ParameterGroup, ...]


def name_parameters(params: PyTree[Array]) -> PyTree[str]:
    """Replace every array by its name, which is its path in the tree.

    Args:
        params: Arrays.

    Returns:
        Tree of the same structure.

    Example:
        >>> name_parameters({"mlp": {"up": jnp.zeros(3)}})
        {'mlp': {'up': 'mlp.up'}}
    """
    return jax.tree.map_with_path(
        lambda path, _: jax.tree_util.keystr(path, simple=True, separator="."), params
    )


def number_groups(groups: Groups, params: PyTree[Array]) -> PyTree[int]:
    """Replace every array by the number of the first group that matches its name.

    Args:
        groups: Groups.
        params: Arrays.

    Returns:
        Tree of numbers; arrays that no group matches get the number of groups.

    Raises:
        ValueError: If a group is left without parameters, with the names that there are.
    """

    def first(name: str) -> int:
        found = (number for number, group in enumerate(groups) if group.matches(name))
        return next(found, len(groups))

    names = name_parameters(params)
    numbers = jax.tree.map(first, names)
    for number in sorted(set(range(len(groups))) - set(jax.tree.leaves(numbers))):
        raise ValueError(
            "groups: expected a pattern that matches a parameter which no earlier group has, got "
            f"{groups[number].match!r}; there are {', '.join(jax.tree.leaves(names))}"
        )
    return numbers


def by_group(
    groups: Groups,
    transformations: Sequence[optax.GradientTransformation],
    otherwise: optax.GradientTransformation,
) -> optax.GradientTransformation:
    """Apply to each group's parameters a transformation of its own.

    Args:
        groups: Groups.
        transformations: One for each group.
        otherwise: For the parameters that no group matches.

    Returns:
        The transformation of all parameters.
    """
    if not groups or all(each is otherwise for each in transformations):
        return otherwise
    every = [*transformations, otherwise]
    table: dict[Hashable, optax.GradientTransformation] = dict(enumerate(every))
    return optax.partition(table, lambda params: number_groups(groups, params))
