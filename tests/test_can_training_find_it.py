"""The study of what training finds: its trees, its starts, and what its figures are."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from bayescmp.studies import can_training_find_it as study
from bayescmp.study import load_study

CONFIG = study.PRESETS["quick"]


def test_presets_and_claims_make_a_study():
    loaded = load_study("can_training_find_it")
    assert set(loaded.presets) == {"quick", "default", "paper"}
    assert loaded.question.endswith("?")
    assert loaded.presets["default"].seeds == 5


def test_tasks_share_their_rows_and_differ_in_size_and_depth():
    default = study.tasks(study.Config())
    assert len({task.graph_shape for task in default.values()}) == 1
    assert [task.sizes for task in default.values()] == [(2, 4), (5, 6), (6, 6)]
    # Four rounds are exact on the first two, and not on a chain of six.
    assert [task.num_rounds for task in default.values()] == [3, 4, 5]


def test_starts_are_the_construction_and_a_little_beside_it():
    network = study.construct(CONFIG, "relu")
    key = jax.random.key(0)
    starts = [study.begin(CONFIG, network, start, key) for start in study.STARTS[:2]]
    same, beside = study.distances(starts, network)
    assert same < 1e-9  # rounding
    assert 0.3 * CONFIG.noise < beside < 3.0 * CONFIG.noise


def test_random_starts_begin_near_even_answers():
    network = study.construct(CONFIG, "relu")
    keys = jax.random.split(jax.random.key(0), 3)
    drawn = [study.begin(CONFIG, network, "random", key) for key in keys]
    # A network that always says one half is off by 0.3 bits on these trees.
    assert study.measure(CONFIG, drawn, key=keys[0])["kl"][:, 0].max() < 1.0
    assert study.distances(drawn, network).min() > 0.5


def test_nearly_right_weights_are_trained_gently():
    gentle, usual = (study.recipe(CONFIG, start, study.EXACT) for start in study.STARTS[::2])
    assert (gentle.num_steps, usual.num_steps) == (CONFIG.steps, CONFIG.random_steps)
    assert 10.0 * gentle.optimiser.learning_rate == pytest.approx(usual.optimiser.learning_rate)


def test_a_constructed_network_measures_as_exact():
    small = replace(CONFIG, eval_sequences=16)
    found = study.measure(small, [study.construct(small, "relu")], key=jax.random.key(0))
    assert found["kl"].shape == (1, 3)
    # Eight units are wrong by 0.015 nats at most; a divergence is second order in that.
    assert found["kl"][0, :2].max() < 1e-3
    assert found["round_kl"].max() < 1e-3


def made_up(kl: float, distance: float) -> study.Figures:
    """Figures of an arm with two seeds."""
    every = np.full((2, 3), kl)
    names = ("kl", "round_kl", "progress", "misfit", "start_kl")
    table = {name: every.copy() for name in names}
    return table | {"distance": np.full(2, distance), "start_distance": np.full(2, 0.1)}


def test_claims_are_about_the_worst_activation():
    arms = {
        f"{activation}, {start}, {study.EXACT}": made_up(kl, distance)
        for activation, worse in (("relu", 1.0), ("gelu", 2.0))
        for start, kl, distance in (
            ("constructed", 0.001 * worse, 0.01),
            ("perturbed", 0.01 * worse, 0.1 * worse),
            ("random", 0.1 * worse, 1.0 / worse),
        )
    }
    arms[study.PRACTICAL] = made_up(0.1, np.nan)
    arms[study.PRACTICAL]["kl"][:, 1] = 0.3
    table = study.tabulate(arms)
    found = {name: float(table[name][0]) for name in table if table[name].dims == ("seed",)}
    assert found == pytest.approx(
        {
            "constructed_kl": 0.002,
            "perturbed_kl": 0.02,
            "perturbed_return": 1.0,
            "random_kl": 0.2,
            "random_return": 5.0,
            "practical_growth": 3.0,
        }
    )
    assert all(table[name].attrs["units"] for name in table.variables)
