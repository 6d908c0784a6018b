"""Simulation-based calibration: is the truth anywhere in its posterior equally often?

Draw latents and data from the model, ask for the posterior given the data, and look where the
true latents stand in it. For the model's own posterior they stand everywhere equally often,
whatever the model; so no reference is needed, and any departure is an error of the posterior (or
of the program). That is necessary, not sufficient: each quantity sees some errors only, which is
why functions of the data are among them.

Given an observation, replicates are drawn that begin like it (posterior calibration, Säilynoja,
Schmitt, Bürkner and Vehtari, Posterior SBC: simulation-based calibration checking conditional on
data, arXiv 2502.03279). They are drawn from the model itself, so that no error of the posterior
under test can hide in them; or, as in that paper, from that posterior, which asks nothing of the
observation but sees only whether the posterior agrees with itself.

Source: Talts, Betancourt, Simpson, Vehtari and Gelman, Validating Bayesian inference algorithms
with simulation-based calibration, 2018, algorithms 1 and 2.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import jax
import numpy as np
from jaxtyping import Float

from bayescmp._types import Key
from bayescmp.auditing.sbc_asking import Subject, ask_subject
from bayescmp.auditing.sbc_continued import draw_from_posterior
from bayescmp.auditing.sbc_density import Density
from bayescmp.auditing.sbc_exact import closed_draws, exact_beliefs
from bayescmp.auditing.sbc_observed import (
    draw_beginning_with,
    observed_steps,
    require_beginning,
)
from bayescmp.auditing.sbc_places import (
    Places,
    place_by_exact,
    place_likelihood,
    place_next,
    place_values,
)
from bayescmp.auditing.sbc_posterior import Beliefs, LatentDraws
from bayescmp.measures.ranks import Uniformity, judge_places
from bayescmp.model import AbstractGenerativeModel
from bayescmp.montecarlo.target import build_target
from bayescmp.oracle import AbstractOracle, Oracle
from bayescmp.records import Batch

QUANTITIES = ("value", "posterior", "likelihood", "next outcome")
"""What can be placed: elements of latents; discrete ones in the order of their exact posterior;
the log likelihood of continuous ones; the outcome that is asked for."""

NUM_REPLICATES = 1_000
"""Replicates that are drawn unless told."""

NUM_CLOSED = 400
"""Draws from closed laws, for quantities whose distribution is not known."""

MODEL, POSTERIOR = "model", "posterior"
"""Where replicates given an observation come from."""


@dataclass(frozen=True)
class SimulatedCalibration:
    """Where the truth stood in the posteriors of replicates.

    Example:
        >>> oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=4))
        >>> found = bc.auditing.simulate_calibration(oracle, key=jax.random.key(1))
        >>> found.names, found.p_value > 0.05
        (('bias', 'log likelihood', 'next outcome'), True)
    """

    names: tuple[str, ...]
    """The quantities."""
    places: Float[np.ndarray, "quantity replicate"]
    """Place of the truth in [0, 1], ties and places within cells drawn by lot."""
    how: str
    """Where the posterior comes from."""
    position: int
    """Question at which it was asked for, from 0."""
    num_observed: int
    """Questions that were observed alike in all replicates; 0 for replicates of the prior."""
    num_draws: int
    """Draws behind each rank, 0 where all laws are exact."""
    thinning: int
    """Every how many draws of a chain one was kept."""
    least_ess: float
    """Effective number of draws that 95 % of replicates exceed; NaN without chains."""
    worst_r_hat: float
    """Split R-hat that 5 % of replicates exceed; NaN without chains."""
    replicates: str = MODEL
    """Where latents and data come from: the model, or the posterior under test."""

    @cached_property
    def found(self) -> tuple[Uniformity, ...]:
        """What was found, for each quantity."""
        return tuple(judge_places(row) for row in self.places)

    @property
    def p_value(self) -> float:
        """The least p-value of any quantity times their number, at most 1 (Bonferroni)."""
        return min(1.0, len(self.names) * min(one.p_value for one in self.found))

    @property
    def coverage_error(self) -> float:
        """The largest coverage error of any quantity, in points."""
        return max(one.coverage_error for one in self.found)

    @property
    def oddest(self) -> str:
        """Name of the quantity with the least p-value."""
        return self.names[int(np.argmin([one.p_value for one in self.found]))]


def simulate_calibration(
    subject: Subject,
    oracle: AbstractOracle | None = None,
    *,
    key: Key,
    num_replicates: int = NUM_REPLICATES,
    position: int | None = None,
    observed: Batch | None = None,
    replicates: Literal["model", "posterior"] = MODEL,
    quantities: Collection[str] = QUANTITIES,
) -> SimulatedCalibration:
    """Check the calibration of a posterior on replicates of a model.

    Exact oracles are asked for probabilities and distribution functions, so that nothing is
    ranked; sampling ones (of chains) run all replicates in one compiled call, thinned to nearly
    independent draws; anything else returns draws or tables of its own. Replicates are
    independent of each other, quantities of one replicate are not.

    Args:
        subject: Oracle; settings of chains to sample the oracle's model with; or a function of a
            batch and a key that returns :class:`~bayescmp.auditing.LatentTable` or
            ``LatentDraws`` by name of the latent.
        oracle: Oracle of the model; the subject by default, where it is one.
        key: Typed key.
        num_replicates: Replicates to draw, at least twenty.
        position: Question at which the posterior is asked for, the last by default. A function
            may condition on more than what is shown then, never on less.
        observed: One sequence with which all replicates begin; as ``batch_from_sites`` makes it
            with ``lengths``. Without it they are drawn from the prior.
        replicates: Where replicates given an observation come from: "model" for exact draws from
            the model, kept where they begin as observed; "posterior" for latents drawn from
            the subject given the observation, with the rest of the sequence drawn given them.
            A function is asked about the observation first, where only the questions that were
            observed count (``batch.supervised``).
        quantities: Which of ``QUANTITIES`` to place, as far as the subject and model have them.

    Returns:
        Where the truth stood, with tests.

    Raises:
        ValueError: If an argument is out of bounds, what is no oracle comes without one, or the
            subject says nothing of what was asked.

    Example:
        >>> oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=4))
        >>> def prior(batch, key):  # has not looked at the data
        ...     draws = np.asarray(jax.random.uniform(key, (500, 99)))
        ...     return {"bias": bc.auditing.LatentDraws(draws)}
        >>> found = bc.auditing.simulate_calibration(
        ...     prior, oracle, key=jax.random.key(0), num_replicates=500)
        >>> found.oddest, found.p_value < 1e-3, found.found[0].p_value > 0.05
        ('log likelihood', True, True)
    """
    oracle = _oracle_of(subject, oracle)
    first = _first_position(oracle.model, observed, replicates)
    position = _check(oracle.model, num_replicates, position, first, quantities)
    draw_key, ask_key, lot_key = jax.random.split(key, 3)
    model, num = oracle.model, num_replicates
    if observed is None:
        batch = model.sample(num, key=draw_key)
    elif replicates == MODEL:
        batch = draw_beginning_with(model, observed, num, key=draw_key)
    else:
        batch = draw_from_posterior(subject, model, observed, num, key=draw_key)
    beliefs = ask_subject(subject, oracle.model, batch, position, key=ask_key)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(lot_key)).tolist())
    places = _place(subject, oracle, beliefs, batch, position, quantities, rng)
    if not places:
        raise ValueError(f"quantities: expected some that the subject has, got {quantities}")
    return SimulatedCalibration(
        names=tuple(places),
        places=np.stack(list(places.values())),
        how=beliefs.how,
        position=position,
        num_observed=0 if observed is None else observed_steps(observed),
        num_draws=beliefs.num_draws,
        thinning=beliefs.thinning,
        least_ess=beliefs.least_ess,
        worst_r_hat=beliefs.worst_r_hat,
        replicates=replicates,
    )


def _place(
    subject: Subject,
    oracle: AbstractOracle,
    beliefs: Beliefs,
    batch: Batch,
    position: int,
    quantities: Collection[str],
    rng: np.random.Generator,
) -> Places:
    """Place the truth by all quantities that there are."""
    places: Places = {}
    if "value" in quantities:
        places |= place_values(beliefs, rng)
    if "posterior" in quantities and isinstance(oracle, Oracle):
        exact = beliefs if subject is oracle else exact_beliefs(oracle, batch, position)
        places |= place_by_exact(beliefs, exact.laws, rng)
    draws = {name: law for name, law in beliefs.laws.items() if isinstance(law, LatentDraws)}
    if isinstance(subject, Oracle) and "likelihood" in quantities:
        draws = closed_draws(subject, batch, position, NUM_CLOSED, rng)
    density = _density(oracle.model, draws, position)
    if density is not None and "likelihood" in quantities:
        places |= place_likelihood(density, draws, batch, rng)
    if "next outcome" in quantities:
        places |= place_next(beliefs, density, batch, position, rng)
    return places


def _density(
    model: AbstractGenerativeModel, draws: dict[str, LatentDraws], position: int
) -> Density | None:
    """Return log densities where there are joint draws of all continuous latents."""
    hidden = set(model.sites) - {site.name for site in model.layout.shown_sites}
    hidden -= {model.layout.outcome.name}
    continuous = {name for name in hidden if model.sites[name].num_values is None}
    if not continuous or not continuous <= set(draws):
        return None
    return Density(build_target(model), position)


def _oracle_of(subject: Subject, oracle: AbstractOracle | None) -> AbstractOracle:
    if oracle is not None:
        return oracle
    if isinstance(subject, AbstractOracle):
        return subject
    raise ValueError("oracle: expected one of the model beside such a subject, got none")


def _first_position(model: AbstractGenerativeModel, observed: Batch | None, replicates: str) -> int:
    """Return the first question that can be asked, which lies past what was observed."""
    if replicates not in (MODEL, POSTERIOR):
        raise ValueError(f"replicates: expected {MODEL!r} or {POSTERIOR!r}, got {replicates!r}")
    if observed is None:
        if replicates == POSTERIOR:
            raise ValueError("replicates: expected 'model' without an observation, got 'posterior'")
        return 0
    # The latents of a posterior's own replicates were drawn at the first of these questions.
    first = require_beginning(model, observed) + (replicates == POSTERIOR)
    if first == model.length:
        raise ValueError(
            f"observed: expected at most {first - 2} questions that count with "
            f"replicates='posterior', got {first - 1}"
        )
    return first


def _check(
    model: AbstractGenerativeModel,
    num_replicates: int,
    position: int | None,
    first: int,
    quantities: Collection[str],
) -> int:
    """Raise a ValueError for what does not fit, and return the position."""
    if num_replicates < 20:
        raise ValueError(f"num_replicates: expected at least 20, got {num_replicates}")
    asked = model.length - 1 if position is None else position
    if not first <= asked < model.length:
        raise ValueError(f"position: expected {first} .. {model.length - 1}, got {position}")
    unknown = sorted(set(quantities) - set(QUANTITIES))
    if unknown or not quantities:
        raise ValueError(f"quantities: expected some of {QUANTITIES}, got {unknown or 'none'}")
    return asked
