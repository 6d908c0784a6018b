"""Seeds that were looked into apart, merged, are what they are when looked into together."""

import jax
import numpy as np
import pytest
import xarray as xr

import bayescmp as bc
from bayescmp.inspection.examine import INSTRUMENTS
from bayescmp.report.write import render_report
from bayescmp.results.merging import merge_trees

MODEL = bc.models.beta_bernoulli(length=3)
CONFIG = bc.TransformerConfig(num_layers=1, num_heads=2, model_size=4, mlp_size=4)
BETWEEN_SEEDS = {"seed_cka", "seed_overlap"}
"""What is measured between seeds, which those that were looked into apart do not know."""


def number_seeds(group: xr.Dataset, numbers: list[int]) -> xr.Dataset:
    """Give the seeds of a group other numbers."""
    if "seed" not in group.dims:
        return group
    return group.assign_coords(seed=("seed", numbers, group["seed"].attrs))


@pytest.fixture(scope="module")
def trees() -> tuple[xr.DataTree, list[xr.DataTree]]:
    """Two networks together, and each by itself, on the same sequences."""
    oracle = bc.derive_oracle(MODEL)
    networks = [
        bc.Transformer.for_model(MODEL, CONFIG, key=jax.random.key(seed)) for seed in range(2)
    ]
    ladder = [bc.standard_ladder(oracle, key=jax.random.key(0))[0]]

    def look(some: list[bc.Transformer], numbers: list[int]) -> xr.DataTree:
        tree = bc.examine(some, oracle, key=jax.random.key(1), ladder=ladder)
        groups = {path: tree[path].to_dataset() for path in tree.groups}
        tree = xr.DataTree.from_dict(
            {path: number_seeds(group, numbers) for path, group in groups.items()}
        )
        tree.attrs["seeds"] = str(numbers)
        return tree

    return look(networks, [0, 1]), [look([one], [seed]) for seed, one in enumerate(networks)]


def test_every_instrument_survives_merging(
    trees: tuple[xr.DataTree, list[xr.DataTree]],
) -> None:
    together, apart = trees
    merged = merge_trees(apart)
    for name in INSTRUMENTS:
        whole, joined = (tree[f"/{name}"].to_dataset() for tree in (together, merged))
        assert set(whole.variables) == set(joined.variables)
        for variable in set(whole.data_vars) - BETWEEN_SEEDS:
            xr.testing.assert_allclose(joined[variable], whole[variable], rtol=1e-6, atol=1e-9)


def test_seeds_that_were_looked_into_apart_are_not_compared_with_each_other(
    trees: tuple[xr.DataTree, list[xr.DataTree]],
) -> None:
    together, apart = trees
    merged = merge_trees(apart)["/geometry"]
    for name in BETWEEN_SEEDS:
        assert np.isnan(merged[name]).all()
        assert np.isfinite(together["/geometry"][name]).any()


def test_a_merged_tree_has_a_page(trees: tuple[xr.DataTree, list[xr.DataTree]]) -> None:
    page = render_report(merge_trees(trees[1]))
    for name in INSTRUMENTS:
        assert f'id="{name}"' in page
