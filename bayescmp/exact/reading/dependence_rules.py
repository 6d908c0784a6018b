"""What the result of one operation depends on, element by element."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayescmp.exact.reading.dependence_numpy import MOVES, move

# fmt: off
ELEMENTWISE = frozenset({
    "abs", "acos", "acosh", "add", "add_any", "and", "asin", "asinh", "atan", "atan2", "atanh",
    "bessel_i0e", "bessel_i1e", "cbrt", "ceil", "clamp", "convert_element_type", "copy", "copy_p",
    "cos", "cosh", "digamma", "div", "eq", "erf", "erf_inv", "erfc", "exp", "exp2", "expm1",
    "floor", "ge", "gt", "igamma", "igamma_grad_a", "igammac", "integer_pow", "is_finite", "le",
    "lgamma", "log", "log1p", "log2", "logistic", "lt", "max", "min", "mul", "ne", "neg",
    "nextafter", "not", "one_minus_square", "or", "polygamma", "pow", "reduce_precision",
    "regularized_incomplete_beta", "rem", "round", "rsqrt", "select_n", "shift_left",
    "shift_right_arithmetic", "shift_right_logical", "sign", "sin", "sinh", "sqrt", "square",
    "stop_gradient", "sub", "tan", "tanh", "xor", "zeta",
})
"""Operations whose every result depends on the operands' elements at the same place."""

REDUCTIONS = frozenset({
    "argmax", "argmin", "reduce_and", "reduce_max", "reduce_min", "reduce_or", "reduce_prod",
    "reduce_sum", "reduce_xor",
})

CUMULATIONS = frozenset({"cumlogsumexp", "cummax", "cummin", "cumprod", "cumsum"})
# fmt: on

INDEX_OPERANDS = {"dynamic_slice": slice(1, None), "select_n": slice(0, 1)}
"""Operands that say where elements move to or from; all others are moved."""


@dataclass(frozen=True)
class Tracked:
    """An array of the trace: what it depends on, and its value where that is known."""

    mask: np.ndarray
    """For each element, the variables that it may depend on."""
    value: Any = None
    """The elements that depend on no input; None where there is none."""
    known: np.ndarray | None = None
    """Which elements of the value are known; None where all are."""

    @property
    def is_known(self) -> bool:
        """Whether every element is known."""
        return self.value is not None and self.known is None

    @property
    def union(self) -> np.ndarray:
        """All variables that some element depends on."""
        return self.mask.reshape(-1, self.mask.shape[-1]).any(axis=0)


def apply_rule(equation: Any, operands: Sequence[Tracked]) -> list[Tracked] | None:
    """Say what the results of one operation depend on.

    Args:
        equation: Equation of a jaxpr that calls no other.
        operands: Its operands, not all of them known.

    Returns:
        The results, or None where no rule is known.
    """
    name, params = equation.primitive.name, equation.params
    places = INDEX_OPERANDS.get(name, slice(0, 0))
    if name in MOVES and all(operand.is_known for operand in operands[places]):
        return _move(equation, operands, places)
    if name in ELEMENTWISE:
        shape = equation.outvars[0].aval.shape
        return [Tracked(np.any([_spread(o.mask, shape) for o in operands], axis=0))]
    if name in REDUCTIONS:
        return [Tracked(operands[0].mask.any(axis=tuple(params["axes"])))]
    if name in CUMULATIONS:
        return [Tracked(_accumulate(operands[0].mask, params["axis"], params["reverse"]))]
    if name == "cholesky":
        return [Tracked(_spread(_matrix_union(operands[0].mask), operands[0].mask.shape[:-1]))]
    if name == "triangular_solve":
        return [Tracked(_solve(operands[0].mask, operands[1].mask, params["left_side"]))]
    if name == "dot_general":
        mask = _contract(operands[0].mask, operands[1].mask, params["dimension_numbers"])
        return [Tracked(mask)]
    return [Tracked(_look_up(params, *operands))] if name == "gather" else None


def _move(equation: Any, operands: Sequence[Tracked], places: slice) -> list[Tracked]:
    """Move numbers in place of elements, and see which came where."""
    index = range(len(operands))[places]
    num_variables = operands[0].mask.shape[-1]
    moved = [operand for i, operand in enumerate(operands) if i not in index]
    numbered, start = [], 0
    for i, operand in enumerate(operands):
        if i in index:
            numbered.append(operand.value)
            continue
        shape = operand.mask.shape[:-1]
        size = math.prod(shape)
        numbered.append(np.arange(start, start + size, dtype=np.int32).reshape(shape))
        start += size
    mask = np.concatenate([operand.mask.reshape(-1, num_variables) for operand in moved])
    known = np.concatenate([_known_elements(operand) for operand in moved])
    values = [np.zeros(o.mask.shape[:-1], int) if o.value is None else o.value for o in moved]
    value = np.concatenate([np.ravel(each) for each in values])
    results = []
    for source in move(equation, numbered):
        known_here = np.asarray(known[source])
        here = np.asarray(value[source]) if known_here.any() else None
        results.append(Tracked(mask[source], here, known_here))
    return results


def _known_elements(operand: Tracked) -> np.ndarray:
    size = math.prod(operand.mask.shape[:-1])
    if operand.value is None:
        return np.zeros(size, bool)
    return np.ones(size, bool) if operand.known is None else np.ravel(operand.known)


def _spread(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Spread a scalar operand over the shape of the others."""
    return np.broadcast_to(mask, (*shape, mask.shape[-1]))


def _accumulate(mask: np.ndarray, axis: int, reverse: bool) -> np.ndarray:
    turned = np.flip(mask, axis) if reverse else mask
    total = np.logical_or.accumulate(turned, axis=axis)
    return np.flip(total, axis) if reverse else total


def _matrix_union(matrix: np.ndarray) -> np.ndarray:
    """Join over the rows and columns of each matrix of a batch."""
    return matrix.any(axis=(-3, -2), keepdims=True)


def _solve(matrix: np.ndarray, sides: np.ndarray, left_side: bool) -> np.ndarray:
    """Let each solution depend on the whole matrix, and on its own right-hand side."""
    own = sides.any(axis=-3 if left_side else -2, keepdims=True)
    return _spread(own | _matrix_union(matrix), sides.shape[:-1])


def _contract(left: np.ndarray, right: np.ndarray, dimension_numbers: Any) -> np.ndarray:
    """Let each entry of a product depend on its row and its column."""
    (left_contracted, right_contracted), (left_batch, right_batch) = dimension_numbers
    num_batch = len(left_batch)
    rows = _without(left, left_contracted, left_batch)
    columns = _without(right, right_contracted, right_batch)
    num_rows, num_columns = rows.ndim - 1 - num_batch, columns.ndim - 1 - num_batch
    rows = np.expand_dims(rows, tuple(range(rows.ndim - 1, rows.ndim - 1 + num_columns)))
    columns = np.expand_dims(columns, tuple(range(num_batch, num_batch + num_rows)))
    return rows | columns


def _without(mask: np.ndarray, contracted: Sequence[int], batch: Sequence[int]) -> np.ndarray:
    """Join over the contracted axes, with the batch axes in front."""
    free = [a for a in range(mask.ndim - 1) if a not in {*contracted, *batch}]
    ordered = np.transpose(mask, (*batch, *free, *contracted, mask.ndim - 1))
    return ordered.any(axis=tuple(range(len(batch) + len(free), mask.ndim - 1)))


def _look_up(params: dict[str, Any], table: Tracked, index: Tracked) -> np.ndarray:
    """Let each result depend on its own index, and on what of the table that may reach."""
    numbers, sizes = params["dimension_numbers"], params["slice_sizes"]
    batch_shape = index.mask.shape[:-2]
    dropped = {*numbers.collapsed_slice_dims, *numbers.operand_batching_dims}
    kept = [axis for axis in range(len(sizes)) if axis not in dropped]
    num_kept, mask = len(kept), table.mask
    places: list[np.ndarray] = []
    for axis, size in enumerate(sizes):
        place = None
        if axis in numbers.operand_batching_dims:
            which = numbers.operand_batching_dims.index(axis)
            place = np.indices(batch_shape)[numbers.start_indices_batching_dims[which]]
            place = place.reshape(*batch_shape, *(1,) * num_kept)
        elif axis in kept and size == table.mask.shape[axis]:
            ranks = [1] * len(batch_shape) + [size if a == axis else 1 for a in kept]
            place = np.arange(size).reshape(ranks)
        elif axis in dropped and axis in numbers.start_index_map:
            place = _known_column(index, numbers.start_index_map.index(axis))
            if place is not None:
                place = np.clip(place, 0, mask.shape[axis] - 1)
                place = place.reshape(*batch_shape, *(1,) * num_kept)
        if place is None:  # it may be anywhere along this axis
            mask, place = mask.any(axis=axis, keepdims=True), np.zeros((), int)
        places.append(place)
    found = mask[tuple(np.broadcast_arrays(*places))]
    lengths = (*batch_shape, *(sizes[axis] for axis in kept))
    found = np.broadcast_to(found, (*lengths, mask.shape[-1]))
    own = index.mask.any(axis=-2).reshape(*batch_shape, *(1,) * num_kept, mask.shape[-1])
    # The axes of the slice stand where the operation wants them, the others around them.
    where = range(len(batch_shape), len(batch_shape) + num_kept)
    return np.moveaxis(found | own, list(where), list(numbers.offset_dims))


def _known_column(index: Tracked, column: int) -> np.ndarray | None:
    """Return one component of every index, where all of them are known."""
    if index.value is None:
        return None
    known = True if index.known is None else index.known[..., column].all()
    return np.asarray(index.value)[..., column].astype(int) if known else None
