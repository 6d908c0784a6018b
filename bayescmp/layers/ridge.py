"""Ridge regression in closed form: one eigendecomposition serves all targets and all penalties.

With moments ``A = sum w (x - m)(x - m)^T = V diag(s) V^T`` and ``C = sum w (x - m)(y - n)^T``
the minimiser of ``sum w |y - n - B^T (x - m)|^2 + penalty |B|^2`` is
``B = V diag(1 / (s + penalty)) V^T C``. Directions in which the features do not vary are left
out, as the pseudo-inverse leaves them out, so that a design may be rank-deficient.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Num

from bayescmp.layers.moments import Moments

PENALTIES: tuple[float, ...] = tuple(10.0**power for power in range(-10, 3))
"""Penalties that are tried, as shares of the mean of the eigenvalues ``s``."""

RANK_TOLERANCE = 1e-12
"""Eigenvalues below this share of the largest are rounding: features come in 32 bits, which
leaves a share of some ``(2^-24)^2``, and ``A`` itself is summed up in 64."""

ROUNDING = 1e-14
"""What the mean of equal numbers may lie off, relative to them."""


@dataclass(frozen=True)
class AffineMap:
    """``y = target_mean + (x - feature_mean) coefficients``."""

    feature_mean: Float[np.ndarray, " feature"]
    target_mean: Float[np.ndarray, " column"]
    coefficients: Float[np.ndarray, "feature column"]

    def __call__(self, features: Num[np.ndarray, "row feature"]) -> Float[np.ndarray, "row column"]:
        """Read the targets from some rows.

        Args:
            features: Features of each row.

        Returns:
            What is read, in the unit of the targets.
        """
        return self.target_mean + (features - self.feature_mean) @ self.coefficients

    def residual(self, moments: Moments) -> Float[np.ndarray, " column"]:
        """Return the weighted squared error on rows of which only the moments are left.

        Args:
            moments: Moments of the rows that are judged.

        Returns:
            ``sum_i w_i (y_i - read_i)^2``, column by column.
        """
        offset = moments.target_mean - self.target_mean
        offset = offset - (moments.feature_mean - self.feature_mean) @ self.coefficients
        crossed = np.sum(self.coefficients * moments.cross, axis=0)
        own = np.sum(self.coefficients * (moments.features @ self.coefficients), axis=0)
        return moments.squares - 2.0 * crossed + own + moments.weight * offset**2

    def share_explained(self, moments: Moments) -> float:
        """Return ``R2 = 1 - error / variance``, both summed over columns.

        Args:
            moments: Moments of the rows that are judged.

        Returns:
            1 for a perfect read-out, 0 for one that is as good as the mean of these rows, and
            less for a worse one.

        Raises:
            ValueError: If the targets do not vary.
        """
        total = float(moments.squares.sum())
        if not total > 0.0:
            raise ValueError("targets: expected some that vary, got constants")
        return 1.0 - float(self.residual(moments).sum()) / total


@dataclass(frozen=True)
class ReadOut:
    """A ridge regression, with what was chosen and found on the way."""

    affine: AffineMap
    penalty: float
    """Share of the mean eigenvalue."""
    rank: int
    """Number of directions in which the features vary."""


@dataclass(frozen=True)
class Spectrum:
    """Moments in the eigenbasis of the features, without the directions that do not vary."""

    moments: Moments
    eigenvalues: Float[np.ndarray, " direction"]
    basis: Float[np.ndarray, "feature direction"]
    cross: Float[np.ndarray, "direction column"]
    """``V^T C``."""
    mean_eigenvalue: float

    def shrink(self, penalty: float) -> Float[np.ndarray, " direction"]:
        """Return ``1 / (s + penalty)``.

        Args:
            penalty: Share of the mean eigenvalue.
        """
        return 1.0 / (self.eigenvalues + penalty * self.mean_eigenvalue)

    def read_out(self, penalty: float, columns: slice) -> ReadOut:
        """Return the regression with one penalty.

        Args:
            penalty: Share of the mean eigenvalue.
            columns: Which columns of the targets.

        Returns:
            The regression.
        """
        coefficients = self.basis @ (self.shrink(penalty)[:, None] * self.cross[:, columns])
        mean = self.moments.target_mean[columns]
        affine = AffineMap(self.moments.feature_mean, mean, coefficients)
        return ReadOut(affine, penalty, self.eigenvalues.size)


def decompose(moments: Moments) -> Spectrum:
    """Find the directions in which features vary.

    Args:
        moments: Moments of the rows that are fitted to.

    Returns:
        Their eigenvalues and eigenvectors.
    """
    eigenvalues, basis = np.linalg.eigh(moments.features)
    constant = moments.weight * float(moments.feature_mean @ moments.feature_mean)
    least = max(RANK_TOLERANCE * float(eigenvalues[-1]), ROUNDING**2 * constant)
    kept = eigenvalues > least
    mean = float(np.trace(moments.features)) / len(eigenvalues)
    basis = basis[:, kept]
    return Spectrum(moments, eigenvalues[kept], basis, basis.T @ moments.cross, mean)


def fit_ridge(
    train: Moments,
    validate: Moments | None = None,
    targets: Sequence[slice] = (slice(None),),
    penalties: Sequence[float] = PENALTIES,
) -> tuple[ReadOut, ...]:
    """Fit one ridge regression to each of several targets.

    Args:
        train: Moments of the rows that are fitted to.
        validate: Moments of rows on which the penalty of each target is chosen; the regression
            is then fitted to both. Without them the smallest penalty is taken.
        targets: Columns that make up each target; each has a penalty of its own.
        penalties: Penalties to choose from, as shares of the mean eigenvalue.

    Returns:
        One regression for each target.

    Raises:
        ValueError: If there is no penalty, or one is negative.

    Example:
        >>> from bayescmp.layers.moments import gather_moments
        >>> from bayescmp.layers.ridge import fit_ridge
        >>> rows = np.array([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0]])  # of rank one
        >>> found = gather_moments(rows, rows[:, :1], np.ones(3))
        >>> (read_out,) = fit_ridge(found)
        >>> read_out.rank, round(read_out.affine.share_explained(found), 6)
        (1, 1.0)
    """
    if not penalties or min(penalties) < 0.0:
        raise ValueError(f"penalties: expected numbers of at least 0, got {tuple(penalties)}")
    if validate is None:
        spectrum, smallest = decompose(train), min(penalties)
        return tuple(spectrum.read_out(smallest, columns) for columns in targets)
    trial, spectrum = decompose(train), decompose(train + validate)
    rotated = validate.project(trial.basis)
    return tuple(
        spectrum.read_out(_choose(trial, rotated, columns, penalties), columns)
        for columns in targets
    )


def _choose(
    trial: Spectrum, validate: Moments, columns: slice, penalties: Sequence[float]
) -> float:
    """Return the penalty with the least error on rows in the eigenbasis of those fitted to.

    1. With ``u = 1 / (s + penalty)`` and ``D = V^T C`` the coefficients are ``diag(u) D``.
    2. On other rows with moments ``A', C', n'`` and mean features a gap ``g`` away, targets a gap
       ``h``, the error is ``sum y'^2 - 2 tr(D^T diag(u) C') + tr(D^T diag(u) A' diag(u) D)
       + n' |h - D^T diag(u) g|^2``.
    3. That is a constant less ``2 u . a`` plus ``u^T Q u`` with ``a_i = (D (C' + n' g h^T)^T)_ii``
       and ``Q = (A' + n' g g^T) * (D D^T)`` entry by entry: both are the same for all penalties.
    """
    judged, cross = validate.take(columns=columns), trial.cross[:, columns]
    gap = judged.feature_mean - trial.basis.T @ trial.moments.feature_mean
    target_gap = judged.target_mean - trial.moments.target_mean[columns]
    linear = np.sum(cross * (judged.cross + judged.weight * np.outer(gap, target_gap)), axis=1)
    square = (judged.features + judged.weight * np.outer(gap, gap)) * (cross @ cross.T)
    shrunk = [trial.shrink(penalty) for penalty in penalties]
    errors = [u @ square @ u - 2.0 * u @ linear for u in shrunk]
    return penalties[int(np.argmin(errors))]
