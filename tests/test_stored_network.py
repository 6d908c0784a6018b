"""A network comes back from the file of its run alone, or is refused in one line."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from resumed_run import TRAINING
from small_networks import CONFIGS as SMALL_CONFIGS
from small_networks import SHAPE, Table, random_like

from bayescmp.codec import encode
from bayescmp.networks.registry import CONFIGS
from bayescmp.training.checkpoints.checkpoint import read_header, save_checkpoint
from bayescmp.training.checkpoints.stored_network import load_network, load_training
from bayescmp.training.optimisers.schedule_free import ScheduleFree


def stack_seeds(config, num_seeds: int = 2) -> list:
    """Build networks of one configuration with random weights."""
    shapes = eqx.filter_eval_shape(config.build, SHAPE, key=jax.random.key(0))
    return [random_like(shapes, np.random.default_rng(seed)) for seed in range(num_seeds)]


def write_networks(
    path: Path,
    networks: list,
    changes: dict[str, Any] | None = None,
    more: dict[str, Any] | None = None,
) -> None:
    """Write the file of a run that trained these networks together, before its first step."""
    params = [eqx.filter(network, eqx.is_inexact_array) for network in networks]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *params)
    run = {"network": encode(networks[0]), "shape": None, "training": encode(TRAINING)}
    if hasattr(networks[0], "config"):
        run |= {"network": encode(networks[0].config), "shape": encode(SHAPE)}
    header = {"step": 0, "num_seeds": len(networks), "run": run | (changes or {})}
    state = {"params": stacked} | (more or {})
    save_checkpoint(path, {"state": state}, header)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_network_comes_back_from_its_file_alone(name: str, tmp_path: Path):
    config = CONFIGS[name]()
    networks = stack_seeds(config)
    write_networks(tmp_path / "run.ckpt", networks)
    assert eqx.tree_equal(load_network(tmp_path / "run.ckpt", 1), networks[1])


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Path, list]:
    config = SMALL_CONFIGS["learned positions"]
    networks = stack_seeds(config)
    write_networks(tmp_path / "run.ckpt", networks)
    return tmp_path / "run.ckpt", networks


def refused(path: Path, message: str, *arguments: int, **options) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        load_network(path, *arguments, **options)
    assert "\n" not in str(caught.value)


def test_settings_come_back_from_the_file(stored: tuple[Path, list]):
    assert load_training(str(stored[0])) == TRAINING


def test_a_file_from_before_an_option_was_there_holds_the_same_network(stored: tuple[Path, list]):
    path, networks = stored
    run = read_header(path)["run"]
    newer = {"network": ("causal", "activation_group"), "shape": ("shows_all_first",)}
    older = {
        part: {name: value for name, value in run[part].items() if name not in names}
        for part, names in newer.items()
    }
    assert all(len(older[part]) == len(run[part]) - len(names) for part, names in newer.items())
    write_networks(path, networks, older)
    assert eqx.tree_equal(load_network(path, 1), networks[1])


def test_a_seed_that_is_not_there_is_refused(stored: tuple[Path, list]):
    for seed in (-1, 2):
        refused(stored[0], rf"^seed: expected 0 to 1 for .*, got {seed}$", seed)


def test_an_average_that_was_not_kept_is_refused(stored: tuple[Path, list]):
    refused(
        stored[0], "^averaged: expected False, since .*run.ckpt' keeps no average$", averaged=True
    )


def test_the_average_comes_back_where_it_was_kept(tmp_path: Path):
    tables = [Table(jnp.full((3, 2), float(seed))) for seed in range(2)]
    average = Table(jnp.stack([jnp.full((3, 2), 5.0), jnp.full((3, 2), 6.0)]))
    write_networks(tmp_path / "run.ckpt", tables, more={"average": average})
    back = load_network(tmp_path / "run.ckpt", 1, averaged=True, like=tables[0])
    assert eqx.tree_equal(back, Table(jnp.full((3, 2), 6.0)))


def test_an_optimiser_that_averages_gives_the_weights_to_evaluate(tmp_path: Path):
    training = replace(TRAINING, optimiser=ScheduleFree())
    transformation = training.optimiser.build(training.num_steps)
    params = {"table": jnp.arange(6.0).reshape(3, 2)}
    state = transformation.init(params)
    for size in (1.0, -3.0):
        updates, state = transformation.update({"table": jnp.full((3, 2), size)}, state, params)
        params = optax.apply_updates(params, updates)
    write_networks(
        tmp_path / "run.ckpt",
        [Table(params["table"])],
        {"training": encode(training)},
        {"opt_state": jax.tree.map(lambda leaf: leaf[None], state)},
    )
    expected = training.optimiser.evaluation_params(state, params)["table"]
    back = load_network(tmp_path / "run.ckpt", like=Table(jnp.zeros((3, 2))))
    np.testing.assert_array_equal(back.table, expected)
    assert not np.array_equal(expected, params["table"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": 1}, "network: TransformerConfig has no field 'colour', which is 1 there$"),
        ({"mlp_size": "x"}, "network: TransformerConfig.mlp_size cannot be 'x'$"),
        ({"num_heads": 3}, "network: model_size: expected a multiple of num_heads = 3, got 8$"),
        ({"type": "Mamba9"}, r"holds a network of type 'Mamba9', which this version .*like="),
        (
            {"num_layers": 3},
            r"does not fit this network: .* of shape \(2, 8\) there and .*\(3, 8\) here",
        ),
    ],
)
def test_a_network_that_cannot_be_built_is_refused(
    change: dict, message: str, stored: tuple[Path, list]
):
    path, networks = stored
    write_networks(path, networks, {"network": read_header(path)["run"]["network"] | change})
    refused(path, message)


def test_a_network_from_elsewhere_needs_one_like_it(tmp_path: Path):
    path = tmp_path / "run.ckpt"
    tables = [Table(jnp.full((3, 2), float(seed))) for seed in range(2)]
    write_networks(path, tables)
    refused(path, r"holds a network of type 'Table', .*; use load_network\(path, like=network\)$")
    again = load_network(path, 1, like=Table(jnp.zeros((3, 2))))
    assert eqx.tree_equal(again, tables[1])
    refused(path, "does not fit this network: table is float32", like=Table(jnp.zeros((2, 3))))


class Offset(eqx.Module):
    """A network with an array that is not trained."""

    table: jax.Array
    shift: jax.Array

    def __call__(self, tokens: jax.Array) -> jax.Array:
        return self.table[tokens + self.shift]


def test_what_is_not_trained_comes_from_the_network_like_it(tmp_path: Path):
    path = tmp_path / "run.ckpt"
    network = Offset(jnp.ones((3, 2)), jnp.array(1))
    write_networks(path, [network])
    like = Offset(jnp.zeros((3, 2)), jnp.array(1))
    assert eqx.tree_equal(load_network(path, like=like), network)
    shapes = eqx.filter_eval_shape(lambda: network)
    refused(path, "lacks arrays of its network that were not trained; use .*like=", like=shapes)
