"""Seeds that were compared apart, merged, are what they are when compared together."""

import json

import numpy as np
import pytest
import xarray as xr
from fake_study import choose_seeds
from synthetic_tree import assert_same, synthetic_tree

from bayescmp.results.merging import merge_trees


@pytest.fixture(scope="module")
def whole() -> xr.DataTree:
    tree = synthetic_tree(num_seeds=4, length=5, rungs=("uniform", "window 1"))
    return tree.drop_nodes("claims")


def parts(whole: xr.DataTree) -> list[xr.DataTree]:
    """Take the seeds apart, unevenly and not in order."""
    return [choose_seeds(whole, seeds) for seeds in ((3,), (0, 1), (2,))]


def change(tree: xr.DataTree, path: str, **attrs: object) -> xr.DataTree:
    """Return a tree with other attributes of one group."""
    groups = {group: tree[group].to_dataset().copy() for group in tree.groups}
    groups[path].attrs |= attrs
    return xr.DataTree.from_dict(groups)


def test_merged_seeds_are_the_whole_to_the_last_bit(whole: xr.DataTree):
    merged = merge_trees(parts(whole))
    # Each part is made up to have taken as long as the whole, and three shares of the
    # operations, rounded apart, are added up.
    assert merged.attrs["wall_time_s"] == 3 * whole.attrs["wall_time_s"]
    total = whole["/training"].attrs["flops_total"]
    assert merged["/training"].attrs["flops_total"] == pytest.approx(total, rel=1e-12)
    merged = change(merged, "/training", flops_total=total)
    assert_same(change(merged, "/", wall_time_s=whole.attrs["wall_time_s"]), whole)


def test_claims_are_left_out(whole: xr.DataTree):
    judged = synthetic_tree(num_seeds=2)
    assert "claims" in judged
    assert "claims" not in merge_trees([judged])


def test_attributes_say_what_the_parts_say(whole: xr.DataTree):
    first, second = choose_seeds(whole, (0,)), choose_seeds(whole, (1,))
    versions = json.loads(second.attrs["versions"])
    other = {"versions": json.dumps({**versions, "jax": "0.13"}), "device": "1 x H100"}
    second = change(second, "/", started="2024-01-01T00:00:00+00:00", **other)
    second = change(second, "/training", flops_per_step=1e9, num_steps=5_000)
    merged = merge_trees([first, second])
    assert json.loads(merged.attrs["versions"])["jax"] == "0.12.0, 0.13"
    assert merged.attrs["device"] == "2 x cpu, 1 x H100"
    assert merged.attrs["started"] == "2024-01-01T00:00:00+00:00"
    assert json.loads(merged.attrs["config"])["seeds"] == 2
    assert json.loads(merged["/training"].attrs["seconds"]) == [41.5, 41.6]
    assert merged["/training"].attrs["num_steps"] == 5_000
    assert merged["/training"].attrs["flops_per_step"] == (2.2e9 + 1e9) / 2


def test_histories_of_different_lengths_end_in_nan(whole: xr.DataTree):
    first, second = choose_seeds(whole, (0,)), choose_seeds(whole, (1,))
    groups = {path: second[path].to_dataset() for path in second.groups}
    groups["/training"] = groups["/training"].isel(step=slice(60))
    merged = merge_trees([first, xr.DataTree.from_dict(groups)])["/training"].to_dataset()
    assert merged["loss"].shape == whole["/training/loss"][:2].shape
    assert np.isnan(merged["loss"].values[1]).tolist() == [False] * 60 + [True] * 40
    np.testing.assert_array_equal(merged["learning_rate"], whole["/training/learning_rate"])


def shifted(tree: xr.DataTree, path: str, name: str, amount: float) -> xr.DataTree:
    """Return a tree with another value of one variable."""
    groups = {group: tree[group].to_dataset().copy() for group in tree.groups}
    dataset = groups[path]
    groups[path] = dataset.assign({name: dataset[name].copy(data=dataset[name].values + amount)})
    return xr.DataTree.from_dict(groups)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda t: choose_seeds(t, (0, 1)), r"expected other seeds in each, got \[0, 0, 1\]"),
        (lambda t: shifted(choose_seeds(t, (1,)), "/oracle", "entropy", 1e-4), "/oracle/entropy"),
        (
            lambda t: shifted(choose_seeds(t, (1,)), "/observed_data", "outcome_value", 1),
            "/observed_data/outcome_value",
        ),
        (lambda t: change(choose_seeds(t, (1,)), "/", model="coin"), "attribute model of /"),
        (
            lambda t: change(choose_seeds(t, (1,)), "/", config='{"seeds": 4, "size": 3}'),
            "expected one configuration",
        ),
        (lambda t: choose_seeds(t, (1,)).drop_nodes("layers"), "expected the groups"),
    ],
)
def test_what_differs_in_more_than_seeds_is_refused(whole: xr.DataTree, other, message: str):
    with pytest.raises(ValueError, match=message) as refusal:
        merge_trees([choose_seeds(whole, (0,)), other(whole)])
    assert "\n" not in str(refusal.value)


def test_rounding_between_machines_is_no_difference(whole: xr.DataTree):
    # Ladder and oracle are of order 1 and computed in 64 bits; 1e-9 is a reordered sum.
    near = shifted(choose_seeds(whole, (1,)), "/oracle", "entropy", 1e-9)
    merged = merge_trees([choose_seeds(whole, (0,)), near])
    assert merged["/divergence"].sizes["seed"] == 2


def test_nothing_to_merge_is_refused():
    with pytest.raises(ValueError, match="expected at least one comparison"):
        merge_trees([])
