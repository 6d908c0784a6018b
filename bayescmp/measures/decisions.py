"""Answer now, ask for the truth, or look at one more observation first?

A question has exact probabilities ``p(y)`` and, where one more observation ``b`` may be bought,
the joint law ``p(y, b)``. A predictor decides by its own ``q(y)`` and ``q(y, b)``, as if they
were right; what its decision is worth is an expectation under the exact law. The decision by
the exact law itself is the Bayes-optimal one, and no other is worth more.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

ACTIONS = ("answer", "ask", "retrieve")
"""What may be done, in the order in which ties are resolved."""

TIE = 1e-6
"""Differences of expected utility below this, relative to the stake, count as none."""

Laws = Float[np.ndarray, "question outcome"]
Joints = Float[np.ndarray, "question outcome next"]
Values = Float[np.ndarray, "question action"]


@dataclass(frozen=True)
class Utilities:
    """What each end is worth, in one unit of the caller's choice."""

    right: float = 1.0
    """A right answer."""
    wrong: float = 0.0
    """A wrong answer."""
    ask_cost: float = 0.3
    """Price of being told the truth, which is then answered."""
    retrieve_cost: float = 0.02
    """Price of one more observation, after which to answer or to ask."""

    def __post_init__(self) -> None:
        """Check that right is worth more than wrong and that nothing is given away."""
        numbers = (self.right, self.wrong, self.ask_cost, self.retrieve_cost)
        if not np.all(np.isfinite(numbers)):
            raise ValueError(f"utilities: expected finite numbers, got {numbers}")
        if self.right <= self.wrong:
            raise ValueError(f"right: expected more than wrong, {self.wrong}, got {self.right}")
        for name in ("ask_cost", "retrieve_cost"):
            if getattr(self, name) < 0.0:
                raise ValueError(f"{name}: expected at least 0, got {getattr(self, name)}")

    @property
    def stake(self) -> float:
        """What being right is worth above being wrong."""
        return self.right - self.wrong


ROUNDING = 64 * np.finfo(np.float64).eps
"""Share of a utility that sums over some tens of outcomes may lose."""


@dataclass(frozen=True)
class Decided:
    """What a predictor decides, and what that is worth under the exact law."""

    action: Int[np.ndarray, " question"]
    """Index of what it does, in :data:`ACTIONS`."""
    utility: Float[np.ndarray, " question"]
    """What that is worth."""
    best_action: Int[np.ndarray, " question"]
    """What the exact law says to do."""
    best_utility: Float[np.ndarray, " question"]
    """What that is worth."""
    answer_utility: Float[np.ndarray, " question"]
    """What always answering the predictor's likeliest outcome is worth."""

    @property
    def regret(self) -> Float[np.ndarray, " question"]:
        """Best utility minus that of the predictor's decision; 0 where they differ by rounding."""
        return lose(self.best_utility, self.utility)


def lose(
    best: Float[np.ndarray, "*question"], utility: Float[np.ndarray, "*question"]
) -> Float[np.ndarray, "*question"]:
    """Subtract what a decision is worth from the best there is, and leave rounding out.

    Args:
        best: Utility of the Bayes-optimal decision.
        utility: Utility of the decision that was taken.

    Returns:
        The loss; 0 where the two differ by rounding, NaN where either is.

    Example:
        >>> from bayescmp.measures.decisions import lose
        >>> lose(np.array([0.3, 0.5]), np.array([0.1 + 0.2, 0.25]))
        array([0.  , 0.25])
    """
    gap = best - utility
    return np.where(np.abs(gap) <= ROUNDING * np.maximum(np.abs(best), 1.0), 0.0, gap)


def score_decisions(
    p: Laws,
    q: Laws,
    utilities: Utilities,
    joint_p: Joints | None = None,
    joint_q: Joints | None = None,
) -> Decided:
    """Score a predictor's decisions in expected utility under the exact law.

    Args:
        p: Exact probabilities of the asked outcome.
        q: The predictor's.
        utilities: What each end is worth.
        joint_p: Exact probabilities of the outcome and the observation that may be bought;
            none where nothing can be bought.
        joint_q: The predictor's. Where it holds an observation for impossible, it goes on as
            if it had not seen it.

    Returns:
        Decisions and their worth.

    Raises:
        ValueError: If shapes differ, or only one of the joint laws is given.

    Source: Howard, Information value theory, IEEE Transactions on Systems Science and
    Cybernetics 2 (1966).

    Example:
        >>> from bayescmp.measures.decisions import Utilities, score_decisions
        >>> p, q = np.array([[0.5, 0.5]]), np.array([[0.9, 0.1]])  # far too sure
        >>> done = score_decisions(p, q, Utilities(ask_cost=0.3))
        >>> done.action, done.best_action, done.regret.round(3)
        (array([0]), array([1]), array([0.2]))
    """
    _require_shapes(p, q, joint_p, joint_q)
    own = _values(q, q, joint_q, joint_q, utilities)
    truth = _values(p, q, joint_p, joint_q, utilities)
    best = _values(p, p, joint_p, joint_p, utilities)
    action, best_action = _choose(own, utilities), _choose(best, utilities)
    rows = np.arange(len(p))
    return Decided(action, truth[rows, action], best_action, best[rows, best_action], truth[:, 0])


def _values(
    p: Laws, q: Laws, joint_p: Joints | None, joint_q: Joints | None, u: Utilities
) -> Values:
    """Return what each action is worth under ``p`` to somebody who believes ``q``."""
    answer = _expect(p, q, u)
    columns = [answer, np.full_like(answer, u.right - u.ask_cost)]
    if joint_p is not None and joint_q is not None:
        columns.append(_retrieve(joint_p, joint_q, q, u) - u.retrieve_cost)
    return np.stack(columns, axis=-1)


def _expect(
    p: Float[np.ndarray, "*rows outcome"], q: Float[np.ndarray, "*rows outcome"], u: Utilities
) -> Float[np.ndarray, "*rows"]:
    """Return what answering the likeliest outcome by ``q`` is worth; ties are a draw."""
    tied = q >= q.max(axis=-1, keepdims=True) * (1.0 - TIE)
    right = np.where(tied, p, 0.0).sum(axis=-1) / tied.sum(axis=-1)
    return u.wrong + u.stake * right


def _retrieve(
    joint_p: Joints, joint_q: Joints, q: Laws, u: Utilities
) -> Float[np.ndarray, " question"]:
    """Return what buying an observation is worth, before its price."""
    seen_p, seen_q = (np.moveaxis(joint, 1, 2) for joint in (joint_p, joint_q))
    mass_p, mass_q = seen_p.sum(axis=-1), seen_q.sum(axis=-1)
    with np.errstate(invalid="ignore"):  # impossible observations are replaced or weigh nothing
        after_p, after_q = seen_p / mass_p[..., None], seen_q / mass_q[..., None]
    after_q = np.where(mass_q[..., None] > 0.0, after_q, q[:, None, :])
    after_p = np.where(mass_p[..., None] > 0.0, after_p, 0.0)
    believed, true = _expect(after_q, after_q, u), _expect(after_p, after_q, u)
    told = u.right - u.ask_cost
    return (mass_p * np.where(believed >= told - TIE * u.stake, true, told)).sum(axis=-1)


def _choose(values: Values, u: Utilities) -> Int[np.ndarray, " question"]:
    """Take the first action whose value is the largest, up to rounding."""
    return np.argmax(values >= values.max(axis=-1, keepdims=True) - TIE * u.stake, axis=-1)


def _require_shapes(p: Laws, q: Laws, joint_p: Joints | None, joint_q: Joints | None) -> None:
    if p.ndim != 2 or p.shape != q.shape:
        raise ValueError(f"q: expected the shape of p, {p.shape}, got {q.shape}")
    if (joint_p is None) != (joint_q is None):
        raise ValueError("joint_q: expected both joint laws or none, got one")
    if joint_p is None or joint_q is None:
        return
    if joint_p.shape[:2] != p.shape or joint_p.shape != joint_q.shape:
        raise ValueError(
            f"joint_p: expected shape {p.shape} and an axis more, the same for both, got "
            f"{joint_p.shape} and {joint_q.shape}"
        )
