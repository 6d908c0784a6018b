"""Sampled answers for a model's questions, with a certificate that states their error."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bayescmp._types import Key
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.montecarlo.batches import estimate_batch, predict_batch, reject_others
from bayescmp.montecarlo.records import MonteCarloReference, Verdict
from bayescmp.montecarlo.sampler import Settings
from bayescmp.montecarlo.smc import SmcSettings
from bayescmp.montecarlo.target import Target, build_target
from bayescmp.oracle import AbstractOracle, Certificate
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
        """Answer every question as if only the last steps had been shown.

        Each question is a target of its own: the law of the continuous latents given what is
        remembered, with what is forgotten and discrete summed out for every draw. Warns if any
        answer cannot be relied on, as :meth:`estimate` does.

        Args:
            batch: Sequences of the oracle's model, any number of batch axes.
            window: Number of last steps that are remembered, at least one.

        Returns:
            Log probabilities in nats.

        Raises:
            ValueError: If ``window`` is less than one, the batch is one of another model or
                inside a compiled function, or a continuous value that is forgotten has a say
                in the law of what is remembered.
        """
        if window < 1:
            raise ValueError(f"window: expected at least 1, got {window}")
        reject_others(self.model, batch)
        answers = predict_batch(
            build_target(self.model, window),
            self.settings,
            batch,
            key=self.key,
            progress=self.progress,
        )
        _warn(answers.verdict)
        return jnp.log(jnp.asarray(answers.mean))


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
