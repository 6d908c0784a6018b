"""Sampled answers for a model's questions, with a certificate that states their error."""

import math
import warnings
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float
from tqdm.auto import tqdm

from bayescmp._types import Key
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.montecarlo.records import MonteCarloReference, Verdict
from bayescmp.montecarlo.sampler import Settings, sample_answers
from bayescmp.montecarlo.smc import SmcSettings
from bayescmp.montecarlo.target import Target, build_target
from bayescmp.oracle import AbstractOracle, Certificate, hold_after_end, reject_impossible
from bayescmp.records import Batch, Reference

NUM_TRIALS = 4
"""Sequences on which the error in an oracle's certificate is measured."""


class MonteCarloWarning(UserWarning):
    """Sampled answers that cannot be relied on."""


class MonteCarloOracle(AbstractOracle):
    """Sampled answers to a model's questions, for drawn or supplied sequences.

    The same key and the same batch give the same answers. They are computed in 64 bits, one
    sequence after another, and never inside a compiled function.
    """

    model: AbstractGenerativeModel
    settings: Settings = eqx.field(static=True)
    key: Key
    """Seeds all draws; each sequence gets a key of its own by its place in the batch."""
    certificate: Certificate = eqx.field(static=True)
    progress: bool = eqx.field(static=True, default=True)
    """Whether to show progress on a terminal."""

    def __call__(self, batch: Batch) -> Reference:
        """Answer every question of every sequence.

        Args:
            batch: Sequences of the oracle's model, any number of batch axes.

        Returns:
            The reference, with the batch's axes in front.

        Raises:
            ValueError: If the batch is one of another model or inside a compiled function, or
                a sequence is impossible under the model.
        """
        return self.estimate(batch).reference

    def estimate(self, batch: Batch) -> MonteCarloReference:
        """Answer every question of every sequence, and say how far to trust each answer.

        Warns if R-hat or the effective number of draws of any answer is out of bounds.

        Args:
            batch: Sequences of the oracle's model, any number of batch axes.

        Returns:
            The answers with their errors, as NumPy arrays with the batch's axes in front.

        Raises:
            ValueError: As above.
        """
        answers = estimate_batch(
            build_target(self.model), self.settings, batch, key=self.key, progress=self.progress
        )
        _warn(answers.verdict)
        return answers

    def certify(self, answers: MonteCarloReference) -> Certificate:
        """State the error of particular answers, instead of that of trial sequences.

        Args:
            answers: Answers of this oracle.

        Returns:
            The certificate.
        """
        return _certificate(build_target(self.model), self.settings, answers.verdict)

    def windowed(self, batch: Batch, window: int) -> Float[Array, "*sequence position outcome"]:
        """Refuse: what stands before a window would have to be sampled as well.

        Args:
            batch: Sequences of the oracle's model.
            window: Number of last steps.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            f"window: expected an exact engine, got {self.certificate.engine}, which answers "
            "from whole prefixes only; leave out rungs that need a window"
        )


def derive_by_sampling(
    model: AbstractGenerativeModel,
    *,
    settings: Settings | None = None,
    key: Key | None = None,
    num_trials: int = NUM_TRIALS,
    progress: bool = True,
) -> MonteCarloOracle:
    """Answer a model's questions by sampling its continuous latents.

    Discrete latents are summed exactly for every draw. The error in the certificate is that
    of a few sequences drawn from the model.

    Args:
        model: Generative model.
        settings: Sampler and how much work it does; ``SmcSettings()`` by default, which answers
            all questions of a sequence in one pass.
        key: Typed key, ``jax.random.key(0)`` by default.
        num_trials: Sequences on which the error is measured.
        progress: Whether to show progress on a terminal.

    Returns:
        The oracle.

    Raises:
        ValueError: If the model has no continuous latent, or its latents cannot be sampled.

    Example:
        >>> quick = SmcSettings(num_particles=256)
        >>> oracle = derive_by_sampling(bc.models.beta_bernoulli(length=2), settings=quick)
        >>> oracle.certificate.exact, oracle.certificate.error < 0.1
        (False, True)
    """
    settings = SmcSettings() if settings is None else settings
    key = jax.random.key(0) if key is None else key
    target = build_target(model)
    trials = model.sample(num_trials, key=jax.random.fold_in(key, 0))
    answers = estimate_batch(
        target, settings, trials, key=jax.random.fold_in(key, 1), progress=progress
    )
    _warn(answers.verdict)
    certificate = _certificate(target, settings, answers.verdict)
    return MonteCarloOracle(
        model=model, settings=settings, key=key, certificate=certificate, progress=progress
    )


def estimate_batch(
    target: Target, settings: Settings, batch: Batch, *, key: Key, progress: bool
) -> MonteCarloReference:
    """Answer every question of every sequence, one sequence after another.

    Not all at once: the chains or draws of one sequence, vectorised, already fill a processor.
    Batched over sequences too, no-U-turn trees all grow until the longest of them is done, and
    a move that one sequence needs is computed for all. For 32 sequences of a coin of length 6
    on two cores that took 1.4 (8 at once) and 1.9 times (32) the processor time for chains,
    1.6 and 5.5 times for sequential Monte Carlo, and the answers did not change.

    Args:
        target: Law to sample from.
        settings: Sampler, and how much work it does.
        batch: Sequences of the model, any number of batch axes.
        key: Typed key.
        progress: Whether to show progress on a terminal.

    Returns:
        The answers as NumPy arrays, with the batch's axes in front.

    Raises:
        ValueError: If the batch is one of another model or inside a compiled function, or a
            sequence is impossible under the model.
    """
    _reject_others(target.model, batch)
    axes = batch.outcomes.shape[:-1]
    numbers = range(math.prod(axes))
    answers = []
    with jax.enable_x64(True):
        sites = target.in_64_bits(target.model.engine_sites(batch))
        flat = {name: x.reshape(-1, *x.shape[len(axes) :]) for name, x in sites.items()}
        for number in tqdm(numbers, "sampling", disable=None if progress else True, leave=False):
            example = {name: x[number] for name, x in flat.items()}
            own = jax.random.fold_in(key, number)
            answers.append(sample_answers(target, settings, example, key=own))
    found = jax.tree.map(lambda *x: np.stack(x).reshape(*axes, *x[0].shape), *answers)
    with jax.enable_x64(True):
        hold = partial(hold_after_end, supervised=batch.supervised)
        held = jax.tree.map(lambda x: np.asarray(hold(jnp.asarray(x))), found)
    reject_impossible(held.reference)
    return held


def _reject_others(model: AbstractGenerativeModel, batch: Batch) -> None:
    """Check that a batch is the model's, and its values known."""
    layout = model.layout
    shown = {site.name for site in layout.kept_sites}
    if isinstance(batch.outcomes, Tracer):
        raise ValueError(
            "batch: expected known values, got one inside a compiled function; sampled answers "
            "are computed beforehand"
        )
    if batch.outcomes.shape[-1:] != (layout.length,) or set(batch.shown) != shown:
        raise ValueError(
            f"batch: expected {layout.length} positions that show {sorted(shown)}, as "
            f"{model.title()} does, got {batch.outcomes.shape[-1]} that show {sorted(batch.shown)}"
        )


def _certificate(target: Target, settings: Settings, verdict: Verdict) -> Certificate:
    treatment = dict.fromkeys(target.latents.names, "sampled") | target.engine.treatment()
    return Certificate(
        engine="monte carlo",
        exact=False,
        reason=f"{settings.describe()}; {verdict}",
        sites=tuple(treatment.items()),
        error=verdict.error,
        jittable=False,
    )


def _warn(verdict: Verdict) -> None:
    if not verdict.is_reliable:
        warnings.warn(f"sampled answers: {verdict}", MonteCarloWarning, stacklevel=3)
