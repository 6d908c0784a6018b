"""Which findings cannot be true together, by the logic of a network of gates."""

from itertools import combinations, product

import numpy as np
from jaxtyping import Bool

from bayescmp.models.belief_network import Gate

Contradiction = tuple[tuple[str, bool], ...]
"""Findings with the values that they cannot have together."""

MAX_NODES = 20
"""Most nodes of a network all of whose worlds are listed."""


def find_contradictions(
    gates: tuple[Gate, ...], findings: tuple[str, ...], most: int = 3
) -> tuple[Contradiction, ...]:
    """List the smallest sets of values of findings that no possible world has.

    A world is possible where every gate can have its value, given its parents': chances do not
    matter, only which of them are zero. Sets that contain a smaller one are left out.

    Args:
        gates: Nodes, parents before their children.
        findings: Names of the nodes that can be told.
        most: Most findings in one set.

    Returns:
        The sets, the smallest first.

    Raises:
        ValueError: If there are too many nodes to list their worlds, or a finding is no node.

    Example:
        >>> from bayescmp.models.contradictions import describe_contradiction, find_contradictions
        >>> gates = Gate("fire", leak=0.1), Gate("smoke", ("fire",), (0.9,))
        >>> found = find_contradictions(gates, ("fire", "smoke"))
        >>> [describe_contradiction(each) for each in found]  # no smoke without fire
        ['smoke and not fire']
    """
    if len(gates) > MAX_NODES:
        raise ValueError(f"gates: expected at most {MAX_NODES} nodes, got {len(gates)}")
    columns = {gate.name: number for number, gate in enumerate(gates)}
    unknown = sorted(set(findings) - set(columns))
    if unknown:
        raise ValueError(f"findings: expected nodes of the network, got {unknown}")
    worlds = np.indices((2,) * len(gates)).reshape(len(gates), -1).T.astype(bool)
    possible = worlds[_are_possible(gates, worlds)]
    seen = np.unique(possible[:, [columns[name] for name in findings]], axis=0)
    found: list[Contradiction] = []
    for size in range(1, most + 1):
        for chosen in combinations(range(len(findings)), size):
            for values in product((True, False), repeat=size):
                names = [findings[index] for index in chosen]
                told = tuple(zip(names, values, strict=True))
                known = any(set(smaller) <= set(told) for smaller in found)
                if not known and not (seen[:, chosen] == values).all(axis=1).any():
                    found.append(told)
    return tuple(found)


def describe_contradiction(contradiction: Contradiction) -> str:
    """Write a contradiction in words, what is true first.

    Args:
        contradiction: Findings with values.

    Returns:
        A text such as ``"smoke and not fire"``.
    """
    ordered = sorted(contradiction, key=lambda told: not told[1])
    return " and ".join(name if value else f"not {name}" for name, value in ordered)


def _are_possible(
    gates: tuple[Gate, ...], worlds: Bool[np.ndarray, "world node"]
) -> Bool[np.ndarray, " world"]:
    """Tell which worlds have a probability above zero."""
    columns = {gate.name: worlds[:, number] for number, gate in enumerate(gates)}
    possible = np.ones(len(worlds), bool)
    for gate in gates:
        is_or = gate.kind == "or"
        # The product in a gate's law shrinks below one, or to zero, where a parent matters.
        shrunk, gone = np.zeros(len(worlds), bool), np.zeros(len(worlds), bool)
        for parent, strength in zip(gate.parents, gate.strengths, strict=True):
            matters = columns[parent] == is_or
            shrunk |= matters & (strength > 0.0)
            gone |= matters & (strength == 1.0)
        true = (shrunk if is_or else ~gone) | (gate.leak > 0.0)
        false = (~gone if is_or else shrunk) & (gate.leak < 1.0)
        possible &= np.where(columns[gate.name], true, false)
    return possible
