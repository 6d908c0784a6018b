"""Ask, retrieve or answer: what a predictor's decisions are worth under the exact law."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from bayescmp.auditing.asking import ask_about, first_sites, why_not_rewritable
from bayescmp.auditing.judged import Judged
from bayescmp.comparison.evaluation import Subject
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.measures.decisions import ACTIONS, Decided, Utilities, lose, score_decisions
from bayescmp.measures.interval import Interval, mean_interval
from bayescmp.results.tree import make_dataset

MOST_ANSWERS = 16_384
"""Most changed sequences that a predictor is asked about, to learn what it would retrieve."""

LEVEL = 0.95
"""Coverage of the intervals over sequences."""

PerPosition = Float[np.ndarray, "sequence position"]


@dataclass(frozen=True)
class Decisions:
    """What a predictor decides at each question, and what that is worth; in utilities.

    NaN where a question does not count.
    """

    utilities: Utilities
    """What each end is worth."""
    how: str
    """What may be retrieved, or why nothing may, in one sentence."""
    utility: PerPosition
    """Worth of its decision under the exact law."""
    best_utility: PerPosition
    """Worth of the Bayes-optimal decision."""
    answer_utility: PerPosition
    """Worth of always answering its likeliest outcome."""
    share: Float[np.ndarray, "best_action action"]
    """Share of questions by what the exact law says to do and what it does."""

    @property
    def regret(self) -> PerPosition:
        """What its decisions lose."""
        return lose(self.best_utility, self.utility)

    @property
    def mean_regret(self) -> Interval:
        """Mean over questions, with an interval over the sequences that ask any."""
        asked = ~np.isnan(self.regret).all(axis=1)
        return mean_interval(np.nanmean(self.regret[asked], axis=1), LEVEL)


def balance_utilities(judged: Judged) -> Utilities:
    """Choose a price of asking at which there is something to decide.

    A price above the largest risk or below the smallest decides every question in advance. It
    is the median over questions of the exact risk ``1 - max p``, rounded to tenths and from 0.1
    to 0.9: a property of the process, the same for all predictors.

    Args:
        judged: Predictor on drawn sequences.

    Returns:
        Utilities with that price, and the others as they are.

    Example:
        >>> oracle = bc.derive_oracle(bc.models.Bijection(size=4))
        >>> judged = bc.auditing.judge(oracle, oracle, key=jax.random.key(0), num_sequences=8)
        >>> balance_utilities(judged).ask_cost  # one in four, three or two: the median is 2/3
        0.7
    """
    risk = 1.0 - np.exp(judged.log_p.max(axis=-1))[judged.counts]
    return Utilities(ask_cost=float(np.clip(np.round(np.median(risk), 1), 0.1, 0.9)))


def score_decisions_of(
    judged: Judged, *, utilities: Utilities | None = None, most_answers: int = MOST_ANSWERS
) -> Decisions:
    """Let a predictor answer, ask or retrieve, and score it by the exact law.

    To ask is to be told the truth. To retrieve is to be shown the outcome of the next step
    before answering, or asking, after all; what that may be, and what would follow from it,
    a predictor says itself: ``q(y_t, y_t+1 | s_t) = q(y_t | s_t) q(y_t+1 | s_t, y_t)``. Only so
    many sequences take part as that is affordable for. The last step has no next.

    Args:
        judged: Predictor on drawn sequences.
        utilities: What each end is worth; :func:`balance_utilities` by default.
        most_answers: Most changed sequences to ask about.

    Returns:
        Decisions and their worth.

    Example:
        >>> oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=4))
        >>> judged = bc.auditing.judge(oracle, oracle, key=jax.random.key(0), num_sequences=32)
        >>> float(np.abs(score_decisions_of(judged).regret).max()) < 1e-6
        True
    """
    utilities = balance_utilities(judged) if utilities is None else utilities
    model, oracle = judged.evaluation.model, judged.evaluation.oracle
    why_not = why_not_rewritable(judged.subject, model) or why_not_rewritable(oracle, model)
    num = len(judged.log_q)
    if why_not is not None:
        how = f"nothing can be retrieved: {why_not}"
        parts = [_decide(judged, num, at, utilities) for at in range(model.length)]
        return _gather(judged, num, how, utilities, parts)
    each = max(1, (model.length - 1) * model.num_outcomes)
    num = min(num, max(8, most_answers // each))
    sites = first_sites(judged.evaluation, num)
    own, exact = (_follow(one, model, sites) for one in (judged.subject, oracle))
    parts = [
        _decide(judged, num, at, utilities, exact[at], own[at]) for at in range(model.length - 1)
    ]
    parts.append(_decide(judged, num, model.length - 1, utilities))
    how = f"retrieved is the outcome of the next step, on {num:,} sequences; the last has no next"
    return _gather(judged, num, how, utilities, parts)


def _follow(
    subject: Subject, model: AbstractGenerativeModel, sites: dict[str, Array]
) -> Float[np.ndarray, "position sequence outcome next"]:
    """Return the next step's law after each outcome of a step, for all steps but the last."""
    if model.length < 2:
        num = next(iter(sites.values())).shape[0]
        return np.zeros((0, num, model.num_outcomes, model.num_outcomes))
    return np.asarray(_follow_all(subject, model, sites), np.float64)


@eqx.filter_jit
def _follow_all(subject: Subject, model: AbstractGenerativeModel, sites: dict[str, Array]) -> Array:
    asked = model.layout.outcome
    values = sites[asked.name]

    def one(pair: tuple[Array, Array]) -> Array:
        position, outcome = pair
        changed = values.at[:, position].set((outcome + asked.lowest).astype(values.dtype))
        laws = ask_about(subject, model, {**sites, asked.name: changed})
        return jnp.exp(laws[:, position + 1])

    position, outcome = jnp.divmod(
        jnp.arange((model.length - 1) * model.num_outcomes), model.num_outcomes
    )
    laws = jax.lax.map(one, (position, outcome))
    split = laws.reshape(model.length - 1, model.num_outcomes, *laws.shape[1:])
    return jnp.moveaxis(split, 1, 2)


def _decide(
    judged: Judged,
    num: int,
    position: int,
    utilities: Utilities,
    after_p: Float[np.ndarray, "sequence outcome next"] | None = None,
    after_q: Float[np.ndarray, "sequence outcome next"] | None = None,
) -> Decided:
    """Score the decisions at one position."""
    p, q = (np.exp(laws[:num, position]) for laws in (judged.log_p, judged.log_q))
    joints = [
        # What follows an impossible outcome is no law, and weighs nothing.
        None if after is None else np.where(law[..., None] > 0.0, law[..., None] * after, 0.0)
        for law, after in ((p, after_p), (q, after_q))
    ]
    return score_decisions(p, q, utilities, *joints)


def _gather(
    judged: Judged, num: int, how: str, utilities: Utilities, parts: Sequence[Decided]
) -> Decisions:
    """Put the positions side by side, with NaN where a question does not count."""
    counts = judged.counts[:num]

    def stack(name: str) -> Any:
        return np.stack([getattr(part, name) for part in parts], axis=1)

    actions, best = stack("action")[counts], stack("best_action")[counts]
    share = np.zeros((len(ACTIONS), len(ACTIONS)))
    np.add.at(share, (best, actions), 1.0 / counts.sum())
    utility, best_utility, answer = (
        np.where(counts, stack(name), np.nan)
        for name in ("utility", "best_utility", "answer_utility")
    )
    return Decisions(utilities, how, utility, best_utility, answer, share)


def decisions_group(results: Sequence[Decisions]) -> xr.Dataset:
    """Gather the decisions of some predictors of one model.

    Args:
        results: One for each seed, with the same utilities.

    Returns:
        The group ``/decisions``.

    Raises:
        ValueError: If utilities differ.
    """
    if any(one.utilities != results[0].utilities for one in results):
        raise ValueError(
            "results: expected the same utilities for all, got "
            f"{[one.utilities for one in results]}; give utilities="
        )
    means = {
        name: np.stack([_mean(getattr(one, name)) for one in results])
        for name in ("utility", "best_utility", "answer_utility", "regret")
    }
    intervals = [one.mean_regret for one in results]
    arrays: dict[str, object] = {
        **means,
        "regret_error": np.stack([_error(one.regret) for one in results]),
        "share": np.stack([one.share for one in results]),
        "mean_regret": np.array([one.mean for one in intervals]),
        "mean_regret_low": np.array([one.low for one in intervals]),
        "mean_regret_high": np.array([one.high for one in intervals]),
    }
    attrs = {"utilities": asdict(results[0].utilities), "how": results[0].how, "level": LEVEL}
    return make_dataset("/decisions", arrays, {"action": ACTIONS, "best_action": ACTIONS}, attrs)


def _mean(values: PerPosition) -> Float[np.ndarray, " position"]:
    """Average over sequences; NaN where no question counts."""
    there = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(there, values, 0.0).sum(axis=0) / there.sum(axis=0)


def _error(values: PerPosition) -> Float[np.ndarray, " position"]:
    """Return the standard error of that mean."""
    there, mean = ~np.isnan(values), _mean(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        number = there.sum(axis=0)
        squares = np.where(there, (values - mean) ** 2, 0.0).sum(axis=0)
        return np.sqrt(squares / (number - 1) / number)
