"""Counterfactual prompts in which a single shown token is another one, with their exact answers."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from bayescmp.inspection.intervention_cases import Cases
from bayescmp.oracle import AbstractOracle
from bayescmp.program import Site
from bayescmp.records import Batch

NUM_TRIES = 4
"""Changes that are tried of each sequence, of which the first possible one is taken."""


@dataclass(frozen=True)
class Edits:
    """For each case the same prompt but for one token that was shown before its question."""

    inputs: Array
    """What the network reads then."""
    log_p: Float[np.ndarray, "sequence outcome"]
    """Log exact predictive at the question of each case, in nats."""
    at: Bool[np.ndarray, "sequence input_position"]
    """Where the token stands."""
    there: Bool[np.ndarray, " sequence"]
    """Whether a token could be changed; elsewhere the prompt is the same."""


def edit_evidence(cases: Cases, rng: np.random.Generator) -> Edits:
    """Change one token of evidence before each question, so that the prompt stays possible.

    The token is a revealed outcome, or where none is revealed the first thing that is shown at
    an earlier step; it does not stand where the question is asked. Step and value are drawn, and
    of four draws the first is taken up to which everything shown has positive probability.

    Args:
        cases: Sequences and questions.
        rng: Source of steps and values.

    Returns:
        The changed prompts.
    """
    site, oracle = evidence_site(cases), cases.oracle
    inputs, there = np.array(cases.inputs), np.zeros(len(cases.weights), bool)
    log_p = np.array(cases.at_question(np.moveaxis(cases.log_p, -1, 0)).T)
    if site is not None and oracle.certificate.jittable:
        for _ in range(NUM_TRIES):
            batch, may = _try_once(cases, site, rng)
            law, possible = _answer(cases, batch)
            new = may & possible & ~there
            inputs[new], log_p[new] = np.asarray(batch.inputs)[new], law[new]
            there |= new
    at = (inputs != np.asarray(cases.inputs)).reshape(*inputs.shape[:2], -1).any(axis=-1)
    return Edits(jnp.asarray(inputs), log_p, at, there)


def evidence_site(cases: Cases) -> Site | None:
    """Return what is shown step by step and has few values; None where nothing does.

    Args:
        cases: Sequences with their oracle.
    """
    layout = cases.oracle.model.layout
    site = layout.outcome if layout.reveal else layout.query[0] if layout.query else None
    if site is None or site.num_values is None or site.num_values < 2 or len(site.shape) != 1:
        return None
    return site


def _try_once(
    cases: Cases, site: Site, rng: np.random.Generator
) -> tuple[Batch, Bool[np.ndarray, " sequence"]]:
    """Put another value at a step before each question but not where that is asked."""
    model, num = cases.oracle.model, site.num_values or 2
    sites, rows = model.engine_sites(cases.batch), np.arange(len(cases.weights))
    # An outcome that no query follows stands where the next question is asked.
    is_asked_there = model.layout.reveal and not model.layout.query
    before = np.maximum(cases.questions - is_asked_there, 0)
    steps, may = np.floor(rng.random(len(rows)) * before).astype(int), before > 0
    values = np.array(sites[site.name])
    moved = values[rows, steps] - site.lowest + rng.integers(1, num, len(rows))
    values[rows, steps] = np.where(may, site.lowest + moved % num, values[rows, steps])
    return model.batch_from_sites({**sites, site.name: jnp.asarray(values)}), may


def _answer(
    cases: Cases, batch: Batch
) -> tuple[Float[np.ndarray, "sequence outcome"], Bool[np.ndarray, " sequence"]]:
    """Return the exact predictive at each question, and whether what came before is possible."""
    with jax.enable_x64(True):
        log_predictive, log_evidence = _ask(cases.oracle, batch)
    rows, reveals = np.arange(len(cases.weights)), cases.oracle.model.layout.reveal
    last = np.maximum(cases.questions - reveals, 0)
    law = np.asarray(log_predictive, np.float64)[rows, cases.questions]
    known = np.isfinite(np.asarray(log_evidence)[rows, last])
    return law, known & ~np.isnan(law).any(axis=-1)


@eqx.filter_jit
def _ask(oracle: AbstractOracle, batch: Batch) -> tuple[Array, Array]:
    def widen(leaf: Array) -> Array:
        return leaf.astype(jnp.float64) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    reference = oracle(jax.tree.map(widen, batch))
    return reference.log_predictive, reference.log_evidence
