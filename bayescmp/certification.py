"""Hold an oracle against brute-force enumeration of its program."""

from dataclasses import dataclass

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array

from bayescmp.derivation import derive_oracle
from bayescmp.engine import AbstractEngine
from bayescmp.exact.enumeration import EnumerationEngine
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.oracle import sequences_at_once

TOLERANCE = 1e-10
"""Largest accepted deviation in nats: float64 sums of up to a million terms round to
about 1e6 * 2.2e-16 = 2e-10 at worst and 1e-13 typically."""


@dataclass(frozen=True)
class CertificationResult:
    """The outcome of holding an oracle against enumeration.

    Example:
        >>> result = CertificationResult("coin", "beta-Bernoulli", 64, 4_096, 3e-9, TOLERANCE)
        >>> result.passed
        False
    """

    model_name: str
    engine: str
    num_sequences: int
    num_settings: int
    largest_deviation: float
    """Largest difference of a log predictive or a log evidence, in nats."""
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the deviation is within the tolerance."""
        return self.largest_deviation <= self.tolerance

    def __str__(self) -> str:
        """Return one line for people."""
        verdict = "passed" if self.passed else "FAILED"
        return (
            f"{self.model_name}: {self.engine} against enumeration of {self.num_settings:,} "
            f"settings on {self.num_sequences} sequences: largest deviation "
            f"{self.largest_deviation:.2e} nats (tolerance {self.tolerance:.0e}): {verdict}"
        )


def certify(
    model: AbstractGenerativeModel, *, num_sequences: int = 64, seed: int = 0
) -> CertificationResult:
    """Compare a model's oracle with brute-force enumeration of its NumPyro program.

    Sequences are drawn from the program, and everything is computed in float64:
    log predictives and log evidences at every position, and windows of one and two.

    Args:
        model: Model small enough to enumerate.
        num_sequences: Sequences to draw.
        seed: Seed of the draws.

    Returns:
        The largest deviation found.

    Raises:
        ValueError: If the model is too large to enumerate, or there is no sequence.

    Example:
        >>> result = certify(bc.models.Bijection(size=3), num_sequences=4)
        >>> result.passed, result.largest_deviation < 1e-12
        (True, True)
    """
    oracle = derive_oracle(model)
    judge = EnumerationEngine(model.program, model.layout)
    with jax.enable_x64(True):
        batch = eqx.filter_jit(model.sample)(num_sequences, key=jax.random.key(seed))
        sites = model.engine_sites(batch)
        ours, theirs = (_answers(engine, sites) for engine in (oracle.engine, judge))
        deviation = max(_deviation(a, b) for a, b in zip(ours, theirs, strict=True))
    return CertificationResult(
        model_name=model.title(),
        engine=oracle.certificate.engine,
        num_sequences=num_sequences,
        num_settings=judge.num_settings,
        largest_deviation=deviation,
        tolerance=TOLERANCE,
    )


def _answers(engine: AbstractEngine, sites: dict[str, Array]) -> tuple[Array, ...]:
    """Return predictives, evidences and the predictives of two windows."""

    def answer(example: dict[str, Array]) -> tuple[Array, ...]:
        reference = engine(example)
        windows = (engine.windowed(example, window) for window in (1, 2))
        return reference.log_predictive, reference.log_evidence, *windows

    num_sequences = next(iter(sites.values())).shape[0]
    at_once = min(num_sequences, sequences_at_once(engine) or num_sequences)
    return jax.jit(lambda: jax.lax.map(answer, sites, batch_size=at_once))()


def _deviation(first: Array, second: Array) -> float:
    """Return the largest difference, taking equal infinities as equal; NaN stays NaN."""
    a, b = np.asarray(first), np.asarray(second)
    difference = np.where(a == b, 0.0, np.abs(np.where(a == b, 0.0, a) - np.where(a == b, 0.0, b)))
    return float(np.max(difference))
