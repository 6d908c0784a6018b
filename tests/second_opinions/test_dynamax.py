"""Hidden Markov chains against dynamax.

uv run --with dynamax pytest tests/second_opinions/test_dynamax.py -n0
"""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bayescmp as bc
from bayescmp.exact.chains.smoothing import smooth
from bayescmp.models import HiddenMarkov
from bayescmp.records import Batch, Reference

NUM_SEQUENCES, NUM_STATES, NUM_SYMBOLS, LENGTH = 16, 4, 3, 40

ROUNDING = 1e-9
"""Both sides sum 40 steps in 64 bits, each of them off by about 1e-15 of a probability that
may be as small as 1e-4."""

# Its dependencies warn of their own old age when they are imported.
pytestmark = [pytest.mark.second_opinion, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def inference() -> Any:
    """Return dynamax's module, or skip."""
    return pytest.importorskip(
        "dynamax.hidden_markov_model.inference",
        reason="dynamax is missing: uv run --with dynamax pytest tests/second_opinions",
    )


@cache
def answers() -> tuple[Batch, Reference]:
    model = HiddenMarkov(NUM_STATES, NUM_SYMBOLS, LENGTH)
    with jax.enable_x64(True):
        batch = model.sample(NUM_SEQUENCES, key=jax.random.key(0))
        return batch, bc.derive_oracle(model)(batch)


@cache
def logs() -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return ``log p(z_0)``, and transitions and likelihoods of every sequence."""
    batch, _ = answers()
    given, query = batch.shown, np.asarray(batch.shown["symbol"])
    emission = np.asarray(given["emission"])
    seen = np.stack([rows[:, row].T for rows, row in zip(emission, query, strict=True)])
    with jax.enable_x64(True):
        initial = jnp.full(NUM_STATES, -np.log(NUM_STATES))
        return initial, jnp.log(given["transition"]), jnp.log(jnp.asarray(seen))


def test_filter_and_evidence(inference: Any) -> None:
    _, found = answers()
    initial, transition, seen = logs()
    with jax.enable_x64(True):
        run = jax.jit(jax.vmap(lambda t, x: inference.hmm_filter(jnp.exp(initial), jnp.exp(t), x)))
        theirs = run(transition, seen)
    np.testing.assert_allclose(np.exp(found.log_predictive), theirs.filtered_probs, atol=ROUNDING)
    np.testing.assert_allclose(found.log_evidence[:, -1], theirs.marginal_loglik, rtol=ROUNDING)


def test_smoother(inference: Any) -> None:
    initial, transition, seen = logs()
    with jax.enable_x64(True):
        ours = jax.jit(jax.vmap(lambda t, x: smooth(initial, t, x)))(transition, seen)
        run = jax.jit(
            jax.vmap(lambda t, x: inference.hmm_smoother(jnp.exp(initial), jnp.exp(t), x))
        )
        theirs = run(transition, seen)
    np.testing.assert_allclose(np.exp(ours.log_smoothed), theirs.smoothed_probs, atol=ROUNDING)
    np.testing.assert_allclose(ours.log_evidence, theirs.marginal_loglik, rtol=ROUNDING)
