"""All instruments together: on a planted truth, on nothing, in a tree, and with mistakes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import planted
import pytest
import xarray as xr

import bayescmp as bc
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
    assert "lenses, probes, geometry" in page and 'id="lenses"' not in page


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


Instrument = Callable[[Recording], Any]
