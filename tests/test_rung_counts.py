"""Counts against counting by hand."""

from itertools import product

import cases
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from complaints import raised
from rungs import EXACT, NUM_JUDGED, all_laws, oracle_of, toss

import bayescmp as bc
from bayescmp.models import HiddenMarkov, beta_bernoulli
from bayescmp.predictors import AddAlphaCounts


def count_by_hand(outcomes: np.ndarray, size: int, alpha: float, order: int) -> np.ndarray:
    law = np.zeros((len(outcomes), size))
    for t in range(len(outcomes)):
        counts = np.full(size, alpha)
        for s in range(order, t):
            if t >= order and list(outcomes[s - order : s]) == list(outcomes[t - order : t]):
                counts[outcomes[s]] += 1.0
        law[t] = counts / counts.sum()
    return law


@pytest.mark.parametrize("name", ["urns", "chain", "clues"])
def test_counts_equal_counting_by_hand(name: str):
    model, batch = cases.build(name), cases.first(name, NUM_JUDGED)
    settings = list(product((1.0, 0.3), (0, 1, 2, 7)))
    found = all_laws(tuple(AddAlphaCounts(model, *setting) for setting in settings), batch)
    for (alpha, order), law in zip(settings, found, strict=True):
        for sequence in range(NUM_JUDGED):
            outcomes = np.asarray(batch.outcomes[sequence])
            expected = count_by_hand(outcomes, model.num_outcomes, alpha, order)
            np.testing.assert_allclose(law[sequence], expected, rtol=EXACT)


def test_add_one_counts_are_exact_for_a_coin_with_a_flat_prior():
    model = beta_bernoulli(length=12)
    subjects = oracle_of(model), AddAlphaCounts(model), AddAlphaCounts(model, 0.5)
    exact, one, half = all_laws(subjects, toss(model, 64))
    np.testing.assert_allclose(one, exact, rtol=EXACT)
    assert np.abs(half - exact).max() > 0.05


def test_counts_name_themselves():
    model = beta_bernoulli(length=3)
    rungs = [AddAlphaCounts(model, alpha, order) for alpha, order in ((1.0, 0), (1.0, 1), (0.5, 3))]
    assert [rung.name for rung in rungs] == [
        "add-one counts",
        "add-one bigram",
        "add-0.5 counts of order 3",
    ]


def waiting(length: int) -> None:
    numpyro.sample("y", dist.Normal(0.0, 1.0).expand([length]))


def test_counts_refuse_what_cannot_be_counted():
    line = bc.GenerativeModel(waiting, outcome="y", length=4, edges=(-1.0, 1.0))
    hidden = raised(ValueError, lambda: AddAlphaCounts(HiddenMarkov(2, 2, length=3)))
    assert hidden == (
        "model: expected outcomes that are shown after they are asked, got 'state' hidden"
    )
    assert "finitely many values to count" in raised(ValueError, lambda: AddAlphaCounts(line))
    coin = beta_bernoulli(length=3)
    assert "alpha: expected a positive" in raised(ValueError, lambda: AddAlphaCounts(coin, 0.0))
    assert "order: expected at least 0" in raised(ValueError, lambda: AddAlphaCounts(coin, 1.0, -1))
