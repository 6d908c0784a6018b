"""Ask a predictor about sequences of which outcomes were changed, inside compiled functions."""

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bayescmp.comparison.evaluation import Evaluation, Subject
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.networks.network import logits_at
from bayescmp.oracle import AbstractOracle
from bayescmp.predictors.predictor import AbstractPredictor
from bayescmp.predictors.step_laws import find_step_laws, latent_names, why_no_step_laws
from bayescmp.program import draw_sites

NUM_TRIALS = 4
"""Draws on which steps are exchanged, to see whether their laws go along."""


def ask_about(
    subject: Subject, model: AbstractGenerativeModel, sites: Mapping[str, Array]
) -> Float[Array, "sequence position outcome"]:
    """Ask anything that predicts about given values of shown and asked sites.

    Args:
        subject: Network, other callable, rung of the ladder, or oracle.
        model: Generative model.
        sites: Value of every shown and asked site, with one batch axis.

    Returns:
        Log probabilities [nat], in the precision that holds.
    """
    batch = model.batch_from_sites(sites)
    if isinstance(subject, AbstractOracle):
        return subject(batch).log_predictive
    if isinstance(subject, AbstractPredictor):
        return subject.log_predictive(batch)
    logits = logits_at(subject, batch.inputs, jnp.asarray(model.asked_positions))
    return jax.nn.log_softmax(logits, axis=-1)


def can_be_compiled(subject: Subject) -> bool:
    """Tell whether every oracle in a subject can be called inside a compiled function."""
    parts = jax.tree.leaves(subject, is_leaf=lambda part: isinstance(part, AbstractOracle))
    return all(p.certificate.jittable for p in parts if isinstance(p, AbstractOracle))


def first_sites(evaluation: Evaluation, num_sequences: int) -> dict[str, Array]:
    """Return the shown and asked sites of the first few sequences."""
    return evaluation.model.engine_sites(evaluation.first(num_sequences).batch)


def why_not_rewritable(subject: Subject, model: AbstractGenerativeModel) -> str | None:
    """Say why outcomes of a sequence cannot be changed and asked about again.

    Args:
        subject: What is asked.
        model: Generative model.

    Returns:
        The reason in one line; None where they can.
    """
    if not model.layout.reveal:
        return "outcomes are never shown, so that none can be learnt from"
    if model.layout.edges:
        return "outcomes are shown as real numbers, of which a law over bins draws none"
    if not can_be_compiled(subject):
        return "the predictor samples its answers and cannot be asked often"
    return None


def why_not_exchangeable(model: AbstractGenerativeModel) -> str | None:
    """Say why the steps of a model may not be put into another order.

    Given the latents, a step's law must be that of its own query alone. That the laws of
    exchanged steps are the exchanged laws is tried on a few draws.

    Args:
        model: Generative model.

    Returns:
        The reason in one line; None where they may.

    Example:
        >>> from bayescmp.auditing.asking import why_not_exchangeable
        >>> why_not_exchangeable(bc.models.beta_bernoulli(length=3)) is None
        True
    """
    missing = why_no_step_laws(model)
    if missing is not None:
        return f"steps have no laws of their own: expected {missing}"
    steps, layout = find_step_laws(model), model.layout
    names = [*(site.name for site in layout.query), layout.outcome.name]

    def laws(sites: dict[str, Array], order: Array) -> Array:
        latents = {name: sites[name] for name in latent_names(model)}
        return steps(latents, {name: sites[name][order] for name in names})[0]

    plain = jnp.arange(model.length)
    turned = jnp.roll(plain, 1)
    ask = eqx.filter_jit(jax.vmap(laws, in_axes=(0, None)))
    keys = jax.random.split(jax.random.key(0), NUM_TRIALS)
    drawn = jax.jit(jax.vmap(lambda key: draw_sites(model.program, key=key)))(keys)
    there, then = (np.exp(np.asarray(ask(drawn, order))) for order in (plain, turned))
    # Laws in 32 bits agree to some 1e-6; other laws differ by far more on some draw.
    if not np.allclose(there[:, np.asarray(turned)], then, atol=1e-4):
        return "the law of a step depends on its place or on the steps before it"
    return None
