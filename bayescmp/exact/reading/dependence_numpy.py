"""Operations that a walk through a jaxpr carries out by itself, in NumPy.

JAX would compile each of them anew for every shape. What is not listed is not carried out: its
result counts as unknown, which is never wrong.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def _broadcast(x: np.ndarray, params: dict[str, Any]) -> np.ndarray:
    shape, places = params["shape"], params["broadcast_dimensions"]
    spread = [x.shape[places.index(axis)] if axis in places else 1 for axis in range(len(shape))]
    return np.broadcast_to(x.reshape(spread), shape)


def _slice(x: np.ndarray, params: dict[str, Any]) -> np.ndarray:
    strides = params["strides"] or (1,) * x.ndim
    bounds = zip(params["start_indices"], params["limit_indices"], strides, strict=True)
    return x[tuple(slice(*each) for each in bounds)]


def _dynamic_slice(x: np.ndarray, starts: Sequence[Any], params: dict[str, Any]) -> np.ndarray:
    # As XLA does it, a slice that would reach over the edge is moved inside.
    sizes = params["slice_sizes"]
    limits = np.array(x.shape) - sizes
    clipped = np.clip(np.array([int(start) for start in starts]), 0, limits)
    return x[tuple(slice(a, a + n) for a, n in zip(clipped.tolist(), sizes, strict=True))]


def _pad(x: np.ndarray, filler: np.ndarray, params: dict[str, Any]) -> np.ndarray:
    for axis, (low, high, apart) in enumerate(params["padding_config"]):
        rows = np.moveaxis(x, axis, 0)
        start, length = max(low, 0), len(rows) + apart * max(len(rows) - 1, 0)
        wide = np.full((start + length + max(high, 0), *rows.shape[1:]), filler)
        wide[start : start + length : apart + 1] = rows
        # A negative number cuts elements off.
        x = np.moveaxis(wide[max(-low, 0) : len(wide) - max(-high, 0)], 0, axis)
    return x


def _select(which: np.ndarray, cases: Sequence[np.ndarray]) -> np.ndarray:
    return np.asarray(np.choose(np.asarray(which, int), [np.asarray(case) for case in cases]))


def _split(x: np.ndarray, params: dict[str, Any]) -> list[np.ndarray]:
    return np.split(x, np.cumsum(params["sizes"])[:-1], axis=params["axis"])


def _iota(params: dict[str, Any]) -> np.ndarray:
    shape, axis = params["shape"], params["dimension"]
    return np.indices(shape)[axis].astype(params["dtype"])


MOVES: dict[str, Callable[[Sequence[Any], dict[str, Any]], Any]] = {
    "broadcast_in_dim": lambda x, p: _broadcast(x[0], p),
    "concatenate": lambda x, p: np.concatenate(x, axis=p["dimension"]),
    "copy": lambda x, _: x[0],
    "dynamic_slice": lambda x, p: _dynamic_slice(x[0], x[1:], p),
    "expand_dims": lambda x, p: np.expand_dims(x[0], p["dimensions"]),
    "pad": lambda x, p: _pad(x[0], x[1], p),
    "reshape": lambda x, p: x[0].reshape(p["new_sizes"]),
    "rev": lambda x, p: np.flip(x[0], p["dimensions"]),
    "select_n": lambda x, _: _select(x[0], x[1:]),
    "slice": lambda x, p: _slice(x[0], p),
    "split": lambda x, p: _split(x[0], p),
    "squeeze": lambda x, p: np.squeeze(x[0], tuple(p["dimensions"])),
    "stack": lambda x, p: np.stack(x, axis=p["axis"]),
    "tile": lambda x, p: np.tile(x[0], p["reps"]),
    "transpose": lambda x, p: np.transpose(x[0], p["permutation"]),
    "unstack": lambda x, p: np.unstack(x[0], axis=p["axis"]),
}
"""Operations that only move elements, once it is known where to."""

COMPUTED: dict[str, Callable[[Sequence[Any], dict[str, Any]], Any]] = {
    "add": lambda x, _: np.add(*x),
    "and": lambda x, _: np.bitwise_and(*x),
    "convert_element_type": lambda x, p: np.asarray(x[0]).astype(p["new_dtype"]),
    "eq": lambda x, _: np.equal(*x),
    "ge": lambda x, _: np.greater_equal(*x),
    "gt": lambda x, _: np.greater(*x),
    "iota": lambda _, p: _iota(p),
    "le": lambda x, _: np.less_equal(*x),
    "lt": lambda x, _: np.less(*x),
    "max": lambda x, _: np.maximum(*x),
    "min": lambda x, _: np.minimum(*x),
    "mul": lambda x, _: np.multiply(*x),
    "ne": lambda x, _: np.not_equal(*x),
    "neg": lambda x, _: np.negative(x[0]),
    "not": lambda x, _: np.invert(x[0]),
    "or": lambda x, _: np.bitwise_or(*x),
    "sub": lambda x, _: np.subtract(*x),
}
"""Operations whose results can say where others move elements to."""


def move(equation: Any, operands: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Carry out an operation that only moves elements.

    Args:
        equation: Equation of a jaxpr whose operation is among ``MOVES``.
        operands: Its operands.

    Returns:
        Its results.
    """
    results = MOVES[equation.primitive.name](operands, equation.params)
    listed = results if equation.primitive.multiple_results else [results]
    return [np.asarray(result) for result in listed]


def compute(equation: Any, operands: Sequence[Any]) -> list[np.ndarray] | None:
    """Carry out an operation on known whole numbers and truth values.

    Args:
        equation: Equation of a jaxpr that calls no other.
        operands: Its operands.

    Returns:
        Its results, or None where the operation is not listed or works on real numbers.
    """
    name = equation.primitive.name
    arrays = [np.asarray(operand) for operand in operands]
    if any(array.dtype.kind not in "iub" for array in arrays):
        return None
    if name in MOVES:
        return move(equation, arrays)
    if name not in COMPUTED:
        return None
    return [np.asarray(COMPUTED[name](arrays, equation.params))]
