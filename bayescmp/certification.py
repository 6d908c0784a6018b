"""Hold an oracle against a judge of another kind."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float

from bayescmp.derivation import derive_oracle
from bayescmp.engine import AbstractEngine
from bayescmp.exact.enumeration import EnumerationEngine
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.oracle import Oracle, sequences_at_once
from bayescmp.selection import (
    MAX_QUADRATURE_ERROR,
    EngineName,
    choose_engine,
    continuous_latents,
)

if TYPE_CHECKING:
    from bayescmp.montecarlo import SamplingCertification

TOLERANCE = 1e-10
"""Largest accepted deviation in nats: float64 sums of up to a million terms round to
about 1e6 * 2.2e-16 = 2e-10 at worst and 1e-13 typically."""

NUM_DRAWN = 4_096
"""Sequences over which drawn outcomes are counted."""

MOST_ERRORS = 5.0
"""Standard errors within which counts of drawn outcomes agree with their probabilities."""


@dataclass(frozen=True)
class CertificationResult:
    """The outcome of holding an oracle against a judge.

    Example:
        >>> result = CertificationResult("coin", "conjugate", "quadrature", 64, 3e-9, TOLERANCE)
        >>> result.passed
        False
    """

    model_name: str
    engine: str
    judge: str
    """What the oracle was compared with, for people."""
    num_sequences: int
    largest_deviation: float
    """Largest difference of a log predictive or a log evidence."""
    tolerance: float
    unit: str = "nats"

    @property
    def passed(self) -> bool:
        """Whether the deviation is within the tolerance."""
        return self.largest_deviation <= self.tolerance

    def __str__(self) -> str:
        """Return one line for people."""
        verdict = "passed" if self.passed else "FAILED"
        return (
            f"{self.model_name}: {self.engine} against {self.judge} on {self.num_sequences} "
            f"sequences: largest deviation {self.largest_deviation:.2e} {self.unit} (tolerance "
            f"{self.tolerance:.0e}): {verdict}"
        )


@dataclass(frozen=True)
class _Judge:
    """An engine of another kind than the oracle's."""

    engine: AbstractEngine
    name: str
    tolerance: float = TOLERANCE


def certify(
    model: AbstractGenerativeModel, *, num_sequences: int = 64, seed: int = 0
) -> "CertificationResult | SamplingCertification":
    """Compare a model's oracle with a judge of another kind, in float64.

    The judge is the first of these that can reach the model and is not the oracle's own
    engine: brute-force enumeration of the NumPyro program, quadrature that errs by less than
    1e-6 nats, elimination or a forward pass (for oracles that do not read the program the same
    way), long NUTS chains; and where there is none, how often each outcome is drawn. Compared
    are log predictives and log evidences at every position, and windows of one and two where
    both answer them, on sequences drawn from the program.

    Args:
        model: Generative model, best at a small size.
        num_sequences: Sequences to draw.
        seed: Seed of the draws.

    Returns:
        The largest deviation found, with its tolerance.

    Raises:
        ValueError: If the model has no exact oracle, or there is no sequence.

    Example:
        >>> result = certify(bc.models.Bijection(size=3), num_sequences=4)
        >>> result.passed, result.largest_deviation < 1e-12
        (True, True)
    """
    oracle = derive_oracle(model)
    if not isinstance(oracle, Oracle):
        raise ValueError(f"model: expected one with an exact oracle, got {model.title()}")
    judge = _find_judge(model, oracle)
    if judge is not None:
        return _compare(model, oracle, judge, num_sequences, seed)
    sampled = _sample(model, oracle, seed)
    return _count_outcomes(model, oracle, seed) if sampled is None else sampled


def _sample(
    model: AbstractGenerativeModel, oracle: Oracle, seed: int
) -> "SamplingCertification | None":
    """Hold an oracle against long chains, or return None where they cannot be run."""
    if not continuous_latents(model):
        return None
    # BlackJAX takes a while to import.
    from bayescmp.montecarlo import certify_by_sampling
    from bayescmp.montecarlo.target import build_target

    try:
        build_target(model)
    except ValueError:  # its latents cannot be sampled apart from what they depend on
        return None
    return certify_by_sampling(
        model, oracle.engine, name=oracle.certificate.engine, seed=seed, progress=False
    )


def _find_judge(model: AbstractGenerativeModel, oracle: Oracle) -> _Judge | None:
    """Return the most simple-minded engine that reaches the model and is not its own."""
    own = oracle.certificate.engine
    if own not in ("enumeration", "quadrature"):
        try:
            brute = EnumerationEngine(model.program, model.layout)
        except ValueError:
            brute = None
        if brute is not None:
            return _Judge(brute, f"enumeration of {brute.num_settings:,} settings")
    # Those that read the program as tables would repeat each other's mistakes in reading it.
    others: tuple[EngineName, ...] = ("quadrature", "elimination", "forward")
    for name in () if own in others else others:
        try:
            choice = choose_engine(model, name)
        except ValueError:
            continue
        if choice.error <= MAX_QUADRATURE_ERROR:
            return _Judge(choice.engine, name, max(TOLERANCE, choice.error))
    return None


def _compare(
    model: AbstractGenerativeModel, oracle: Oracle, judge: _Judge, num_sequences: int, seed: int
) -> CertificationResult:
    """Compare two engines on drawn sequences."""
    with jax.enable_x64(True):
        batch = eqx.filter_jit(model.sample)(num_sequences, key=jax.random.key(seed))
        sites = model.engine_sites(batch)
        windows = all(_answers_windows(e, sites) for e in (oracle.engine, judge.engine))
        ours, theirs = (_answers(e, sites, windows) for e in (oracle.engine, judge.engine))
        deviation = max(_deviation(a, b) for a, b in zip(ours, theirs, strict=True))
    return CertificationResult(
        model_name=model.title(),
        engine=oracle.certificate.engine,
        judge=judge.name,
        num_sequences=num_sequences,
        largest_deviation=deviation,
        tolerance=judge.tolerance,
    )


def _answers_windows(engine: AbstractEngine, sites: dict[str, Array]) -> bool:
    """Tell whether an engine can forget, which some do for short sequences alone."""
    example = {name: value[0] for name, value in sites.items()}
    try:
        eqx.filter_eval_shape(lambda x: engine.windowed(x, 1), example)
    except ValueError:
        return False
    return True


def _answers(engine: AbstractEngine, sites: dict[str, Array], windows: bool) -> tuple[Array, ...]:
    """Return predictives, evidences and the predictives of two windows."""

    def answer(example: dict[str, Array]) -> tuple[Array, ...]:
        reference = engine(example)
        short = (engine.windowed(example, window) for window in (1, 2) if windows)
        return reference.log_predictive, reference.log_evidence, *short

    num_sequences = next(iter(sites.values())).shape[0]
    fits = sequences_at_once(engine, windowed=windows)
    at_once = min(num_sequences, num_sequences if fits is None else fits)
    return jax.jit(lambda: jax.lax.map(answer, sites, batch_size=at_once))()


def _deviation(first: Array, second: Array) -> float:
    """Return the largest difference, taking equal infinities as equal; NaN stays NaN."""
    a, b = np.asarray(first), np.asarray(second)
    difference = np.where(a == b, 0.0, np.abs(np.where(a == b, 0.0, a) - np.where(a == b, 0.0, b)))
    return float(np.max(difference))


def _count_outcomes(
    model: AbstractGenerativeModel, oracle: Oracle, seed: int
) -> CertificationResult:
    """Hold predictives against how often each outcome is drawn."""
    batch = eqx.filter_jit(model.sample)(NUM_DRAWN, key=jax.random.key(seed))
    law = np.exp(np.asarray(eqx.filter_jit(lambda o, b: o(b).log_predictive)(oracle, batch)))
    return CertificationResult(
        model_name=model.title(),
        engine=oracle.certificate.engine,
        judge="drawn outcomes",
        num_sequences=NUM_DRAWN,
        largest_deviation=count_deviation(
            law, np.asarray(batch.outcomes), revealed=model.layout.reveal
        ),
        tolerance=MOST_ERRORS,
        unit="standard errors",
    )


def count_deviation(
    law: Float[np.ndarray, "sequence position outcome"], outcomes: np.ndarray, *, revealed: bool
) -> float:
    """Return how far counts of drawn outcomes are from their probabilities.

    At each position and outcome the sum of ``w (1[drawn] - p)`` has mean zero and variance
    ``sum w^2 p (1 - p)`` for every weight that is known before the draw: here one, ``p``
    itself, and whether the outcome before was a certain one. By Bernstein's inequality the sum
    exceeds ``5 (sd + 5 / 3)`` less than once in 100,000 times, however rare the outcome is.

    Args:
        law: Predicted probabilities.
        outcomes: Drawn outcomes, indices from 0, for each sequence and position.
        revealed: Whether each outcome is known to the questions after it.

    Returns:
        The largest sum in units of ``sd + 5 / 3``.

    Example:
        >>> law, outcomes = np.full((900, 1, 2), 0.5), np.zeros((900, 1), int)
        >>> count_deviation(law, outcomes, revealed=True) > 5.0  # heads never came
        True
    """
    drawn = np.eye(law.shape[-1])[outcomes]
    weights = [np.ones_like(law), law]
    if revealed:
        before = np.pad(outcomes[:, :-1], ((0, 0), (1, 0)), constant_values=-1)
        weights += [(before == v)[..., None] * np.ones_like(law) for v in range(law.shape[-1])]
    worst = 0.0
    for weight in weights:
        total = np.abs(np.sum(weight * (drawn - law), axis=0))
        error = np.sqrt(np.sum(weight**2 * law * (1.0 - law), axis=0))
        worst = max(worst, float(np.max(total / (error + MOST_ERRORS / 3.0))))
    return worst
