"""Two time scales: one factor on the learning rate of some matrices, and its controls."""

from dataclasses import replace

import equinox as eqx
import jax
from jaxtyping import Array, PyTree

from bayescmp.training.optimisers.groups import ParameterGroup, name_parameters, number_groups
from bayescmp.training.optimisers.optimiser import AbstractOptimiser


def two_timescale[Kind: AbstractOptimiser](
    optimiser: Kind, factor: float = 10.0, fast: str = "value"
) -> Kind:
    """Let some matrices learn faster than the rest ("EM-like", if these are the values).

    Args:
        optimiser: Optimiser without groups.
        factor: Factor on the learning rate of the fast matrices.
        fast: Pattern of their names, as in :class:`ParameterGroup`.

    Returns:
        The optimiser with one group.

    Raises:
        ValueError: If the optimiser has groups already.

    Example:
        >>> two_timescale(bc.AdamW(), factor=10.0).groups
        (ParameterGroup(match='value', factor=10.0, weight_decay=None),)
    """
    if optimiser.groups:
        raise ValueError(
            f"optimiser: expected one without groups, got {type(optimiser).__name__} with "
            f"{len(optimiser.groups)}"
        )
    return replace(optimiser, groups=(ParameterGroup(fast, factor),))


def two_timescale_controls[Kind: AbstractOptimiser](
    optimiser: Kind, network: PyTree, factor: float = 10.0, fast: str = "value"
) -> dict[str, Kind]:
    """Return what a gain by :func:`two_timescale` has to be compared with.

    If fast values help because values ought to be fast, then the same factor on any other
    matrix, or on all parameters, helps less.

    Args:
        optimiser: Optimiser without groups.
        network: Network, for the names of its matrices.
        factor: Factor on the learning rate.
        fast: Pattern of the fast matrices' names.

    Returns:
        Optimisers by what is fast: ``none``, each other matrix by its name, and ``all``. Layers
        that are numbered in names share one entry, with ``*`` for the number.

    Raises:
        ValueError: If the optimiser has groups already, or no name matches ``fast``.

    Example:
        >>> network = {"query": jnp.ones((2, 2)), "value": jnp.ones((2, 2))}
        >>> list(two_timescale_controls(bc.AdamW(), network))
        ['none', 'query', 'all']
    """
    params = eqx.filter(network, eqx.is_inexact_array)
    (group,) = two_timescale(optimiser, factor, fast).groups
    number_groups((group,), params)
    others = [name for name in _name_matrices(params) if not group.matches(name)]
    arms = {name: two_timescale(optimiser, factor, name) for name in others}
    return {"none": optimiser} | arms | {"all": two_timescale(optimiser, factor, "*")}


def _name_matrices(params: PyTree[Array]) -> list[str]:
    """Return the names of matrices; arrays in ``blocks`` have the layer's axis in front."""
    pairs = zip(jax.tree.leaves(name_parameters(params)), jax.tree.leaves(params), strict=True)
    names = [name for name, leaf in pairs if leaf.ndim >= (3 if "blocks." in name else 2)]
    return list(dict.fromkeys(_without_numbers(name) for name in names))


def _without_numbers(name: str) -> str:
    return ".".join("*" if part.isdigit() else part for part in name.split("."))
