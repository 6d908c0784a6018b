"""What the tests of all rungs share: answers in float64, computed in compiled functions."""

from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import bayescmp as bc
from bayescmp.predictors import AbstractPredictor

EXACT = 1e-10
"""Relative error of exact work in float64: some thousand operations of 2e-16 each."""

NUM_JUDGED = 6


@eqx.filter_jit
def answer(
    subjects: tuple[AbstractPredictor | bc.Oracle, ...], batch: bc.Batch
) -> tuple[jax.Array, ...]:
    """Answer with several subjects in one compiled function, in the precision that holds."""
    return tuple(
        subject(batch).log_predictive
        if isinstance(subject, bc.Oracle)
        else subject.log_predictive(batch)
        for subject in subjects
    )


def all_laws(
    subjects: tuple[AbstractPredictor | bc.Oracle, ...], batch: bc.Batch
) -> tuple[np.ndarray, ...]:
    """Return the probabilities of several subjects, in float64."""
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda x: x.astype(float) if x.dtype.kind == "f" else x, batch)
        return tuple(np.exp(np.asarray(law, np.float64)) for law in answer(subjects, wide))


def laws(subject: AbstractPredictor | bc.Oracle, batch: bc.Batch) -> np.ndarray:
    """Return the probabilities of one subject, in float64."""
    return all_laws((subject,), batch)[0]


@cache
def oracle_of(model: bc.AbstractGenerativeModel) -> bc.Oracle:
    """Derive a model's oracle once."""
    oracle = bc.derive_oracle(model)
    assert isinstance(oracle, bc.Oracle)
    return oracle


def toss(model: bc.AbstractGenerativeModel, num_sequences: int, seed: int = 0) -> bc.Batch:
    """Toss a coin whose bias has a flat prior, without compiling the model's own draws."""
    rng = np.random.default_rng(seed)
    tosses = rng.random((num_sequences, model.length)) < rng.random((num_sequences, 1))
    return model.batch_from_sites({"token": jnp.asarray(tosses, jnp.int32)})
