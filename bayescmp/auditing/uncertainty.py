"""Uncertainty: how much of it could more data take away, and what baselines make of the rest."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np
import scipy.special
import xarray as xr
from jaxtyping import Bool, Float

from bayescmp._types import Key
from bayescmp.auditing.judged import Judged
from bayescmp.auditing.latent_split import EntropySplit, find_split
from bayescmp.auditing.own_uncertainty import OwnEpistemic, measure_own
from bayescmp.auditing.prediction_sets import LEVEL, SETS, PredictionSets, measure_sets
from bayescmp.comparison.tally import BITS
from bayescmp.measures.temperature import (
    Temperature,
    apply_temperature,
    fit_temperature,
    temperature_p_value,
)
from bayescmp.measures.uncertainty import NO_SHRINKAGE, Shrinkage, fit_shrinkage
from bayescmp.results.tree import make_dataset

SPLIT_OF = ("exact", "predictor")
"""Whose epistemic uncertainty: the exact law's, or the predictor's entropy above what is
aleatoric."""

FUTURES = (
    "the rest of the sequence is drawn from the predictor's own laws, and the question is put off "
    "to its end"
)
"""How futures came about."""

FIRST_FITTED = 4
"""Observations from which on the fall of epistemic uncertainty is fitted, where there are more
than twice as many; from 1 on otherwise."""


@dataclass(frozen=True)
class Uncertainty:
    """A predictor's uncertainty on drawn sequences; information in nats.

    Its expected log loss is ``aleatoric + epistemic + KL(p || q)``, exactly.
    """

    split: EntropySplit | str
    """Split of the exact predictive's entropy, or why there is none."""
    entropy: Float[np.ndarray, "sequence position"]
    """Of the predictor."""
    counts: Bool[np.ndarray, "sequence position"]
    """Which questions count."""
    kl: Float[np.ndarray, "sequence position"]
    """``KL(p || q)``."""
    shrinkage: tuple[Shrinkage, Shrinkage]
    """How epistemic uncertainty falls with observations, for :data:`SPLIT_OF`."""
    own: OwnEpistemic | str
    """What it expects its own future to teach it, or why that cannot be asked."""
    temperature: Temperature
    """Fitted on the first half of the sequences; the p-value is that of all."""
    tempered_loss: tuple[float, float]
    """Mean log loss above the exact one, on the other half: as it is, and tempered."""
    sets: PredictionSets
    """Conformal sets, its own, and exact ones."""


def split_uncertainty(judged: Judged, *, key: Key, num_futures: int = 16) -> Uncertainty:
    """Split a predictor's uncertainty, and hold it against recalibrated baselines.

    Sequences are the independent units throughout: standard errors are over sequences, the
    temperature's test sums each sequence's score, and conformal sets are fitted to one random
    question of each sequence.

    Args:
        judged: Predictor on drawn sequences.
        key: Typed key of futures, random shares and halves.
        num_futures: Futures for each sequence that is gone on with; 0 to do without.

    Returns:
        What was found.

    Raises:
        ValueError: If there are fewer than eight sequences.

    Example:
        >>> oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=4))
        >>> judged = bc.auditing.judge(oracle, oracle, key=jax.random.key(0), num_sequences=64)
        >>> found = split_uncertainty(judged, key=jax.random.key(1), num_futures=0)
        >>> found.split.how, found.temperature.p_value > 0.01
        ('closed form: what is asked is one number of a Dirichlet law', True)
    """
    num = len(judged.log_q)
    if num < 8:
        raise ValueError(f"judged: expected at least 8 sequences, got {num}")
    key_own, key_sets = jax.random.split(key)
    split = find_split(judged.evaluation.oracle, judged.evaluation.batch, judged.log_p)
    entropy = scipy.special.entr(np.exp(judged.log_q)).sum(axis=-1)
    terms = scipy.special.rel_entr(np.exp(judged.log_p), np.exp(judged.log_q))
    own: OwnEpistemic | str = "no futures of its own: none were asked for"
    if num_futures:
        own = measure_own(judged, key=key_own, num_futures=num_futures)
    temperature, losses = _temper(judged, num // 2)
    return Uncertainty(
        split=split,
        entropy=entropy,
        counts=judged.counts,
        kl=terms.sum(axis=-1),
        shrinkage=_fit_both(split, entropy, judged.counts),
        own=own,
        temperature=temperature,
        tempered_loss=losses,
        sets=measure_sets(judged, key=key_sets),
    )


def _fit_both(
    split: EntropySplit | str,
    entropy: Float[np.ndarray, "sequence position"],
    counts: Bool[np.ndarray, "sequence position"],
) -> tuple[Shrinkage, Shrinkage]:
    """Fit the fall of epistemic uncertainty where every sequence counts."""
    num_seen = np.arange(entropy.shape[1])
    first = FIRST_FITTED if len(num_seen) > 2 * FIRST_FITTED else 1
    fitted = (num_seen >= first) & counts.all(axis=0)
    if isinstance(split, str) or fitted.sum() < 2:
        return NO_SHRINKAGE, NO_SHRINKAGE
    rows = (split.epistemic, entropy - split.aleatoric)
    exact, own = (fit_shrinkage(row[:, fitted], num_seen[fitted]) for row in rows)
    return exact, own


def _temper(judged: Judged, half: int) -> tuple[Temperature, tuple[float, float]]:
    """Fit a temperature on one half; return it and excess losses on the other."""
    log_q, came, counts = judged.log_q, judged.outcomes, judged.counts
    fitted = fit_temperature(log_q[:half], came[:half], counts[:half])
    p_value = temperature_p_value(log_q, came, counts)
    temperature = Temperature(**{**vars(fitted), "p_value": p_value})
    if not np.isfinite(fitted.value):
        return temperature, (np.inf, np.inf)
    tempered = apply_temperature(log_q[half:], fitted.value)
    exact = _log_loss(judged.log_p[half:], came[half:], counts[half:])
    before, after = (
        _log_loss(laws, came[half:], counts[half:]) - exact for laws in (log_q[half:], tempered)
    )
    return temperature, (before, after)


def _log_loss(
    laws: Float[np.ndarray, "sequence position outcome"],
    came: np.ndarray,
    counts: Bool[np.ndarray, "sequence position"],
) -> float:
    return -float(np.take_along_axis(laws, came[..., None], axis=-1)[..., 0][counts].mean())


def uncertainty_group(results: Sequence[Uncertainty]) -> xr.Dataset:
    """Gather the uncertainty of some predictors of one model.

    Args:
        results: One for each seed, on as many positions.

    Returns:
        The group ``/uncertainty``; the split and futures are left out where there are none.
    """
    rows = [_row(one) for one in results]
    arrays: dict[str, object] = {
        name: np.stack([np.asarray(row[name]) for row in rows])
        for name in rows[0]
        if all(name in row for row in rows)
    }
    first = results[0]
    coords: dict[str, object] = {"split_of": SPLIT_OF, "prediction_set": SETS}
    if isinstance(first.own, OwnEpistemic) and "own_epistemic" in arrays:
        coords["own_question"] = first.own.places
    attrs = {
        "how": first.split if isinstance(first.split, str) else first.split.how,
        "futures": first.own if isinstance(first.own, str) else FUTURES,
        "level": LEVEL,
    }
    return make_dataset("/uncertainty", arrays, coords, attrs)


def _row(one: Uncertainty) -> dict[str, object]:
    """Return one seed's variables, in bits."""
    row: dict[str, object] = {
        "entropy": BITS * _mean(one.entropy, one.counts),
        "excess": BITS * _mean(one.kl, one.counts),
        "temperature": one.temperature.value,
        "temperature_low": one.temperature.low,
        "temperature_high": one.temperature.high,
        "temperature_p_value": one.temperature.p_value,
        "excess_log_loss": BITS * one.tempered_loss[0],
        "tempered_excess_log_loss": BITS * one.tempered_loss[1],
        "set_coverage": one.sets.coverage,
        "set_coverage_error": one.sets.coverage_error,
        "set_size": one.sets.size,
        "set_coverage_by_position": one.sets.coverage_by_position,
        "coverage_p_value": one.sets.p_value,
    }
    if isinstance(one.split, EntropySplit):
        for name in ("aleatoric", "epistemic"):
            values = getattr(one.split, name)
            row[name] = BITS * _mean(values, one.counts)
            row[f"{name}_error"] = BITS * _error(values, one.counts)
        row["shrinkage"] = np.array([fit.exponent for fit in one.shrinkage])
        row["shrinkage_low"] = np.array([fit.low for fit in one.shrinkage])
        row["shrinkage_high"] = np.array([fit.high for fit in one.shrinkage])
    if isinstance(one.own, OwnEpistemic):
        row["own_epistemic"], row["own_error"] = BITS * one.own.own, BITS * one.own.own_error
        row["own_exact"], row["own_exact_error"] = (
            BITS * one.own.exact,
            BITS * one.own.exact_error,
        )
    return row


def _mean(
    values: Float[np.ndarray, "sequence position"], counts: Bool[np.ndarray, "sequence position"]
) -> Float[np.ndarray, " position"]:
    """Average over the sequences that count; NaN where none does."""
    number = counts.sum(axis=0)
    with np.errstate(invalid="ignore"):
        return np.where(counts, values, 0.0).sum(axis=0) / number


def _error(
    values: Float[np.ndarray, "sequence position"], counts: Bool[np.ndarray, "sequence position"]
) -> Float[np.ndarray, " position"]:
    """Return the standard error of that mean."""
    number, mean = counts.sum(axis=0), _mean(values, counts)
    with np.errstate(invalid="ignore", divide="ignore"):
        squares = np.where(counts, (values - mean) ** 2, 0.0).sum(axis=0)
        return np.sqrt(squares / (number - 1) / number)
