"""Audits of exchangeability on tosses of a coin, each made once."""

from functools import cache

import jax
import numpy as np
from jaxtyping import Float
from synthetic_tree import split, synthetic_tree

import bayescmp as bc
from bayescmp.auditing import Judged, judge
from bayescmp.auditing.exchangeability import Exchangeability, check_exchangeability
from bayescmp.auditing.exchangeability_tables import exchangeability_group
from bayescmp.predictors import AbstractPredictor, OtherOracle, WindowPredictor
from bayescmp.results.tree import make_tree

EXACT = 1e-12
"""Error of laws in float64 over some dozen operations of 2e-16 each."""

LENGTH = 4
COIN = bc.models.beta_bernoulli(length=LENGTH)
QUICK = {"num_ordered": 128, "num_orders": 4, "num_paths": 4}


class Tempered(AbstractPredictor):
    """Exact Bayes, too sure of itself: a function of counts that is no posterior."""

    oracle: bc.Oracle
    name: str = "tempered"

    def log_predictive(self, batch: bc.Batch) -> Float[jax.Array, "sequence position outcome"]:
        return jax.nn.log_softmax(2.0 * self.oracle(batch).log_predictive, axis=-1)


@cache
def oracle() -> bc.Oracle:
    return bc.derive_oracle(COIN)


@cache
def judged_coin(kind: str) -> Judged:
    """Judge one kind of predictor on tosses of a coin."""
    subjects = {
        "exact": oracle,
        "wrong prior": lambda: OtherOracle(
            bc.derive_oracle(bc.models.beta_bernoulli(LENGTH, 6.0, 1.0)), COIN
        ),
        "window": lambda: WindowPredictor(oracle(), window=1),
        "tempered": lambda: Tempered(oracle()),
    }
    return judge(subjects[kind](), oracle(), key=jax.random.key(0), num_sequences=512)


@cache
def found(kind: str) -> Exchangeability:
    return check_exchangeability(judged_coin(kind), key=jax.random.key(1), **QUICK)


def beta_laws(heads: int, shown: int, a: float, b: float) -> np.ndarray:
    return np.array([b + shown - heads, a + heads]) / (a + b + shown)


def tree_of(*results: Exchangeability, length: int = LENGTH):
    groups, attrs = split(synthetic_tree(num_seeds=len(results), length=length, num_outcomes=4))
    return make_tree(groups | {"/exchangeability": exchangeability_group(results)}, attrs)
