"""Which sequences a comparison takes: all of them, drawn ones, or none, with the reason."""

import math
from dataclasses import replace

import cases
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from complaints import unchecked

import bayescmp as bc
from bayescmp.all_sequences import (
    count_sequences,
    is_little_work,
    list_sequences,
    reason_to_sample,
)
from bayescmp.comparison.held_out import hold_out
from bayescmp.engine import AbstractEngine
from bayescmp.models import Bijection, HiddenMarkov, beta_bernoulli


class Misjudging(AbstractEngine):
    """An engine with the right predictives and the wrong evidence."""

    engine: AbstractEngine
    factor: float = eqx.field(static=True)

    def __call__(self, sites):
        reference = self.engine(sites)
        wrong = reference.log_evidence + jnp.log(self.factor)
        return eqx.tree_at(lambda r: r.log_evidence, reference, wrong)

    def windowed(self, sites, window):
        return self.engine.windowed(sites, window)

    def treatment(self):
        return self.engine.treatment()

    def reason(self):
        return self.engine.reason()


def test_impossible_sequences_are_left_out():
    oracle = bc.derive_oracle(Bijection(size=3))
    assert count_sequences(oracle.model.layout) == 3**2 * 3**2
    every = list_sequences(oracle)
    assert len(every.numbers) == (3 * 2) ** 2
    np.testing.assert_allclose(every.weights, 1 / 36, rtol=1e-12)
    keys = np.asarray(every.batch(slice(None)).shown["key"])
    assert np.all(keys[:, 0] != keys[:, 1])


def test_every_sequence_is_used_where_it_is_little_work():
    def words(oracle: bc.Oracle, **options: object) -> str:
        return str(hold_out(oracle, key=jax.random.key(0), **options))

    short, long = (bc.derive_oracle(beta_bernoulli(length=n)) for n in (4, 17))
    assert words(short) == "every sequence, 16 weighted by their exact probability"
    assert words(short, num_sequences=8) == "sampled, 8 sequences"
    assert words(short, evaluation="sampled") == "sampled, 4096 sequences"
    assert not is_little_work(long)  # 131,072 sequences
    assert words(long, num_sequences=3) == "sampled, 3 sequences"
    everything = words(long, evaluation="every sequence")
    assert everything == "every sequence, 131,072 weighted by their exact probability"
    # 3^9 sequences, each a sum over 6 * 3^9 settings: drawing 4,096 is less work
    nine = bc.GenerativeModel(cases.urns, outcome="token", length=9)
    slow = bc.derive_oracle(nine, engine="enumeration")
    assert not is_little_work(slow)
    assert reason_to_sample(slow) == ""


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: HiddenMarkov(2, 2, 3), "'transition' is given in the prompt"),
        (lambda: cases.build("regression"), "something that is shown has infinitely many values"),
        (lambda: beta_bernoulli(length=20), "there are 1,048,576 of them, more than 1,000,000"),
        (lambda: beta_bernoulli(length=200), r"there are about 1\.6e\+60 of them"),
    ],
)
def test_what_cannot_be_listed_is_said(make, reason: str):
    oracle = bc.derive_oracle(make())
    with pytest.raises(ValueError, match=f"evaluation: expected 'sampled' .* since .*{reason}"):
        hold_out(oracle, key=jax.random.key(0), evaluation="every sequence")
    with pytest.raises(ValueError, match=reason):
        list_sequences(oracle)
    assert str(hold_out(oracle, key=jax.random.key(0), num_sequences=2)).startswith("sampled")


def test_an_oracle_that_is_not_exact_lists_nothing():
    exact = bc.derive_oracle(beta_bernoulli(length=3))
    certificate = replace(exact.certificate, exact=False, error=0.02)
    oracle = bc.Oracle(exact.model, exact.engine, certificate)
    with pytest.raises(ValueError, match="its oracle is not exact"):
        list_sequences(oracle)
    assert str(hold_out(oracle, key=jax.random.key(0), num_sequences=2)).startswith("sampled")


@pytest.mark.parametrize("factor", [1.001, 0.9, math.nan, 0.0])
def test_probabilities_that_do_not_sum_to_one_are_noticed(factor: float):
    oracle = bc.derive_oracle(beta_bernoulli(length=3))
    wrong = eqx.tree_at(lambda o: o.engine, oracle, Misjudging(oracle.engine, factor))
    with pytest.raises(ValueError, match=r"sum to one, got .* its log evidence is wrong"):
        list_sequences(wrong)
    right = eqx.tree_at(lambda o: o.engine, oracle, Misjudging(oracle.engine, 1.0))
    assert float(list_sequences(right).weights.sum()) == pytest.approx(1.0, rel=1e-12)


def test_wrong_options_are_refused():
    oracle = bc.derive_oracle(beta_bernoulli(length=3))
    with pytest.raises(ValueError, match="num_sequences: expected none with every sequence, got 9"):
        bc.compare(
            oracle, oracle, key=jax.random.key(0), num_sequences=9, evaluation="every sequence"
        )
    with unchecked(), pytest.raises(ValueError, match=r"evaluation: expected one of .* got 'all'"):
        hold_out(oracle, key=jax.random.key(0), evaluation="all")


def test_examples_are_drawn_and_the_tree_survives_the_disk(tmp_path):
    oracle = bc.derive_oracle(beta_bernoulli(length=6, heads=20.0))
    uniform = bc.predictors.FixedLaw(log_law=jnp.log(jnp.full(2, 0.5)), name="uniform")
    tree = bc.compare(oracle, oracle, key=jax.random.key(0), ladder=[uniform])
    # Ones come 20 times out of 21; the first sequences of a list hold hardly any.
    assert tree["/observed_data/outcome_value"].values.mean() > 0.7
    bc.save_tree(tree, tmp_path / "results.nc")
    assert bc.load_tree(tmp_path / "results.nc").identical(tree)
