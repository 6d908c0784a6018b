"""Join comparisons of one configuration that were trained one seed at a time."""

import json
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import xarray as xr

from bayescmp.results.validation import validate_tree

_OF_FIRST_SEED = {"/layers/attention_pattern"}


def merge_trees(trees: Sequence[xr.DataTree]) -> xr.DataTree:
    """Join comparisons that differ in their seeds alone.

    Variables of each seed are laid side by side, trees in the order of their first seed.
    What has no seed (the oracle, the ladder, the example sequences) is the same in all and is kept
    once. Training histories of different lengths are filled up with NaN. Times and operations are
    added up. Verdicts are left out, since they are of all seeds together.

    Args:
        trees: Comparisons of one configuration on the same sequences, each with other seeds.

    Returns:
        The comparison with all seeds, without claims.

    Raises:
        ValueError: If there is none, two hold the same seed, or they differ in more than
            their seeds; the message says in what.

    Example:
        >>> merge_trees([tree]).identical(tree.drop_nodes("claims"))
        True
    """
    if not trees:
        raise ValueError("trees: expected at least one comparison, got none")
    for tree in trees:
        validate_tree(tree)
    trees = sorted(trees, key=_seeds)
    seeds = [seed for tree in trees for seed in _seeds(tree)]
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"trees: expected other seeds in each, got {seeds}")
    paths = _common_groups(trees)
    groups = {path: _merge_group(path, [_group(tree, path) for tree in trees]) for path in paths}
    config = json.loads(groups["/"].attrs["config"])
    if "seeds" in config:
        groups["/"].attrs["config"] = json.dumps({**config, "seeds": len(seeds)})
    merged = xr.DataTree.from_dict(groups)
    validate_tree(merged)
    return merged


def _seeds(tree: xr.DataTree) -> list[int]:
    return json.loads(tree.attrs["seeds"])


def _group(tree: xr.DataTree, path: str) -> xr.Dataset:
    return tree[path].to_dataset()


def _common_groups(trees: Sequence[xr.DataTree]) -> list[str]:
    """List the groups but the claims, which must be the same in all trees."""
    paths = [path for path in trees[0].groups if path != "/claims"]
    for tree in trees[1:]:
        others = [path for path in tree.groups if path != "/claims"]
        if others != paths:
            raise ValueError(f"trees: expected the groups {paths} in all, got {others}")
    return paths


def _merge_group(path: str, parts: Sequence[xr.Dataset]) -> xr.Dataset:
    """Join one group of all trees."""
    parts = _lengthen(parts)
    first = parts[0]
    joined = {}
    for name, variable in first.variables.items():
        where = f"{path.rstrip('/')}/{name}"
        if any(name not in part.variables for part in parts):
            raise ValueError(f"trees: expected {where} in all, got some without it")
        others = [part.variables[name] for part in parts]
        if "seed" in variable.dims:
            joined[name] = xr.Variable.concat(others, "seed").transpose(*variable.dims)
        else:
            _require_same(where, others)
            joined[name] = variable if name in first.coords else _fill(others)
        joined[name].attrs = variable.attrs
    coords = {name: joined.pop(name) for name in first.coords}
    return xr.Dataset(joined, coords, _merge_attributes(path, [part.attrs for part in parts]))


def _lengthen(parts: Sequence[xr.Dataset]) -> list[xr.Dataset]:
    """Give histories of different lengths the same steps, with NaN where a run had ended."""
    if "step" not in parts[0].sizes:
        return list(parts)
    steps = np.unique(np.concatenate([part["step"].values for part in parts]))
    return [
        part if part.sizes["step"] == steps.size else part.reindex(step=steps) for part in parts
    ]


def _require_same(where: str, variables: Sequence[xr.Variable]) -> None:
    """Raise unless a variable that has no seed is the same in all trees, where it is known."""
    first = variables[0].values
    for variable in variables[1:]:
        other = variable.values
        if first.shape == other.shape and first.dtype.kind == "f":
            other = np.where(np.isnan(first) | np.isnan(other), first, other)
            same = np.allclose(first, other, rtol=1e-5, atol=1e-8, equal_nan=True)
        else:
            same = np.array_equal(first, other)
        if not same and where not in _OF_FIRST_SEED:
            raise ValueError(f"trees: expected the same {where} in all, got others")


def _fill(variables: Sequence[xr.Variable]) -> xr.Variable:
    """Return the first of equal variables, with what it lacks from the others."""
    values = variables[0].values
    if "step" in variables[0].dims:
        for variable in variables[1:]:
            values = np.where(np.isnan(values), variable.values, values)
    return variables[0].copy(data=values)


# ----------------------------------------------------------------- attributes


def _merge_attributes(path: str, parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Join the attributes of one group of all trees."""
    merged = {}
    for name, first in parts[0].items():
        values: list[Any] = [part.get(name) for part in parts]
        if (path, name) in _RULES:
            merged[name] = _RULES[path, name](values)
        elif all(value == first for value in values):
            merged[name] = first
        elif all(isinstance(value, int | float) for value in values):
            merged[name] = float(np.mean(values))  # measured: what was asked for is in config
        else:
            raise ValueError(f"trees: expected the same attribute {name} of {path}, got {values}")
    return merged


def _join_lists(values: Sequence[str]) -> str:
    return json.dumps([item for value in values for item in json.loads(value)])


def _join_words(values: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(values))


def _join_versions(values: Sequence[str]) -> str:
    """Name every version of a package that took part."""
    tables = [json.loads(value) for value in values]
    names = dict.fromkeys(name for table in tables for name in table)
    return json.dumps(
        {name: _join_words([table[name] for table in tables if name in table]) for name in names}
    )


def _join_configs(values: Sequence[str]) -> str:
    """Count the seeds of configurations that are the same but for them."""
    tables = [json.loads(value) for value in values]
    others = [{name: table[name] for name in table if name != "seeds"} for table in tables]
    for other in others[1:]:
        changed = [name for name in other if other[name] != others[0].get(name)]
        if other != others[0]:
            raise ValueError(f"trees: expected one configuration, got others in {changed}")
    return values[0]


_RULES: Mapping[tuple[str, str], Callable[[Sequence[Any]], Any]] = MappingProxyType(
    {
        ("/", "config"): _join_configs,
        ("/", "device"): _join_words,
        ("/", "git_revision"): _join_words,
        ("/", "seeds"): _join_lists,
        ("/", "started"): min,
        ("/", "versions"): _join_versions,
        ("/", "wall_time_s"): sum,
        ("/training", "devices"): _join_words,
        ("/training", "flops_total"): sum,
        ("/training", "num_sequences_seen"): max,
        ("/training", "num_steps"): max,
        ("/training", "num_tokens_seen"): max,
        ("/training", "seconds"): _join_lists,
    }
)
"""How an attribute that depends on the seeds is joined."""
