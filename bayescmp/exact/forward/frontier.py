"""A plan of operations for every step of a factored program."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bayescmp.exact.forward.steps import Operation, Questioning, Step, read_questions, reported
from bayescmp.exact.reading.factors import FactoredProgram
from bayescmp.exact.reading.tabulation import MAX_TABLE


@dataclass(frozen=True, eq=False)
class Plan:
    """What to do in each step, and how large it gets."""

    steps: tuple[Step, ...]
    beliefs: dict[str, bool]
    """Sites of which a belief is reported; True where it is that of the step's own row."""
    largest: int
    """Entries of the largest table."""
    cost: int
    """Entries of all tables together."""


@lru_cache(maxsize=128)
def plan_steps(factored: FactoredProgram, *, soft: bool = False) -> Plan:
    """Plan the operations of every step.

    Args:
        factored: Program as a product of tables.
        soft: Whether what is shown keeps an axis of its own, to be weighed by a potential
            that may or may not know its value; otherwise it is looked up at once.

    Returns:
        The plan.

    Raises:
        ValueError: If what must be kept from step to step is too large.
    """
    questions = read_questions(factored)
    beliefs = {} if soft else reported(factored, questions)
    planner = _Planner(factored, questions, beliefs, soft)
    frontier: list[int] = []
    steps = []
    for number in range(factored.layout.length):
        step = planner.step(number, frontier)
        frontier = [step.axes[axis] for axis in step.leaving]
        steps.append(step)
    largest = max(step.largest for step in steps)
    if largest > MAX_TABLE:
        raise ValueError(
            f"program: expected at most {MAX_TABLE:,} joint values of what one step must know of "
            f"those before it, got {largest:,}; use engine='elimination' or 'monte carlo'"
        )
    return Plan(tuple(steps), beliefs, largest, sum(step.largest for step in steps))


class _Planner:
    """Writes the operations of one step after another."""

    def __init__(
        self,
        factored: FactoredProgram,
        questions: Questioning,
        beliefs: dict[str, bool],
        soft: bool,
    ) -> None:
        self.factored, self.questions, self.beliefs, self.soft = factored, questions, beliefs, soft
        self.sizes = factored.sizes
        self.shown = {site.name for site in (*factored.layout.query, factored.layout.outcome)}
        self.last = self._last_mentions()

    def _last_mentions(self) -> dict[int, int]:
        """Return the last step in which each variable is mentioned, or reported."""
        last: dict[int, int] = {}
        families, questions = self.factored.families, self.questions
        for step in range(self.factored.layout.length):
            numbers = [*questions.needed[step], *questions.after[step], *questions.bins[step:][:1]]
            for number in numbers:
                last.update(dict.fromkeys(families[number].scope, step))
            for variable in (*questions.queries[step], *questions.asked[step : step + 1]):
                last[variable] = max(last.get(variable, 0), step)
        for name, by_row in self.beliefs.items():
            for variables, step in self._believed(name, by_row):
                last.update({v: max(last.get(v, 0), step) for v in variables})
        return last

    def _believed(self, name: str, by_row: bool) -> list[tuple[list[int], int]]:
        """Return which variables of a site are kept until which step."""
        site, length = self.factored.site(name), self.factored.layout.length
        rows = np.zeros(0, int) if site is None else site.numbers
        if by_row:
            return [(row.ravel().tolist(), step) for step, row in enumerate(rows)]
        return [(rows.ravel().tolist(), length - 1)]

    def step(self, number: int, frontier: list[int]) -> Step:
        """Plan one step."""
        step = Step(axes=list(frontier), entering=tuple(self.sizes[v] for v in frontier))
        open_axes = list(range(len(frontier)))
        questions = self.questions
        for slot, families in enumerate(questions.conditions if number == 0 else ()):
            self._condition(step, open_axes, families, slot)
        for family in questions.needed[number]:
            if family not in step.families:
                self._multiply(step, open_axes, family, number)
        for variable in questions.queries[number]:
            if variable in step.axes:  # it came in before it is shown
                self._see(step, open_axes, variable)
        self._close(step, open_axes, number, until_asked=True)
        self._believe(step, number)
        asked = questions.asked[number]
        if asked < 0:
            self._multiply(step, open_axes, questions.bins[number], number, kind="ask bins")
        else:
            step.operations.append(Operation("ask", axes=(self._axis(step, asked),)))
            if asked in questions.shown_in:
                self._see(step, open_axes, asked)
        for family in questions.after[number]:
            self._multiply(step, open_axes, family, number)
        self._close(step, open_axes, number)
        step.leaving = tuple(open_axes)
        return step

    def _condition(
        self, step: Step, open_axes: list[int], families: Sequence[int], slot: int
    ) -> None:
        """Take in what everything is conditioned on, whose own probability is no evidence."""
        nothing_shown = -1
        for family in families:
            if family not in step.families:
                self._multiply(step, open_axes, family, nothing_shown)
        if families:
            step.operations.append(Operation("forget", slot=slot))

    def _multiply(
        self,
        step: Step,
        open_axes: list[int],
        number: int,
        position: int,
        kind: str = "multiply",
    ) -> None:
        """Multiply a family's table, whose new variable gets an axis of its own."""
        family = self.factored.families[number]
        asked = self.questions.asked[position]
        data, axes, number_of_steps = [], [], self.factored.layout.length
        for place, variable in enumerate(family.scope):
            is_known = self.questions.shown_in.get(variable, number_of_steps) <= position
            if self.soft or not is_known or variable == asked:
                axes.append(self._open(step, open_axes, variable))
            else:
                data.append((place, _slot(step.data, variable)))
        gate = -1
        is_density = family.child is None and family.site in self.shown
        if self.soft and is_density and kind == "multiply":
            gate = _slot(step.gates, number)
        step.families.append(number)
        operation = Operation(kind, tuple(axes), len(step.families) - 1, tuple(data), gate)
        step.operations.append(operation)
        self._measure(step, open_axes)

    def _see(self, step: Step, open_axes: list[int], variable: int) -> None:
        """Take in the value of a variable that is shown now."""
        axis = self._axis(step, variable)
        if self.soft:
            slot = _slot(step.potentials, variable)
            step.operations.append(Operation("weigh", axes=(axis,), slot=slot))
            return
        slot = _slot(step.data, variable)
        step.operations.append(Operation("observe", axes=(axis,), slot=slot))
        open_axes.remove(axis)

    def _believe(self, step: Step, number: int) -> None:
        """Report what is believed of latents when the question is asked."""
        for name, by_row in self.beliefs.items():
            variables = self._believed(name, by_row)[number if by_row else 0][0]
            axes = tuple(self._axis(step, v) for v in variables)
            step.operations.append(Operation("believe", axes=axes))

    def _close(
        self, step: Step, open_axes: list[int], number: int, *, until_asked: bool = False
    ) -> None:
        """Sum out what nothing mentions any more."""
        later = set(self.questions.after[number]) | set(self.questions.bins[number:][:1])
        busy = {self.questions.asked[number]} if until_asked else set()
        if until_asked:
            busy |= {v for n in later for v in self.factored.families[n].scope}
            for name, by_row in self.beliefs.items():
                busy |= set(self._believed(name, by_row)[number if by_row else 0][0])
        for axis in list(open_axes):
            variable = step.axes[axis]
            if self.last[variable] <= number and variable not in busy:
                step.operations.append(Operation("sum", axes=(axis,)))
                open_axes.remove(axis)

    def _open(self, step: Step, open_axes: list[int], variable: int) -> int:
        if variable not in step.axes:
            step.axes.append(variable)
            open_axes.append(len(step.axes) - 1)
        return self._axis(step, variable)

    def _axis(self, step: Step, variable: int) -> int:
        return step.axes.index(variable)

    def _measure(self, step: Step, open_axes: Sequence[int]) -> None:
        size = math.prod(self.sizes[step.axes[axis]] for axis in open_axes)
        step.largest = max(step.largest, size)


def _slot(slots: list[int], number: int) -> int:
    """Return where a number stands in a list, after adding it if it is not there."""
    if number not in slots:
        slots.append(number)
    return slots.index(number)
