"""Chains of computational mechanics, whose optimal predictors are known; next token asked."""

import equinox as eqx
import numpy as np

from bayescmp.models.labelled_chain import AbstractLabelledChain, Labelled, require_length


class Mess3(AbstractLabelledChain):
    """Three states and three tokens whose beliefs fill a fractal in the simplex.

    State ``i`` stays with probability ``y = 1 - 2x`` and goes to each other state with
    ``x``; on the way it emits the number of the state it goes to with probability ``a``,
    and each other number with ``b = (1 - a) / 2``: ``T[s][i, j] = (a if s == j else b)
    (y if i == j else x)``. So ``T[0] = [[ay, bx, bx], [ax, by, bx], [ax, bx, by]]``.

    Two settings are in use: ``x = 0.05, a = 0.85`` (the default) in the paper below, and
    ``x = 0.15, a = 0.6`` in the code that its first author published (epsilon-transformers).

    Source: Shai, Marzen, Teixeira, Oldenziel and Riechers, "Transformers represent belief
    state geometry in their residual stream", arXiv 2405.15943, appendix on Mess3; the
    process is from Marzen and Crutchfield, "Nearly maximally predictive features and their
    dimensions", Physical Review E 95 (2017), 051301.

    Example:
        >>> Mess3().num_outcomes, Mess3(x=0.15, a=0.6).title()
        (3, 'Mess3 (x = 0.15, a = 0.6)')
    """

    x: float = eqx.field(static=True)
    a: float = eqx.field(static=True)
    num_steps: int = eqx.field(static=True)

    def __init__(self, x: float = 0.05, a: float = 0.85, length: int = 10) -> None:
        """Describe the process.

        Args:
            x: Probability of going to each of the other states, above 0 and at most 0.5.
            a: Probability of emitting the number of the next state, from 0 to 1.
            length: Number of tokens in a sequence, at least one.

        Raises:
            ValueError: If a number is out of range.
        """
        if not 0.0 < x <= 0.5:
            raise ValueError(f"x: expected a number above 0 and at most 0.5, got {x}")
        _require_probability("a", a)
        require_length(length)
        self.x, self.a, self.num_steps = float(x), float(a), length

    def labelled(self) -> Labelled:
        """Return ``T[token][state, next state]``."""
        same = np.eye(3, dtype=bool)
        move = np.where(same, 1.0 - 2.0 * self.x, self.x)
        emit = np.where(same, self.a, (1.0 - self.a) / 2.0)
        return emit[:, None, :] * move[None, :, :]

    def title(self) -> str:
        """Return the name for tables."""
        return f"Mess3 (x = {self.x:g}, a = {self.a:g})"


class RRXOR(AbstractLabelledChain):
    """Two fair coins and their exclusive or, over and over, begun anywhere.

    States: 0 before the first coin, 1 and 2 after a first coin of 0 and 1, 3 and 4 where
    the exclusive or must be 0 and 1. Which of three tokens comes next has to be inferred.

    Source: Crutchfield and Feldman, "Regularities unseen, randomness observed", Chaos 13
    (2003), arXiv cond-mat/0102181; Shai et al., arXiv 2405.15943, appendix on RRXOR, with
    states named S, 0, 1, F and T.

    Example:
        >>> RRXOR(length=12).num_outcomes
        2
    """

    num_steps: int = eqx.field(static=True)

    def __init__(self, length: int = 10) -> None:
        """Describe the process by the number of tokens in a sequence, at least one."""
        require_length(length)
        self.num_steps = length

    def labelled(self) -> Labelled:
        """Return ``T[token][state, next state]``."""
        edges = [(0, 0, 1, 0.5), (1, 0, 2, 0.5), (0, 1, 3, 0.5), (1, 1, 4, 0.5)]
        edges += [(0, 2, 4, 0.5), (1, 2, 3, 0.5), (0, 3, 0, 1.0), (1, 4, 0, 1.0)]
        return _from_edges(edges, num_symbols=2, num_states=5)

    def title(self) -> str:
        """Return the name for tables."""
        return "random-random-XOR"


class GoldenMean(AbstractLabelledChain):
    """Random bits without two zeros in a row; one token says all about the state.

    State 0 emits a one with probability ``p`` and stays, or a zero and goes to state 1,
    which emits a one and goes back.

    Source: Crutchfield and Feldman, arXiv cond-mat/0102181, section on the golden mean.

    Example:
        >>> np.round(GoldenMean(p=0.5).closed_form().initial, 6)
        array([0.666667, 0.333333])
    """

    p: float = eqx.field(static=True)
    num_steps: int = eqx.field(static=True)

    def __init__(self, p: float = 0.5, length: int = 10) -> None:
        """Describe the process by ``p`` (from 0 to 1) and the number of tokens."""
        _require_probability("p", p)
        require_length(length)
        self.p, self.num_steps = float(p), length

    def labelled(self) -> Labelled:
        """Return ``T[token][state, next state]``."""
        edges = [(1, 0, 0, self.p), (0, 0, 1, 1.0 - self.p), (1, 1, 0, 1.0)]
        return _from_edges(edges, num_symbols=2, num_states=2)

    def title(self) -> str:
        """Return the name for tables."""
        return f"golden mean (p = {self.p:g})"


class EvenProcess(AbstractLabelledChain):
    """Random bits whose ones come in runs of even length; no window tells the state for sure.

    State 0 emits a zero with probability ``p`` and stays, or a one and goes to state 1,
    which emits a one and goes back.

    Source: Crutchfield and Feldman, arXiv cond-mat/0102181, section on the even process.

    Example:
        >>> EvenProcess(p=0.5).title()
        'even process (p = 0.5)'
    """

    p: float = eqx.field(static=True)
    num_steps: int = eqx.field(static=True)

    def __init__(self, p: float = 0.5, length: int = 10) -> None:
        """Describe the process by ``p`` (from 0 to 1) and the number of tokens."""
        _require_probability("p", p)
        require_length(length)
        self.p, self.num_steps = float(p), length

    def labelled(self) -> Labelled:
        """Return ``T[token][state, next state]``."""
        edges = [(0, 0, 0, self.p), (1, 0, 1, 1.0 - self.p), (1, 1, 0, 1.0)]
        return _from_edges(edges, num_symbols=2, num_states=2)

    def title(self) -> str:
        """Return the name for tables."""
        return f"even process (p = {self.p:g})"


def _from_edges(
    edges: list[tuple[int, int, int, float]], *, num_symbols: int, num_states: int
) -> Labelled:
    """Fill matrices from ``(token, state, next state, probability)``."""
    labelled = np.zeros((num_symbols, num_states, num_states))
    for symbol, state, following, probability in edges:
        labelled[symbol, state, following] = probability
    return labelled


def _require_probability(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name}: expected a probability, got {value}")
