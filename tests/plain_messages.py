"""Belief propagation in plain NumPy, one message after the other, and trees to try it on.

Nothing here imports bayescmp.
"""

from typing import NamedTuple

import numpy as np
from factor_graphs import Scopes, Tables


class Round(NamedTuple):
    """What is known after one round."""

    beliefs: list[np.ndarray]
    """Probabilities of each variable's values."""
    messages: dict[tuple[int, int], np.ndarray]
    """Log message of factor to variable, less that to the first value."""
    cavities: dict[tuple[int, int], np.ndarray]
    """Log message of variable to factor that this round's messages were made of."""


def pass_messages(
    scopes: Scopes, log_tables: Tables, log_potentials: Tables, num_rounds: int
) -> list[Round]:
    """Send messages along every edge, all at once in each round, from uniform ones."""
    messages = {
        (factor, variable): np.zeros(len(log_potentials[variable]))
        for factor, scope in enumerate(scopes)
        for variable in scope
    }
    rounds: list[Round] = []
    for _ in range(num_rounds):
        cavities = {
            (variable, factor): _sum_up(messages, log_potentials, variable, without=factor)
            for factor, variable in messages
        }
        messages = {
            (factor, variable): _answer(scopes[factor], log_tables[factor], cavities, edge)
            for edge in messages
            for factor, variable in [edge]
        }
        beliefs = [
            _normalise(_sum_up(messages, log_potentials, variable))
            for variable in range(len(log_potentials))
        ]
        rounds.append(Round(beliefs, messages, cavities))
    return rounds


def eliminate_tree(scopes: Scopes, log_tables: Tables, log_potentials: Tables) -> list[np.ndarray]:
    """Return the probabilities of each variable of a tree, summing out from the leaves to it."""

    def weigh(variable: int, seen: int | None) -> np.ndarray:
        """Sum out all that hangs on a variable, but for what lies behind one factor."""
        weights = np.exp(log_potentials[variable])
        for factor, scope in enumerate(scopes):
            if variable in scope and factor != seen:
                joint = np.moveaxis(np.exp(log_tables[factor]), scope.index(variable), -1)
                for other in (u for u in scope if u != variable):
                    joint = np.tensordot(weigh(other, factor), joint, axes=1)
                weights = weights * joint
        return weights / weights.sum()

    return [weigh(variable, None) for variable in range(len(log_potentials))]


def branching_tree(
    rng: np.random.Generator, num_variables: int, branching: int, arity: int
) -> Scopes:
    """Draw a tree in which a variable has so many factors below it at most.

    Each factor ties it to between one and ``arity - 1`` new variables.
    """
    scopes: list[tuple[int, ...]] = []
    room, following = {0: branching}, 1
    while following < num_variables:
        parent = int(rng.choice(list(room)))
        count = int(min(rng.integers(1, arity), num_variables - following))
        children = range(following, following + count)
        scopes.append(tuple(rng.permutation([parent, *children]).tolist()))
        room |= dict.fromkeys(children, branching)
        room[parent] -= 1
        room = {variable: left for variable, left in room.items() if left}
        following += count
    return tuple(scopes)


def _sum_up(
    messages: dict[tuple[int, int], np.ndarray],
    log_potentials: Tables,
    variable: int,
    without: int | None = None,
) -> np.ndarray:
    total = log_potentials[variable].astype(float)
    for (factor, other), message in messages.items():
        if other == variable and factor != without:
            total = total + message
    return total


def _answer(
    scope: tuple[int, ...],
    log_table: np.ndarray,
    cavities: dict[tuple[int, int], np.ndarray],
    edge: tuple[int, int],
) -> np.ndarray:
    factor, variable = edge
    joint = log_table.astype(float)
    for axis, other in enumerate(scope):
        if other != variable:
            shape = [-1 if a == axis else 1 for a in range(len(scope))]
            joint = joint + cavities[other, factor].reshape(shape)
    terms = np.moveaxis(joint, scope.index(variable), 0)
    terms = terms.reshape(len(terms), -1)
    sums = np.array([np.logaddexp.reduce(row) for row in terms])
    return sums - sums[0]


def _normalise(log_weights: np.ndarray) -> np.ndarray:
    weights = np.exp(log_weights - log_weights.max())
    return weights / weights.sum()
