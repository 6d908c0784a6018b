"""Runs the plan of a factored program on one example."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Bool, Float, Int

from bayescmp.exact.forward.frontier import Plan
from bayescmp.exact.forward.steps import Operation, Recipe, Step
from bayescmp.exact.reading.factors import FactoredProgram


class StepInputs(eqx.Module):
    """The numbers of one step, or of many, with the axis of steps in front."""

    tables: tuple[Array, ...]
    data: Array
    potentials: tuple[Array, ...]
    gates: Array


class Answers(eqx.Module):
    """What one pass finds out; the axis ``position`` comes first."""

    log_predictive: Float[Array, "*position outcome"]
    log_asked: Float[Array, "*position"]
    """``log p(s_t)`` of what is shown when the question is asked."""
    log_evidence: Float[Array, "*position"]
    log_conditions: Float[Array, "*position 2"]
    """The same at each: ``log p(fixed latents)`` and ``log p(given | fixed latents)``, of those
    whose law depends on variables, 0 where none does."""
    marginals: tuple[Array, ...]
    """For each believed site: elements, values."""


def run_plan(
    factored: FactoredProgram,
    plan: Plan,
    tables: Sequence[Array],
    indices: Int[Array, " variable"],
    known: tuple[Bool[Array, " variable"], Bool[Array, " family"]] | None = None,
) -> Answers:
    """Carry out the operations of every step.

    Args:
        factored: Program as a product of tables.
        plan: Its plan.
        tables: Log table of each family, in nats.
        indices: Which of its values each shown variable has.
        known: For a soft plan, the variables and continuous families that are known.

    Returns:
        The answers at every position.
    """
    # Weak and strong types would make the carries of a loop differ.
    message = jnp.zeros((), jnp.result_type(float))
    carry = (message, jnp.zeros((), message.dtype), jnp.zeros(2, message.dtype))
    outputs = []
    for recipe, steps in _alike(plan.steps, tables):
        inputs = [_gather(factored, step, tables, indices, known) for step in steps]
        if len(steps) == 1:
            carry, answers = _perform(recipe, carry, inputs[0])
            outputs.append(jax.tree.map(lambda x: x[None], answers))
            continue
        stacked = jax.tree.map(lambda *x: jnp.stack(x), *inputs)
        carry, answers = jax.lax.scan(lambda c, x, r=recipe: _perform(r, c, x), carry, stacked)
        outputs.append(answers)
    return jax.tree.map(lambda *x: jnp.concatenate(x), *outputs)


def _alike(steps: Sequence[Step], tables: Sequence[Array]) -> list[tuple[Recipe, list[Step]]]:
    """Group neighbouring steps that do the same with tables of the same shapes."""
    groups: list[tuple[Any, Recipe, list[Step]]] = []
    for step in steps:
        look = (step.recipe, tuple(tables[number].shape for number in step.families))
        if groups and groups[-1][0] == look:
            groups[-1][2].append(step)
        else:
            groups.append((look, step.recipe, [step]))
    return [(recipe, members) for _, recipe, members in groups]


def _gather(
    factored: FactoredProgram,
    step: Step,
    tables: Sequence[Array],
    indices: Array,
    known: tuple[Array, Array] | None,
) -> StepInputs:
    """Gather the numbers of one step."""

    def potential(variable: int) -> Array:
        is_value = jnp.arange(factored.sizes[variable]) == indices[variable]
        is_allowed = is_value if known is None else is_value | ~known[0][variable]
        return jnp.where(is_allowed, 0.0, -jnp.inf)

    gates = [jnp.ones((), bool) if known is None else known[1][number] for number in step.gates]
    return StepInputs(
        tables=tuple(tables[number] for number in step.families),
        data=indices[jnp.array(step.data, int)],
        potentials=tuple(potential(variable) for variable in step.potentials),
        gates=jnp.stack(gates) if gates else jnp.zeros(0, bool),
    )


def _perform(
    recipe: Recipe, carry: tuple[Array, Array, Array], inputs: StepInputs
) -> tuple[tuple[Array, Array, Array], Answers]:
    """Carry out one step: the message over the frontier, and the evidence so far."""
    message, log_evidence, log_conditions = carry
    work = _Workbench(message, log_conditions, list(range(len(recipe.entering))), inputs)
    for operation in recipe.operations:
        getattr(work, operation.kind.replace(" ", "_"))(operation)
    log_norm = _log_sum(work.message)
    # What is impossible stays so: its law is NaN from here on, its evidence is not.
    is_over = jnp.isneginf(log_evidence)
    log_asked = jnp.where(is_over, -jnp.inf, log_evidence + work.log_shown)
    log_evidence = jnp.where(is_over, -jnp.inf, log_evidence + log_norm)
    answers = Answers(work.law, log_asked, log_evidence, work.log_conditions, tuple(work.marginals))
    return (work.ordered(recipe.leaving) - log_norm, log_evidence, work.log_conditions), answers


def _log_sum(log_weights: Array, axis: int | tuple[int, ...] | None = None) -> Array:
    """Return ``log sum exp`` with derivatives of 0, not NaN, where nothing is possible.

    A state that cannot be reached yet is such a place, in a sequence that is possible.
    """
    nothing = jnp.all(jnp.isneginf(log_weights), axis=axis, keepdims=True)
    total = logsumexp(jnp.where(nothing, 0.0, log_weights), axis=axis, keepdims=True)
    return jnp.squeeze(jnp.where(nothing, -jnp.inf, total), axis=axis)


class _Workbench:
    """The table of one step, with a name for each of its axes."""

    def __init__(
        self, message: Array, log_conditions: Array, axes: list[int], inputs: StepInputs
    ) -> None:
        self.message, self.log_conditions = message, log_conditions
        self.axes, self.inputs = axes, inputs
        self.law: Array = message
        self.log_shown: Array = jnp.zeros((), message.dtype)
        self.marginals: list[Array] = []

    def multiply(self, operation: Operation) -> None:
        table = self._table(operation)
        if operation.gate >= 0:
            table = jnp.where(self.inputs.gates[operation.gate], table, 0.0)
        new = [axis for axis in operation.axes if axis not in self.axes]
        self.axes = [*self.axes, *new]
        message = self.message.reshape(self.message.shape + (1,) * len(new))
        self.message = message + self._aligned(table, operation.axes)

    def ask_bins(self, operation: Operation) -> None:
        table = jnp.moveaxis(self._table(operation), -1, 0)
        log_joint = self.message + jax.vmap(lambda t: self._aligned(t, operation.axes))(table)
        log_bins = _log_sum(log_joint.reshape(log_joint.shape[0], -1), axis=1)
        self.law = log_bins - _log_sum(log_bins)
        self.log_shown = _log_sum(self.message)

    def ask(self, operation: Operation) -> None:
        log_law = self._alone(operation.axes[0])
        self.log_shown = _log_sum(log_law)
        self.law = log_law - self.log_shown

    def believe(self, operation: Operation) -> None:
        marginals = jnp.stack([self._alone(axis) for axis in operation.axes])
        self.marginals.append(jax.nn.softmax(marginals, axis=-1))

    def observe(self, operation: Operation) -> None:
        where = self.axes.index(operation.axes[0])
        self.message = jnp.take(self.message, self.inputs.data[operation.slot], axis=where)
        del self.axes[where]

    def weigh(self, operation: Operation) -> None:
        potential = self.inputs.potentials[operation.slot]
        self.message = self.message + self._aligned(potential, operation.axes)

    def sum(self, operation: Operation) -> None:
        where = self.axes.index(operation.axes[0])
        self.message = _log_sum(self.message, axis=where)
        del self.axes[where]

    def forget(self, operation: Operation) -> None:
        total = _log_sum(self.message)
        self.log_conditions = self.log_conditions.at[operation.slot].set(total)
        self.message = self.message - jnp.where(jnp.isneginf(total), 0.0, total)

    def ordered(self, axes: Sequence[int]) -> Array:
        """Return the table with its axes in the wanted order."""
        return jnp.transpose(self.message, [self.axes.index(axis) for axis in axes])

    def _table(self, operation: Operation) -> Array:
        """Return a family's table at what is observed."""
        table = self.inputs.tables[operation.slot]
        for place, slot in reversed(operation.data):
            table = jnp.take(table, self.inputs.data[slot], axis=place)
        return table

    def _aligned(self, table: Array, axes: Sequence[int]) -> Array:
        """Return a table with all axes of the message, those that it lacks of length one."""
        order = sorted(range(len(axes)), key=lambda i: self.axes.index(axes[i]))
        shape = [table.shape[axes.index(axis)] if axis in axes else 1 for axis in self.axes]
        return jnp.transpose(table, order).reshape(shape)

    def _alone(self, axis: int) -> Array:
        """Sum out all axes but one."""
        where = self.axes.index(axis)
        others = tuple(i for i in range(len(self.axes)) if i != where)
        return _log_sum(self.message, axis=others)
