"""Is an amortised posterior calibrated? From its draws and the truths alone.

Simulations are the units: parameters drawn from the prior, data from the model, and draws from the
posterior under test given the data. Nothing else is asked, so that the draws may come from any
program. Where features of the data are given, there are two more tests, which alone can see a
posterior that ignores its data: a reference that was learnt from them, and L-C2ST, which also says
for which data the posterior is off, and in which direction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.special
from jaxtyping import Float

from bayescmp._types import Key
from bayescmp.auditing.questions import numpy_generator
from bayescmp.measures.coverage import density_levels
from bayescmp.measures.local_c2st import LocalC2ST, local_c2st
from bayescmp.measures.ranks import Uniformity, judge_places, place_ranks, rank_draws
from bayescmp.measures.tarp import (
    Tarp,
    blind_references,
    check_ranks,
    learn_reference,
    tarp_ranks,
)

DENSEST, LEARNT, BLIND = "highest density", "learnt reference", "blind reference"
"""Orders in which sets take parameters in."""

LEAST_SIMULATIONS = 40
"""Simulations that are needed: half of them are learnt from."""

NUM_PLACES = 8
"""Simulations at which the local test asks; the last ones, which it does not learn from."""

MOST_COORDINATES = 40
"""Parameters and features that the local test takes, for it looks at all their products."""

Draws = Float[np.ndarray, "simulation draw parameter"]
Truths = Float[np.ndarray, "simulation parameter"]
Features = Float[np.ndarray, "simulation feature"]
LogDensities = tuple[Float[np.ndarray, "simulation draw"], Float[np.ndarray, " simulation"]]


@dataclass(frozen=True)
class LocalAudit:
    """Where a posterior is off, by the classifier's odds on each draw."""

    features: Float[np.ndarray, "place feature"]
    """Features of the data that are asked about."""
    test: LocalC2ST
    shift: Float[np.ndarray, "place parameter"]
    """How far the classifier moves the mean of each parameter, in standard deviations of the draws:
    positive where truths are larger than the posterior says."""
    width: Float[np.ndarray, "place parameter"]
    """Factor by which it widens the standard deviation: above one where the posterior is too
    narrow."""


@dataclass(frozen=True)
class PosteriorAudit:
    """What was found of an amortised posterior.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> truths = rng.normal(size=(400, 1))
        >>> draws = rng.normal(size=(400, 100, 1)) * 0.5  # the prior, too narrow
        >>> found = bc.auditing.audit_posterior(draws, truths, key=jax.random.key(0))
        >>> found.p_value < 0.01, found.oddest, found.ranks[0].interval_error < -10
        (True, 'rank of parameter 0', True)
    """

    names: tuple[str, ...]
    """The parameters."""
    places: Float[np.ndarray, "parameter simulation"]
    """Place of the truth among the draws, in [0, 1], ties and places within cells by lot."""
    num_draws: int
    """Draws behind each rank."""
    sets: dict[str, Tarp]
    """Coverage of sets by their order: highest density where densities are given, nearest to a
    reference that was learnt where features are given, nearest to a blind one."""
    local: LocalAudit | None
    """Where it is off; None without features."""

    @cached_property
    def ranks(self) -> tuple[Uniformity, ...]:
        """Whether places are uniform, for each parameter."""
        return tuple(judge_places(row) for row in self.places)

    @property
    def tests(self) -> dict[str, float]:
        """P-value of each test by its name."""
        pairs = zip(self.names, self.ranks, strict=True)
        found = {f"rank of {name}": one.p_value for name, one in pairs}
        found |= {name: one.p_value for name, one in self.sets.items()}
        return found if self.local is None else found | {"local test": self.local.test.p_value}

    @property
    def p_value(self) -> float:
        """The least p-value times the number of tests, at most 1 (Bonferroni)."""
        return min(1.0, len(self.tests) * min(self.tests.values()))

    @property
    def oddest(self) -> str:
        """Name of the test with the least p-value."""
        return min(self.tests, key=lambda name: self.tests[name])


def audit_posterior(
    draws: Draws,
    truths: Truths,
    *,
    key: Key,
    names: Sequence[str] | None = None,
    features: Features | None = None,
    log_densities: LogDensities | None = None,
    num_places: int = NUM_PLACES,
) -> PosteriorAudit:
    """Audit the draws of any posterior: ranks, coverage of sets, and where it is off.

    Args:
        draws: Nearly independent draws from the posterior of each simulation.
        truths: The parameters that each simulation was made from, drawn from the prior.
        key: Typed key of lots, references and exchanges.
        names: Names of the parameters; ``parameter 0`` and so on by default.
        features: Numbers that describe the data of each simulation, chosen without a look at the
            truth: summaries, or what the posterior itself is given.
        log_densities: Log density of each draw and of the truth under the posterior [nat], for
            highest-density sets.
        num_places: Simulations at which the local test asks, at least one.

    Returns:
        What was found, with simulations as the units.

    Raises:
        TypeError: If names come as one string.
        ValueError: If shapes do not fit each other, a number is not finite, there are fewer than 40
            simulations, or more than 40 parameters and features for the local test.

    Example:
        >>> rng = np.random.default_rng(1)
        >>> truths = rng.normal(size=(600, 1))
        >>> data = truths + rng.normal(size=(600, 1))  # the posterior is N(data / 2, 1 / 2)
        >>> draws = data[:, None] / 2 + np.sqrt(0.5) * rng.normal(size=(600, 200, 1))
        >>> options = {"features": data, "key": jax.random.key(0)}
        >>> bc.auditing.audit_posterior(draws, truths, **options).p_value > 0.05
        True
    """
    own_names = _require(draws, truths, names, features, log_densities, num_places)
    rng = numpy_generator(key)
    ranked = (rank_draws(truths[:, k], draws[..., k], rng) for k in range(truths.shape[1]))
    places = np.stack([place_ranks(ranks, draws.shape[1], rng) for ranks in ranked])
    return PosteriorAudit(
        names=own_names,
        places=places,
        num_draws=draws.shape[1],
        sets=_cover(draws, truths, features, log_densities, rng),
        local=None if features is None else _locate(draws, truths, features, num_places, rng),
    )


def _cover(
    draws: Draws,
    truths: Truths,
    features: Features | None,
    log_densities: LogDensities | None,
    rng: np.random.Generator,
) -> dict[str, Tarp]:
    """Check the coverage of every kind of set that can be made."""
    num, found = len(truths), {}
    if log_densities is not None:
        found[DENSEST] = check_ranks(density_levels(*log_densities, rng.random(num)))
    if features is not None:
        half = num // 2
        learnt = learn_reference(features[:half], truths[:half], features[half:])
        uniforms = rng.random(num - half)
        found[LEARNT] = check_ranks(tarp_ranks(draws[half:], truths[half:], learnt, uniforms))
    blind = blind_references(truths, rng.random(truths.shape))
    return found | {BLIND: check_ranks(tarp_ranks(draws, truths, blind, rng.random(num)))}


def _locate(
    draws: Draws, truths: Truths, features: Features, num_places: int, rng: np.random.Generator
) -> LocalAudit:
    """Learn to tell truths from draws, and ask at the last simulations."""
    learnt, asked = slice(0, -num_places), slice(-num_places, None)
    there = draws[asked]
    test = local_c2st(
        truths[learnt], draws[learnt, 0], features[learnt], there, features[asked], rng=rng
    )
    # With the answer d = 1/2 + lean, truths are d / (1 - d) times as dense as draws are.
    odds = scipy.special.logit(np.clip(test.lean + 0.5, 1e-6, 1.0 - 1e-6))
    weights = scipy.special.softmax(odds, axis=1)[..., None]
    spread = there.std(axis=1)
    mean = np.sum(weights * there, axis=1)
    second = np.sqrt(np.sum(weights * (there - mean[:, None]) ** 2, axis=1))
    scale = np.where(spread > 0.0, spread, np.nan)
    return LocalAudit(features[asked], test, (mean - there.mean(axis=1)) / scale, second / scale)


def _require(
    draws: Draws,
    truths: Truths,
    names: Sequence[str] | None,
    features: Features | None,
    log_densities: LogDensities | None,
    num_places: int,
) -> tuple[str, ...]:
    """Raise a ValueError for arrays that do not fit each other; return the names."""
    _require_axes(draws, truths, features, log_densities)
    num, num_parameters = truths.shape
    if draws.shape[::2] != truths.shape or not draws.shape[1]:
        raise ValueError(
            f"draws: expected {num} simulations of {num_parameters} parameters, got shape "
            f"{draws.shape}"
        )
    if num < LEAST_SIMULATIONS:
        raise ValueError(f"truths: expected at least {LEAST_SIMULATIONS} simulations, got {num}")
    if not 1 <= num_places <= num // 2:
        raise ValueError(f"num_places: expected 1 to {num // 2}, got {num_places}")
    arrays = {"draws": draws, "truths": truths, "features": features}
    for name, array in arrays.items():
        if array is not None and not np.isfinite(array).all():
            raise ValueError(f"{name}: expected finite numbers, got others")
    if log_densities is not None:
        if any(np.isnan(one).any() for one in log_densities):
            raise ValueError("log_densities: expected numbers, got NaN")
        shapes = tuple(one.shape for one in log_densities)
        if shapes != (draws.shape[:2], (num,)):
            expected = (draws.shape[:2], (num,))
            raise ValueError(f"log_densities: expected shapes {expected}, got {shapes}")
    if features is not None:
        _require_features(features, num, num_parameters)
    if isinstance(names, str):
        raise TypeError(f"names: expected one for each parameter, got {names!r}")
    own = tuple(names or (f"parameter {k}" for k in range(num_parameters)))
    if len(own) != num_parameters:
        raise ValueError(f"names: expected {num_parameters}, got {len(own)}")
    return own


def _require_axes(
    draws: Draws, truths: Truths, features: Features | None, log_densities: LogDensities | None
) -> None:
    """Raise a ValueError for what is no array, or one with other axes."""
    axes = {
        "draws": (draws, ("simulation", "draw", "parameter")),
        "truths": (truths, ("simulation", "parameter")),
        "features": (features, ("simulation", "feature")),
    }
    for name, (array, words) in axes.items():
        if array is not None and getattr(array, "ndim", None) != len(words):
            got = getattr(array, "shape", type(array).__name__)
            raise ValueError(f"{name}: expected an array ({', '.join(words)}), got {got}")
    if log_densities is not None and not (
        isinstance(log_densities, tuple) and len(log_densities) == 2
    ):
        raise ValueError(
            "log_densities: expected a tuple of two arrays, for draws and truths, got "
            f"{type(log_densities).__name__}"
        )


def _require_features(features: Features, num: int, num_parameters: int) -> None:
    """Raise a ValueError for features that the local test cannot take."""
    if len(features) != num:
        raise ValueError(f"features: expected {num} rows, got {len(features)}")
    if features.shape[1] + num_parameters > MOST_COORDINATES:
        raise ValueError(
            f"features: expected at most {MOST_COORDINATES - num_parameters} beside "
            f"{num_parameters} parameters, got {features.shape[1]}; summarise them first"
        )
