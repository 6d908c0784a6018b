"""Which elements of which sites an array depends on, proved on the jaxpr.

A function of all site values is traced once, and every intermediate array carries, for each
of its elements, the set of variables that it may depend on. Rules are exact where an
operation moves or combines elements one by one, and where nothing is known about it each
result depends on everything that went in. So no dependence is ever missed, and a few may be
reported that are not there.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal
from jaxtyping import Int

from bayescmp.exact.reading.dependence_numpy import compute
from bayescmp.exact.reading.dependence_rules import Tracked, apply_rule


def find_dependence(
    function: Callable[[Any], Any], inputs: Any, labels: Any, num_variables: int
) -> Any:
    """Find which variables each element of a function's results may depend on.

    Args:
        function: Function of one tree of arrays, made of JAX operations.
        inputs: Arrays to trace it with; only shapes and types matter.
        labels: Tree like ``inputs``: for each leaf the number of the variable that each
            element along its leading axes stands for, or -1 where it stands for none.
        num_variables: How many variables there are.

    Returns:
        A tree like the function's results with Boolean arrays, one more axis at the end: True
        where an element may depend on that variable.

    Example:
        >>> find_dependence(lambda x: x[1:] * x[:-1], jnp.ones(3), np.arange(3), 3)
        array([[ True,  True, False],
               [False,  True,  True]])
    """
    closed, shapes = jax.make_jaxpr(function, return_shape=True)(inputs)
    tracked = [
        Tracked(_label_mask(np.asarray(label), np.shape(leaf), num_variables))
        for leaf, label in zip(jax.tree.leaves(inputs), jax.tree.leaves(labels), strict=True)
    ]
    results = _Walk(num_variables).through(closed, tracked)
    return jax.tree.unflatten(jax.tree.structure(shapes), [result.mask for result in results])


def _label_mask(
    label: Int[np.ndarray, "..."], shape: tuple[int, ...], num_variables: int
) -> np.ndarray:
    """Mark the variable that each element of an input stands for."""
    mask = label[..., None] == np.arange(num_variables)
    mask = mask.reshape(*label.shape, *(1,) * (len(shape) - label.ndim), num_variables)
    return np.broadcast_to(mask, (*shape, num_variables))


class _Walk:
    """One walk through a jaxpr, equation by equation."""

    def __init__(self, num_variables: int) -> None:
        self.num_variables = num_variables

    def through(self, closed: Any, inputs: Sequence[Tracked]) -> list[Tracked]:
        """Walk through a jaxpr, with its constants or without any."""
        jaxpr = getattr(closed, "jaxpr", closed)
        consts = [self.known(value) for value in getattr(closed, "consts", ())]
        found: dict[Any, Tracked] = dict(zip(jaxpr.constvars, consts, strict=True))
        found.update(zip(jaxpr.invars, inputs, strict=True))

        def read(atom: Any) -> Tracked:
            return self.known(atom.val) if isinstance(atom, Literal) else found[atom]

        for equation in jaxpr.eqns:
            results = self.equation(equation, [read(atom) for atom in equation.invars])
            found.update(zip(equation.outvars, results, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def known(self, value: Any) -> Tracked:
        """Wrap a value that depends on nothing; only whole numbers and truths are kept."""
        array = None if isinstance(value, jax.Array) and _is_key(value) else np.asarray(value)
        kept = array if array is not None and array.dtype.kind in "iub" else None
        return Tracked(np.zeros((*np.shape(value), self.num_variables), bool), kept)

    def equation(self, equation: Any, operands: list[Tracked]) -> list[Tracked]:
        """Return what the results of one equation depend on."""
        name, params = equation.primitive.name, equation.params
        if name == "scan":
            return self.scan(equation, operands)
        if name == "cond":
            return self.cond(params["branches"], operands)
        inner = params.get("jaxpr", params.get("call_jaxpr"))
        if inner is not None:
            return self.through(inner, operands)
        if name == "while":
            return self.everything(equation, operands)
        if all(operand.is_known for operand in operands):
            values = compute(equation, [operand.value for operand in operands])
            if values is not None:
                return [self.known(value) for value in values]
        results = apply_rule(equation, operands)
        return self.everything(equation, operands) if results is None else results

    def everything(self, equation: Any, operands: list[Tracked]) -> list[Tracked]:
        """Let every result depend on all that went in."""
        union = np.any([np.zeros(self.num_variables, bool), *(o.union for o in operands)], axis=0)
        shapes = (atom.aval.shape for atom in equation.outvars)
        return [Tracked(np.broadcast_to(union, (*shape, union.size))) for shape in shapes]

    def cond(self, branches: Sequence[Any], operands: list[Tracked]) -> list[Tracked]:
        """Join the branches, and what chooses among them."""
        which, *rest = operands
        if which.is_known:
            chosen = int(np.clip(which.value, 0, len(branches) - 1))
            return self.through(branches[chosen], rest)
        results = zip(*(self.through(branch, rest) for branch in branches), strict=True)
        joined = (np.any([result.mask for result in each], axis=0) for each in results)
        return [Tracked(mask | which.union) for mask in joined]

    def scan(self, equation: Any, operands: list[Tracked]) -> list[Tracked]:
        """Walk through a loop step by step."""
        body, reverse = equation.params["jaxpr"], equation.params["reverse"]
        num_rows = _num_longer(equation.invars, body.in_avals)
        num_carry = len(equation.outvars) - _num_longer(equation.outvars, body.out_avals)
        num_kept = len(operands) - num_rows
        consts, carry = operands[: num_kept - num_carry], operands[num_kept - num_carry : num_kept]
        outputs: list[list[Tracked]] = []
        order = range(equation.params["length"])
        for step in order[::-1] if reverse else order:
            rows = [_row(operand, step) for operand in operands[num_kept:]]
            results = self.through(body, [*consts, *carry, *rows])
            carry = results[:num_carry]
            outputs.append(results[num_carry:])
        if reverse:
            outputs.reverse()
        return [*carry, *(_stack(each) for each in zip(*outputs, strict=True))]


def _is_key(value: jax.Array) -> bool:
    """Tell whether an array holds random keys, which NumPy does not know."""
    return jnp.issubdtype(value.dtype, jax.dtypes.prng_key)


def _num_longer(outer: Sequence[Any], inner: Sequence[Any]) -> int:
    """Return how many arrays have one axis more outside of a loop than inside."""
    pairs = zip(outer, inner, strict=True)
    return sum(len(atom.aval.shape) > len(aval.shape) for atom, aval in pairs)


def _row(operand: Tracked, step: int) -> Tracked:
    """Return what a loop sees of an array in one step."""
    value = np.asarray(operand.value)[step] if operand.is_known else None
    return Tracked(operand.mask[step], value)


def _stack(rows: Sequence[Tracked]) -> Tracked:
    """Put the results of all steps together."""
    mask = np.stack([row.mask for row in rows])
    if all(row.is_known for row in rows):
        return Tracked(mask, np.stack([row.value for row in rows]))
    return Tracked(mask)
