"""Judged sequences of a small model, with predictors that have a stated defect."""

from dataclasses import replace
from functools import cache

import jax
import numpy as np
from small_networks import small_config, transformer_for

import bayescmp as bc
from bayescmp.auditing import Judged, judge, judge_on

CONFIG = small_config(1, 2, 8, 12, positions="learned", activation="gelu")
NUM_SEQUENCES = 600


@cache
def exact_judged() -> Judged:
    """The exact predictor of a bijection of five, on drawn sequences."""
    oracle = bc.derive_oracle(bc.models.Bijection(size=5))
    return judge(oracle, oracle, key=jax.random.key(0), num_sequences=NUM_SEQUENCES)


@cache
def network_judged() -> Judged:
    """A network with random weights, on the same sequences."""
    exact = exact_judged()
    network = transformer_for(exact.evaluation.model, CONFIG)
    return judge_on(network, exact.evaluation)


def unsure(judged: Judged) -> Judged:
    """The same laws, mixed with the uniform one: not as sure as they could be."""
    return replace(judged, log_q=np.log(0.6 * np.exp(judged.log_q) + 0.4 / 5))


def swapped(judged: Judged) -> Judged:
    """The same laws with the first two outcomes exchanged."""
    return replace(judged, log_q=judged.log_q[..., [1, 0, 2, 3, 4]])


def constant(judged: Judged) -> Judged:
    """The same law for every question: calibrated, and ignorant."""
    return replace(judged, log_q=np.full(judged.log_q.shape, -np.log(5.0)))
