"""The tree's schema: what is built, what is refused and why."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from synthetic_tree import assert_same, split, synthetic_tree

from bayescmp.results.schema import DIMENSIONS, SCHEMA, SCHEMA_VERSION
from bayescmp.results.tree import make_dataset, make_tree, read_attribute
from bayescmp.results.tree_file import load_tree, save_tree

LATTER = ("/training", "/claims", "/layers")


@pytest.fixture(scope="module")
def whole() -> xr.DataTree:
    """Make up a tree of every group; tests copy what they change."""
    return synthetic_tree(num_seeds=2, length=5, num_outcomes=6, num_layers=2, num_heads=2)


# ---------------------------------------------------------------------- the table


def test_every_axis_has_its_row_and_every_row_its_axis() -> None:
    used = {
        dim for group in SCHEMA.values() for row in group.variables.values() for dim in row.dims
    }
    assert used == set(DIMENSIONS)


UNITS = {"bit", "nat", "1", "step", "unit of the metric", "point", "utility", "task"}
"""Points are percentage points; a utility has the unit that its study gives it."""


def test_every_variable_says_what_it_is_in_which_unit() -> None:
    for path, group in SCHEMA.items():
        assert group.meaning, path
        for name, row in group.variables.items():
            assert row.long_name, f"{path}/{name}"
            assert row.units in UNITS, f"{path}/{name}"


# ------------------------------------------------------------------------ building


def test_dataset_from_plain_arrays_is_labelled() -> None:
    arrays = {"entropy": jnp.ones(3), "log_predictive": np.zeros((2, 3, 4), np.float32)}
    certificate = {"engine": "closed form", "error_nat": np.float64(1e-16), "sites": {}}
    data = make_dataset("/oracle", arrays, attrs={"certificate": certificate})
    assert data["entropy"].dtype == data["log_predictive"].dtype == np.float64
    assert data["entropy"].attrs["units"] == "bit"
    assert data["log_predictive"].dims == ("sequence", "position", "outcome")
    assert data["position"].values.tolist() == [0, 1, 2]
    assert data["position"].attrs["long_name"] == DIMENSIONS["position"].long_name
    assert json.loads(data.attrs["certificate"]) == certificate


def test_blocks_count_from_one_and_residual_streams_from_zero(whole: xr.DataTree) -> None:
    assert whole["/layers"].coords["block"].values.tolist() == [1, 2]
    assert whole["/layers"].coords["layer"].values.tolist() == [0, 1, 2]


def test_dataset_does_not_share_memory_with_its_arrays() -> None:
    entropy = np.ones(3)
    data = make_dataset(
        "/oracle",
        {"entropy": entropy, "log_predictive": np.zeros((2, 3, 4))},
        attrs={"certificate": {}},
    )
    entropy[:] = 7.0
    assert data["entropy"].values.tolist() == [1.0, 1.0, 1.0]


ORACLE = {"entropy": np.ones(3), "log_predictive": np.zeros((2, 3, 4))}


@pytest.mark.parametrize(
    ("group", "change", "coords", "attrs", "message"),
    [
        ("/oracel", {}, {}, {}, "group: expected one of /, .*, got '/oracel'"),
        ("/oracle", {"entropi": 1}, {}, {}, "/oracle variables: expected .*, got entropi"),
        ("/oracle", {"entropy": None}, {}, {}, "/oracle/entropy: expected float, got object"),
        ("/oracle", {"entropy": [True] * 3}, {}, {}, "/oracle/entropy: expected float, got bool"),
        ("/oracle", {"entropy": 1.0}, {}, {}, r"/oracle/entropy: expected axes .*got shape \(\)"),
        ("/oracle", {"entropy": np.ones(4)}, {}, {}, "log_predictive: expected position 4, got 3"),
        ("/oracle", {}, {"position": [1, 1, 2]}, {}, "coords position: expected 3 different"),
        ("/oracle", {}, {"position": [1, 2]}, {}, "coords position: expected 3 different"),
        ("/oracle", {}, {"place": [1]}, {}, "coords: expected some of seed, .*, got 'place'"),
        ("/oracle", {}, {}, {}, "/oracle attributes: expected certificate too, got none"),
        ("/oracle", {}, {}, {"certificate": {1j: 1}}, "keys must be str"),
        ("/oracle", {}, {}, {"certificate": "{"}, "attribute certificate: expected JSON, got '{'"),
        ("/oracle", {}, {}, {"certificate": {"a": {1}}}, "attrs: expected JSON values, got set"),
        ("/oracle", {}, {}, {"note": "x"}, "/oracle attributes: expected .*, got note"),
    ],
)
def test_wrong_arrays_are_refused(
    group: str,
    change: dict[str, object],
    coords: dict[str, object],
    attrs: dict[str, object],
    message: str,
) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        make_dataset(group, {**ORACLE, **change}, coords, attrs)


def test_rungs_need_names() -> None:
    arrays = {
        name: np.ones((2, 3)[: len(row.dims)]) for name, row in SCHEMA["/ladder"].variables.items()
    }
    attrs = {"best_constant_entropy_mae": 1.0}
    with pytest.raises(ValueError, match="coords: expected 2 labels for rung, got none"):
        make_dataset("/ladder", arrays, attrs=attrs)
    assert make_dataset("/ladder", arrays, {"rung": ["a", "b"]}, attrs)["rung"].dtype.kind == "U"


def test_counts_too_long_for_the_file_become_floats(whole: xr.DataTree, tmp_path: Path) -> None:
    groups, attrs = split(whole)
    training = groups["/training"]
    names = {str(name): training[name].values for name in training.data_vars}
    steps = {"step": training["step"].values}
    made = make_dataset("/training", names, steps, {**training.attrs, "flops_total": 10**21})
    tree = make_tree({**groups, "/training": made}, attrs)
    save_tree(tree, tmp_path / "results.nc")
    assert read_attribute(load_tree(tmp_path / "results.nc"), "/training", "flops_total") == 1e21


# ---------------------------------------------------------------------- validating


def test_synthetic_tree_is_valid_with_and_without_optional_groups(whole: xr.DataTree) -> None:
    groups, attrs = split(whole)
    bare = make_tree({path: g for path, g in groups.items() if path not in LATTER}, attrs)
    assert set(whole.groups) - set(bare.groups) == set(LATTER)
    assert bare.attrs["schema_version"] == SCHEMA_VERSION


def test_groups_and_variables_come_in_the_order_of_the_table(whole: xr.DataTree) -> None:
    groups, attrs = split(whole)
    in_order = tuple(path for path in SCHEMA if path == "/" or path in groups)
    assert make_tree(dict(reversed(groups.items())), attrs).groups == in_order
    assert list(whole["/divergence"].data_vars) == list(SCHEMA["/divergence"].variables)


@pytest.mark.parametrize("path", [path for path, group in SCHEMA.items() if group.required][1:])
def test_missing_group_is_named(whole: xr.DataTree, path: str) -> None:
    groups, attrs = split(whole)
    del groups[path]
    with pytest.raises(ValueError, match=re.escape(f"{path}: missing group")):
        make_tree(groups, attrs)


Change = Callable[[dict[str, xr.Dataset]], object]


def drop(path: str, name: str) -> Change:
    return lambda groups: groups.update({path: groups[path].drop_vars(name)})


def put(path: str, name: str, change: Callable[[xr.DataArray], object]) -> Change:
    return lambda groups: groups.update(
        {path: groups[path].assign({name: change(groups[path][name])})}
    )


CHANGES: dict[str, Change] = {
    "/divergence/kl: missing variable": drop("/divergence", "kl"),
    "/calibration/ece: missing variable": drop("/calibration", "ece"),
    "/divergence/kl: expected axes ('seed', 'position'), got ('position', 'seed')": put(
        "/divergence", "kl", lambda kl: kl.transpose()
    ),
    "/divergence/supervised: expected bool, got int64": put(
        "/divergence", "supervised", lambda array: array.astype(int)
    ),
    "/divergence/kl: expected unit bit, got nat": put(
        "/divergence", "kl", lambda kl: kl.assign_attrs(units="nat")
    ),
    "/divergence/kl: no units": put(
        "/divergence", "kl", lambda kl: (kl.dims, kl.values, {"long_name": "x"})
    ),
    "/divergence/kl: no long_name": put(
        "/divergence", "kl", lambda kl: (kl.dims, kl.values, {"units": "bit"})
    ),
    "/training/mine: no units": lambda groups: groups["/training"].update({"mine": 1.0}),
    "/mine/x: no long_name": lambda groups: groups.update({"/mine": xr.Dataset({"x": 1.0})}),
    "/oracle: missing attribute certificate": lambda groups: groups["/oracle"].attrs.clear(),
    "/network attribute num_parameters: expected a number, got 'many'": lambda groups: groups[
        "/network"
    ].attrs.update(num_parameters="many"),
    "/training attribute objective: expected text, got ''": lambda groups: groups[
        "/training"
    ].attrs.update(objective=""),
    "/network: expected labels of position as in /observed_data, got others": lambda groups: (
        groups.update({"/network": groups["/network"].assign_coords(position=range(1, 6))})
    ),
    "/oracle: axis outcome has no labels": drop("/oracle", "outcome"),
}


@pytest.mark.parametrize("message", CHANGES)
def test_one_fault_is_the_one_problem_listed(whole: xr.DataTree, message: str) -> None:
    groups, attrs = split(whole)
    CHANGES[message](groups)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        make_tree(groups, attrs)
    assert "\n" not in str(caught.value)


def test_all_faults_are_listed_together(whole: xr.DataTree) -> None:
    groups, attrs = split(whole)
    CHANGES["/divergence/kl: missing variable"](groups)
    CHANGES["/calibration/ece: missing variable"](groups)
    expected = "tree: 2 problem(s): /divergence/kl: missing variable; /calibration/ece: missing"
    with pytest.raises(ValueError, match=re.escape(expected)):
        make_tree(groups, attrs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": [0, 7]}, "attribute seeds: expected [0, 1], got [0, 7]"),
        ({"wall_time_s": True}, "/ attribute wall_time_s: expected a number, got True"),
        ({"study": ""}, "/ attribute study: expected text, got ''"),
        ({"schema_version": "0"}, "schema_version: expected 1, got 0"),
    ],
)
def test_wrong_root_attributes_are_named(
    whole: xr.DataTree, change: dict[str, object], message: str
) -> None:
    groups, attrs = split(whole)
    with pytest.raises(ValueError, match=re.escape(message)):
        make_tree(groups, {**attrs, **change})


def test_nan_is_a_number_that_does_not_exist_not_a_fault(whole: xr.DataTree) -> None:
    groups, attrs = split(whole)
    groups["/divergence"]["kl"][:] = np.nan
    made = make_tree(groups, attrs)
    assert np.isnan(made["/divergence"].to_dataset()["kl"]).all()


def test_own_groups_are_kept(whole: xr.DataTree, tmp_path: Path) -> None:
    groups, attrs = split(whole)
    own = {"long_name": "mine", "units": "s"}  # a unit that xarray might take for a time
    groups["/mine/deeper"] = xr.Dataset({"x": (("position",), np.arange(9.0), own)})
    made = make_tree(groups, attrs)
    save_tree(made, tmp_path / "results.nc")
    assert_same(load_tree(tmp_path / "results.nc"), made)


# ---------------------------------------------------------------------- attributes


def test_attributes_are_read_decoded(whole: xr.DataTree) -> None:
    assert read_attribute(whole, "/", "seeds") == [0, 1]
    assert read_attribute(whole, "/", "study") == "bijection"
    assert read_attribute(whole, "oracle", "certificate")["exact"] is True
    assert read_attribute(whole, "/training", "seconds") == [41.5, 41.6]


def test_unknown_attribute_or_group_is_named(whole: xr.DataTree) -> None:
    with pytest.raises(ValueError, match=r"name: expected an attribute of / \(.*\), got 'seed'"):
        read_attribute(whole, "/", "seed")
    with pytest.raises(ValueError, match=r"group: expected one of /, .*, got '/nowhere'"):
        read_attribute(whole, "/nowhere", "seeds")
