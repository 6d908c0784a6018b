"""All instruments together: on a planted truth, on nothing, in a tree, and with mistakes."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import planted
import pytest
import xarray as xr

import bayescmp as bc
from bayescmp import plots
from bayescmp.inspection.effect import Effect
from bayescmp.inspection.examine import INSTRUMENTS
from bayescmp.inspection.recording import Recording, record

ORACLE = bc.derive_oracle(planted.MODEL)
LAYER, HEAD = 0, 1
KEY = jax.random.key(7)


@pytest.fixture(scope="module")
def network() -> bc.Transformer:
    return planted.planted_network(LAYER, HEAD)


@pytest.fixture(scope="module")
def tree(network: bc.Transformer) -> xr.DataTree:
    return bc.examine(network, ORACLE, key=KEY)


def test_a_comparison_gains_a_group_for_each_instrument(tree: xr.DataTree) -> None:
    assert {f"/{name}" for name in INSTRUMENTS} <= set(tree.groups)
    bc.validate_tree(tree)


def test_a_tree_with_all_instruments_is_saved_and_loaded(tree: xr.DataTree, tmp_path: Path) -> None:
    bc.save_tree(tree, tmp_path / "results.nc")
    assert bc.load_tree(tmp_path / "results.nc").identical(tree)


def test_the_report_has_a_section_for_each_instrument(tree: xr.DataTree, tmp_path: Path) -> None:
    page = bc.write_report(tree, tmp_path / "report.html").read_text()
    for name in INSTRUMENTS:
        assert f'id="{name}"' in page, name
    assert "dynamics: these instruments were not asked for" in page


def test_a_report_without_instruments_names_them(tree: xr.DataTree, tmp_path: Path) -> None:
    bare = xr.DataTree.from_dict(
        {
            path: tree[path].to_dataset(inherit=False)
            for path in tree.groups
            if path.lstrip("/") not in INSTRUMENTS
        }
    )
    page = bc.write_report(bare, tmp_path / "report.html").read_text()
    assert "lenses, probes, geometry" in page
    assert 'id="lenses"' not in page


# ---------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"instruments": ["lens"]}, "did you mean 'lenses'"),
        ({"instruments": "lenses"}, "expected several names"),
        ({"instruments": ["dynamics"]}, "histories: expected the checkpoints"),
        ({"histories": []}, "histories: expected one entry for each of 1 network"),
        ({"num_sequences": 2}, "num_sequences: expected at least 4"),
    ],
)
def test_wrong_requests_are_refused_in_one_line(
    network: bc.Transformer, options: dict[str, Any], message: str
) -> None:
    given = {"instruments": ["walkthrough"]} | options
    with pytest.raises(ValueError, match=message) as caught:
        bc.examine(network, ORACLE, key=KEY, **given)
    assert "\n" not in str(caught.value)


def test_a_callable_is_told_that_it_cannot_be_looked_into() -> None:
    def answer(inputs: jax.Array) -> jax.Array:
        return jax.numpy.zeros((*inputs.shape, 2))

    with pytest.raises(TypeError, match=r"can be traced.*compare\(\) measures any callable"):
        bc.examine(answer, ORACLE, key=KEY)


def test_weights_that_are_no_numbers_are_named(network: bc.Transformer) -> None:
    broken = jax.tree.map(lambda leaf: leaf, network)
    broken = planted.eqx.tree_at(
        lambda n: n.blocks.mlp.down, broken, broken.blocks.mlp.down.at[1].set(jax.numpy.nan)
    )
    with pytest.raises(ValueError, match="expected finite numbers, got others at 'block 2'"):
        record(broken, ORACLE, key=KEY)


# ---------------------------------------------------------------------- figures


@pytest.mark.parametrize(
    "name", [name for name, home in plots._MODULES.items() if home in (*INSTRUMENTS, "simplex")]
)
def test_every_figure_of_an_instrument_is_drawn(tree: xr.DataTree, name: str) -> None:
    if plots._MODULES[name] == "gradients":
        with pytest.raises(ValueError, match="/gradients"):  # a linear kernel, and no history
            getattr(plots, name)(tree)
        return
    figure = getattr(plots, name)(tree)
    figure.savefig(io.BytesIO(), format="svg")


# ---------------------------------------------------------------------- effects


def places_of(effects: tuple[Effect, ...]) -> set[str]:
    """Return the heads and places that effects name, without what was seen there."""
    return {effect.where.split(":")[0] for effect in effects}


@pytest.fixture(scope="module", params=[(0, 1), (1, 2)], ids=str)
def planted_recording(request: pytest.FixtureRequest) -> tuple[int, int, Recording]:
    layer, head = request.param
    seen = record(planted.planted_network(layer, head), ORACLE, key=KEY)
    return layer, head, seen


@pytest.mark.parametrize("name", ["lenses", "probes", "geometry", "interventions"])
def test_the_planted_head_is_named_and_no_other(
    planted_recording: tuple[int, int, Recording], name: str
) -> None:
    """Places of the stream may be named beside it, but only where what it writes is or was."""
    layer, head, seen = planted_recording
    found = places_of(INSTRUMENTS[name].measure(seen, key=KEY).effects())
    heads = {where for where in found if " head " in where}
    assert heads == {f"block {layer + 1} head {head}"}
    if name == "interventions":
        return  # the evidence itself, in every place before, can be taken away too
    first = bc.layers.stream_names(planted.NUM_LAYERS).index(f"mixer {layer + 1}")
    assert found - heads <= set(bc.layers.stream_names(planted.NUM_LAYERS)[first:])


def test_lenses_name_no_place_but_those_of_the_planted_block(
    planted_recording: tuple[int, int, Recording],
) -> None:
    layer, head, seen = planted_recording
    found = places_of(INSTRUMENTS["lenses"].measure(seen, key=KEY).effects())
    block = {f"mixer {layer + 1}", f"block {layer + 1}"}
    assert found <= {f"block {layer + 1} head {head}"} | block


def test_probes_first_name_the_planted_mixer(
    planted_recording: tuple[int, int, Recording],
) -> None:
    layer, _, seen = planted_recording
    first = INSTRUMENTS["probes"].measure(seen, key=KEY).first_effects()
    assert first["predictive"].where.startswith(f"mixer {layer + 1}")


@pytest.mark.parametrize("name", ["lenses", "probes", "geometry", "interventions"])
@pytest.mark.parametrize("make", [planted.random_network, planted.deaf_network])
def test_no_instrument_names_anything_in_networks_with_nothing_inside(
    name: str, make: Callable[[int], bc.Transformer]
) -> None:
    """At 5 % each, two of three networks are named falsely with a chance of 0.7 %.

    ``tests/benchmarks/false_alarms.py`` takes 200 networks of each kind.
    """
    measure = INSTRUMENTS[name].measure
    seen = [record(make(seed), ORACLE, key=KEY) for seed in (101, 102, 103)]
    alarms = [measure(one, key=jax.random.key(i)).effects() for i, one in enumerate(seen)]
    assert sum(bool(found) for found in alarms) <= 1
