"""Training at random places: what is drawn, resumed, trained on and refused."""

import dataclasses
import json
import zipfile
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
import oracles_network
import pytest
from place_cases import CHAIN, FEW, KEY, ORACLE, SPREAD, chain_network, run
from small_networks import Table, small_config, transformer_for

import bayescmp as bc
from bayescmp.models import HiddenMarkov, beta_bernoulli
from bayescmp.training import loop
from bayescmp.training.places import RandomPlaces, draw_places
from bayescmp.training.problem import pose


@pytest.fixture(scope="module")
def spread() -> bc.Fit:
    return run()


def test_a_step_trains_at_the_places_that_its_keys_draw(spread: bc.Fit):
    keys = jax.random.split(jax.random.fold_in(KEY, 0), 8)
    batch = jax.vmap(lambda key: CHAIN.draw(key=key))(keys)
    log_p, losses = np.asarray(ORACLE(batch).log_predictive, float), []
    for number, key in enumerate(keys):
        places = np.asarray(draw_places(SPREAD, CHAIN, key=key))
        inputs = np.asarray(batch.inputs[number])
        logits = oracles_network.trace(chain_network(), inputs, places=places)["logits"][2:]
        log_q = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        losses.append(-np.sum(np.exp(log_p[number]) * log_q, axis=1))
    np.testing.assert_allclose(spread.loss[0], np.mean(losses), rtol=1e-5)


def test_random_places_leave_the_data_as_they_are_and_change_the_loss(spread: bc.Fit):
    plain = run(training=dataclasses.replace(FEW, places=None))
    # The floor, which is what loss and excess differ by, is that of the same sequences.
    floor = plain.loss - plain.excess
    np.testing.assert_allclose(spread.loss - spread.excess, floor, rtol=1e-5)
    assert np.abs(spread.loss - plain.loss).max() > 1e-4


def test_a_run_with_random_places_resumes_bit_for_bit(
    tmp_path: Path, spread: bc.Fit, monkeypatch: pytest.MonkeyPatch
):
    path, advance, calls = tmp_path / "run.ckpt", loop.advance, []

    def interrupted(*args, **settings):
        calls.append(0)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return advance(*args, **settings)

    monkeypatch.setattr(loop, "advance", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(path)
    monkeypatch.setattr(loop, "advance", advance)
    resumed = run(path)
    np.testing.assert_array_equal(resumed.loss, spread.loss)
    assert eqx.tree_equal(resumed.network, spread.network)
    assert bc.training.load_training(path) == FEW
    with pytest.raises(ValueError, match=r"training.places.limit is 12 there and 13 here$"):
        run(path, training=dataclasses.replace(FEW, places=RandomPlaces(13)))


def test_seeds_together_draw_the_places_of_seeds_alone(spread: bc.Fit):
    fits = bc.fit_seeds(
        [chain_network(), chain_network()],
        CHAIN,
        ORACLE,
        keys=[jax.random.key(5), KEY],
        training=FEW,
        progress=False,
    )
    # Sums of 24 terms, seven steps, a factor of ten for Adam.
    np.testing.assert_allclose(fits[1].loss, spread.loss, rtol=7 * 24 * 10 * 6e-8)
    assert np.abs(fits[0].loss - spread.loss).max() > 1e-3


def test_a_checkpoint_from_before_there_were_places_still_resumes(tmp_path: Path):
    path, older = tmp_path / "run.ckpt", tmp_path / "older.ckpt"
    training = dataclasses.replace(FEW, places=None)
    whole = run(path, training=training)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(older, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "header.json":
                header = json.loads(content)
                for part, field in (
                    ("training", "places"),
                    ("training", "curriculum"),
                    ("network", "num_positions"),
                ):
                    del header["run"][part][field]
                content = json.dumps(header).encode()
            if name != "clock.npy":
                new.writestr(name, content)
    again = run(older, training=training)
    np.testing.assert_array_equal(again.loss, whole.loss)
    assert eqx.tree_equal(bc.training.load_network(older), whole.network)
    assert again.seconds == pytest.approx(whole.seconds)
    np.testing.assert_array_equal(again.clock[:, 0], [7])
    with pytest.raises(ValueError, match=r"training.places is None there and RandomPlaces here$"):
        run(older)


def test_a_trained_network_may_be_trained_on_with_longer_sequences(spread: bc.Fit):
    longer = HiddenMarkov(num_states=2, num_symbols=2, length=6)
    problem, _ = pose([spread.network], longer, None, dataclasses.replace(FEW, places=None))
    assert problem.model is longer
    with pytest.raises(ValueError, match=r"^inputs: expected at most 5 positions"):
        pose([chain_network("learned")], longer, None, dataclasses.replace(FEW, places=None))


# ----------------------------------------------------------------------- errors


NEAR = RandomPlaces(12, "after_prompt")
BAD = {
    "too short": (
        "rotary",
        RandomPlaces(4),
        "limit: expected at least 5, the inputs of a sequence, got 4",
    ),
    "no positions": (
        "none",
        RandomPlaces(9, "shift"),
        "places: expected None with positions='none', which tells no places apart, got "
        "RandomPlaces(limit=9, kind='shift')",
    ),
    "relative positions": (
        "alibi",
        RandomPlaces(9, "shift"),
        "kind: expected 'spread' with positions='alibi', where a common shift changes nothing, "
        "got 'shift'",
    ),
    "a short table": (
        "learned",
        RandomPlaces(9),
        "limit: expected at most 5, the rows of learned positions (num_positions), got 9",
    ),
}


@pytest.mark.parametrize(("kind", "places", "told"), BAD.values(), ids=BAD)
def test_places_that_do_not_fit_the_network_are_refused(kind: str, places: RandomPlaces, told: str):
    with pytest.raises(ValueError, match=r".") as caught:
        pose([chain_network(kind)], CHAIN, None, dataclasses.replace(FEW, places=places))
    assert str(caught.value) == told


def test_places_are_refused_for_other_networks_and_models():
    bijection = bc.models.Bijection(3)
    with pytest.raises(ValueError, match=r"^places: expected None for Table, which knows no pl"):
        pose([Table.zeros(bijection)], bijection, None, FEW)
    coin = beta_bernoulli(length=3)  # a start token is all that stands before it
    network = transformer_for(coin, small_config(1, 1, 4, 4, positions="rotary"))
    problem, _ = pose([network], coin, None, dataclasses.replace(FEW, places=NEAR))
    assert problem.places == NEAR
    network = transformer_for(bijection, small_config(1, 1, 4, 4, positions="rotary"))
    with pytest.raises(ValueError, match=r"^kind: .*'rotary' and a model without a prompt, where"):
        pose([network], bijection, None, dataclasses.replace(FEW, places=NEAR))
