"""Series read from a DataTree, with the interval over seeds that belongs to each."""

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from bayescmp.measures.interval import mean_interval
from bayescmp.results.tree import read_attribute

LEVEL = 0.95
"""Level of the intervals over seeds."""

JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
"""Letters without a shape of their own that names may hold."""

SMALLEST_SHOWN = 1e-7
"""Divergences at or below this, in bits, are rounding noise of 32-bit networks."""

ROUNDING = 1e-13
"""Information, in bits or nats, to which 64-bit sums of some hundred logarithms round off."""


@dataclass(frozen=True)
class Band:
    """A mean over seeds with its interval, along one axis.

    Attributes:
        mean: Mean over seeds.
        low: Lower end of the interval; not finite where there are fewer than two seeds.
        high: Upper end of the interval.
        num: Number of seeds.
    """

    mean: Float[np.ndarray, "..."]
    low: Float[np.ndarray, "..."]
    high: Float[np.ndarray, "..."]
    num: int

    @property
    def known(self) -> bool:
        """Whether any entry has a finite interval."""
        return bool(np.any(np.isfinite(self.low) & np.isfinite(self.high)))


def seed_band(values: Float[np.ndarray, "seed ..."]) -> Band:
    """Average over seeds, with the Student-t interval of that mean.

    Args:
        values: One series for each seed, in any unit.

    Returns:
        Mean and interval, in the unit of ``values``.
    """
    values = np.asarray(values, dtype=float)
    interval = mean_interval(values, LEVEL)
    ends = (interval.mean, interval.low, interval.high)
    return Band(*(np.asarray(end, dtype=float) for end in ends), num=interval.num)


def without_rounding(values: Float[np.ndarray, "..."], units: str) -> Float[np.ndarray, "..."]:
    """Put zero in the place of information that is rounding noise, such as -2e-16 bit.

    Args:
        values: Numbers to be written.
        units: Their unit; only bits and nats are sums of logarithms, while a probability of 1e-20
            is one.

    Returns:
        The numbers; NaN and infinities stay.

    Example:
        >>> from bayescmp.plots.series import without_rounding
        >>> without_rounding(np.array([-2e-16, 3e-9]), "bit")
        array([0.e+00, 3.e-09])
    """
    if units not in ("bit", "nat"):
        return values
    return np.where(np.abs(values) < ROUNDING, 0.0, values)


def oracle_error(tree: xr.DataTree) -> float:
    """Return the error of the oracle's predictive, in bits; 0 where it is exact.

    Args:
        tree: A comparison.

    Returns:
        ``error_nat / ln 2`` of the oracle's certificate for an oracle that is not exact; infinity
        where such an oracle states no error.
    """
    certificate = read_attribute(tree, "/oracle", "certificate")
    if not isinstance(certificate, dict):
        raise ValueError(f"/oracle certificate: expected an object, got {certificate!r}")
    if certificate.get("exact") is True:
        return 0.0
    error = certificate.get("error_nat")
    if not isinstance(error, int | float) or math.isnan(error):
        return math.inf
    return float(error) / math.log(2.0)


def divergence_floor(tree: xr.DataTree) -> float:
    """Return the smallest divergence worth drawing on a logarithmic axis, in bits.

    Args:
        tree: A comparison.

    Returns:
        The oracle's error, and not less than 1e-7 bit, where 32-bit arithmetic ends.
    """
    error = oracle_error(tree)
    return max(SMALLEST_SHOWN, error if math.isfinite(error) else 0.0)


def supervised_positions(tree: xr.DataTree) -> Bool[np.ndarray, " position"]:
    """Return which positions count.

    Args:
        tree: A comparison.

    Returns:
        True where ``/divergence/supervised`` is.
    """
    return np.asarray(read_array(tree, "/divergence/supervised").values, dtype=bool)


def read_array(tree: xr.DataTree, path: str) -> xr.DataArray:
    """Find a variable by its path.

    Args:
        tree: A comparison.
        path: Path of the variable, such as ``/divergence/kl``.

    Returns:
        The labelled variable.

    Raises:
        ValueError: The tree has no such variable.
    """
    if not has_variable(tree, path):
        raise ValueError(f"tree: expected the variable {path}, got a tree without it")
    group, _, name = path.rpartition("/")
    return tree[group].to_dataset()[name]


def read_values(tree: xr.DataTree, path: str, *dims: str) -> Float[np.ndarray, "..."]:
    """Read a variable as floats, its axes in the order of ``dims``.

    Args:
        tree: A comparison.
        path: Path of the variable.
        dims: Names of all its dimensions, in the order wanted.

    Returns:
        The values, in the variable's unit.

    Raises:
        ValueError: The tree has no such variable, or it has other dimensions.
    """
    variable = read_array(tree, path)
    if set(variable.dims) != set(dims):
        raise ValueError(f"tree: expected {path} with dims {dims}, got {variable.dims}")
    return np.asarray(variable.transpose(*dims).values, dtype=float)


def read_places(tree: xr.DataTree, path: str, dim: str) -> Float[np.ndarray, " place"]:
    """Read the numbers along one dimension of a variable, such as its positions.

    Args:
        tree: A comparison.
        path: Path of a variable that has the dimension.
        dim: Name of the dimension.

    Returns:
        One number for each entry; counted from 0 where the labels are not numbers.
    """
    labels = read_array(tree, path)[dim].values
    if labels.dtype.kind in "iuf":
        return np.asarray(labels, dtype=float)
    return np.arange(labels.size, dtype=float)


def has_variable(tree: xr.DataTree, path: str) -> bool:
    """Return whether a comparison holds a variable.

    Args:
        tree: A comparison.
        path: Path of the variable, such as ``/layers/attention_pattern``.

    Returns:
        True where the group and the variable are there.
    """
    group, _, name = path.rpartition("/")
    return group in tree.groups and name in tree[group].data_vars


def read_labels(tree: xr.DataTree, path: str, dim: str) -> list[str]:
    """Read the labels along one dimension of a variable, as text.

    Args:
        tree: A comparison.
        path: Path of a variable that has the dimension.
        dim: Name of the dimension, such as ``rung``.

    Returns:
        One label for each entry.
    """
    return [clean_text(str(label)) for label in read_array(tree, path)[dim].values]


def clean_text(text: str) -> str:
    """Make text fit for one line of a page: no line breaks, no control characters.

    Joiners stay, which several scripts cannot do without; marks that turn the direction of what
    follows do not.

    Args:
        text: Any text.

    Returns:
        The text with runs of white space as one blank and unprintable characters replaced.
    """
    return " ".join(
        "".join(
            letter if letter.isprintable() or letter in JOINERS else "\N{REPLACEMENT CHARACTER}"
            for letter in word
        )
        for word in text.split()
    )
