"""Small factor graphs by name, random tables for them, and a judge that lists all settings.

Nothing here imports bayescmp.
"""

from collections.abc import Sequence
from itertools import combinations, product

import numpy as np

Scopes = tuple[tuple[int, ...], ...]
Tables = tuple[np.ndarray, ...]


def chain(length: int) -> Scopes:
    return tuple((i, i + 1) for i in range(length - 1))


def cycle(length: int) -> Scopes:
    return tuple((i, (i + 1) % length) for i in range(length))


def complete(size: int) -> Scopes:
    return tuple(combinations(range(size), 2))


def grid(rows: int, columns: int) -> Scopes:
    number = np.arange(rows * columns).reshape(rows, columns)
    across = zip(number[:, :-1].ravel().tolist(), number[:, 1:].ravel().tolist(), strict=True)
    down = zip(number[:-1].ravel().tolist(), number[1:].ravel().tolist(), strict=True)
    return (*across, *down)


def random_tree(rng: np.random.Generator, num_variables: int) -> Scopes:
    """Draw a tree whose factors tie one variable to one, two or three new ones, or to none."""
    scopes: list[tuple[int, ...]] = []
    next_variable = 1
    while next_variable < num_variables:
        count = int(min(rng.integers(1, 4), num_variables - next_variable))
        scope = [int(rng.integers(next_variable)), *range(next_variable, next_variable + count)]
        scopes.append(tuple(rng.permutation(scope).tolist()))
        next_variable += count
    scopes += [(int(variable),) for variable in rng.integers(num_variables, size=2)]
    return tuple(scopes)


def random_sizes(rng: np.random.Generator, num_variables: int) -> tuple[int, ...]:
    return tuple(rng.integers(1, 5, num_variables).tolist())


def random_tables(
    rng: np.random.Generator,
    scopes: Scopes,
    sizes: Sequence[int],
    *,
    impossible: float = 0.0,
    observed: Sequence[int] = (),
) -> tuple[Tables, Tables]:
    """Draw log tables with some entries impossible, and evidence that names some values."""

    def draw(shape: tuple[int, ...]) -> np.ndarray:
        return np.where(rng.random(shape) < impossible, -np.inf, rng.normal(size=shape))

    log_tables = tuple(draw(tuple(sizes[v] for v in scope)) for scope in scopes)
    log_potentials = [draw((size,)) for size in sizes]
    for variable in observed:
        seen = rng.integers(sizes[variable])
        log_potentials[variable] = np.where(np.arange(sizes[variable]) == seen, 0.0, -np.inf)
    return log_tables, tuple(log_potentials)


def joint_law(scopes: Scopes, log_tables: Tables, log_potentials: Tables) -> np.ndarray:
    """List the weight of every setting; one axis for each variable."""
    sizes = [len(potential) for potential in log_potentials]
    weights = np.zeros(sizes)
    for setting in product(*map(range, sizes)):
        log_weight = sum(potential[x] for potential, x in zip(log_potentials, setting, strict=True))
        for scope, table in zip(scopes, log_tables, strict=True):
            log_weight += table[tuple(setting[variable] for variable in scope)]
        weights[setting] = np.exp(log_weight)
    return weights


def brute_force(
    scopes: Scopes, log_tables: Tables, log_potentials: Tables
) -> tuple[float, tuple[np.ndarray, ...]]:
    """Return the log of the sum over all settings, and each variable's probabilities."""
    weights = joint_law(scopes, log_tables, log_potentials)
    total = weights.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        law = weights / total
        others = [tuple(a for a in range(law.ndim) if a != v) for v in range(law.ndim)]
        return float(np.log(total)), tuple(law.sum(axis=axes) for axes in others)
