"""A plausible comparison, made up with NumPy alone, for tests of what reads a tree."""

from typing import Any

import numpy as np
import xarray as xr

from bayescmp.results.claims import Claim
from bayescmp.results.tree import make_dataset, make_tree
from bayescmp.results.verdict_tables import claims_dataset
from bayescmp.results.verdicts import judge_all

RUNGS = ("uniform", "best constant", "position only", "window 1", "window 2", "window 3")
NUM_EXAMPLES = 4
NUM_BINS = 10
NUM_STEPS = 2_000


def synthetic_tree(
    num_seeds: int = 5,
    length: int = 19,
    num_outcomes: int = 20,
    num_layers: int = 3,
    num_heads: int = 4,
    rungs: tuple[str, ...] = RUNGS,
    seed: int = 0,
) -> xr.DataTree:
    """Make up a tree of the whole schema, in the likeness of a bijection of 20 symbols.

    Args:
        num_seeds: seeds of the training run.
        length: asked outcomes; at most `num_outcomes`.
        num_outcomes: symbols, the outcomes of every question.
        num_layers: blocks of the network.
        num_heads: attention heads of each block.
        rungs: names of the rivals, worst first.
        seed: seed of the made-up numbers.

    Returns:
        A tree with every group, optional ones included; with five seeds, the claims
        come out supported, refuted, inconclusive and, against the last rung, supported.
    """
    rng = np.random.default_rng(seed)
    exact = np.log2(np.maximum(num_outcomes - np.arange(length), 1))
    arrays = {
        "/observed_data": _observed_data(rng, length, num_outcomes),
        "/divergence": _divergence(rng, num_seeds, length),
        "/ladder": _ladder(rng, rungs, exact, num_outcomes),
        "/layers": _layers(rng, num_seeds, length, num_layers, num_heads, len(rungs), exact),
        "/calibration": _calibration(rng, num_seeds),
        "/training": _training(rng, num_seeds),
    }
    log_exact = _log_exact(arrays["/observed_data"]["outcome_value"], num_outcomes)
    arrays["/oracle"] = {"entropy": exact, "log_predictive": log_exact}
    arrays["/network"] = _network(rng, num_seeds, exact, log_exact)
    coords = {"rung": rungs, "step": np.arange(20, NUM_STEPS + 1, 20)}
    attrs = _attributes(num_seeds, num_layers, num_heads)
    groups = {
        path: make_dataset(path, values, coords, attrs.get(path)) for path, values in arrays.items()
    }
    unjudged = make_tree(groups, attrs["/"])
    claims = claims_dataset(judge_all(_claims(unjudged, rungs[-1]), unjudged))
    return make_tree({**groups, "/claims": claims}, attrs["/"])


def split(tree: xr.DataTree) -> tuple[dict[str, xr.Dataset], dict[str, object]]:
    """Take a tree apart into what `make_tree` takes."""
    groups = {path: tree[path].to_dataset().copy(deep=True) for path in tree.groups if path != "/"}
    return groups, {str(k): v for k, v in tree.attrs.items() if k != "schema_version"}


def assert_same(left: xr.DataTree, right: xr.DataTree) -> None:
    """Compare trees to the last bit, types and order of groups included."""
    assert left.groups == right.groups
    for path in left.groups:
        a, b = left[path].to_dataset(), right[path].to_dataset()
        xr.testing.assert_identical(a, b)
        assert {k: v.dtype for k, v in a.variables.items()} == {
            k: v.dtype for k, v in b.variables.items()
        }
        assert [type(value) for value in a.attrs.values()] == [
            type(value) for value in b.attrs.values()
        ]


def _attributes(num_seeds: int, num_layers: int, num_heads: int) -> dict[str, dict[str, Any]]:
    certificate = {
        "engine": "closed form",
        "exact": True,
        "reason": "every bijection is equally likely, so unused symbols are equally likely",
        "sites": {"bijection": "integrated in closed form"},
        "error_nat": 2.2e-16,
        "jittable": True,
    }
    versions = {"bayescmp": "0.1.0", "jax": "0.12.0", "numpyro": "0.21.0"}
    sizes = {"num_layers": num_layers, "model_size": 64, "num_heads": num_heads}
    return {
        "/": {
            "study": "bijection",
            "model": "Bijection of 20 symbols",
            "preset": "default",
            "config": {"seeds": num_seeds, "size": 20, "steps": NUM_STEPS},
            "seeds": list(range(num_seeds)),
            "evaluation": "sampled, 4096 sequences",
            "versions": versions,
            "git_revision": "0123456789abcdef",
            "device": "2 x cpu",
            "started": "2025-01-02T03:04:05+00:00",
            "wall_time_s": 231.5,
        },
        "/oracle": {"certificate": certificate},
        "/network": {"architecture": {"kind": "Transformer", **sizes}, "num_parameters": 155_000},
        "/ladder": {"best_constant_entropy_mae": 0.83},
        "/calibration": {"level": 0.95},
        "/training": {
            "objective": "rao_blackwell",
            "optimiser": {"name": "muon", "learning_rate": 0.01},
            "batch_size": 64,
            "num_steps": NUM_STEPS,
            "num_sequences_seen": 64 * NUM_STEPS,
            "num_tokens_seen": 64 * 37 * NUM_STEPS,
            "flops_per_step": 2.2e9,
            "flops_total": 2.2e9 * NUM_STEPS * num_seeds,
            "seconds": [41.5 + 0.1 * k for k in range(num_seeds)],
            "devices": "2 x cpu",
            "num_parameters": 155_000,
        },
    }


def _observed_data(rng: np.random.Generator, length: int, num_outcomes: int) -> dict[str, Any]:
    values = np.stack([rng.permutation(num_outcomes)[:length] for _ in range(NUM_EXAMPLES)])
    keys = np.stack([rng.permutation(num_outcomes)[:length] for _ in range(NUM_EXAMPLES)])
    text = [
        [f"{side}{row[t]}" for t in range(length) for side, row in (("k", k), ("v", v))][:-1]
        for k, v in zip(keys, values, strict=True)
    ]
    return {"outcome_value": values, "shown_text": np.array(text)}


def _log_exact(values: np.ndarray, num_outcomes: int) -> np.ndarray:
    used = np.zeros((*values.shape, num_outcomes), bool)
    for sequence, row in enumerate(values):
        for t in range(1, len(row)):
            used[sequence, t, row[:t]] = True
    with np.errstate(divide="ignore"):
        return np.log(~used / (~used).sum(-1, keepdims=True))


def _network(
    rng: np.random.Generator, num_seeds: int, exact: np.ndarray, log_exact: np.ndarray
) -> dict[str, Any]:
    noise = rng.normal(0, 0.02, (num_seeds, *log_exact.shape))
    logits = np.logaddexp(log_exact, np.log(1e-5)) + noise
    log_network = logits - np.logaddexp.reduce(logits, -1, keepdims=True)
    entropy = exact + rng.normal(1e-3, 4e-4, (num_seeds, len(exact)))
    return {"entropy": entropy, "log_predictive": log_network}


def _divergence(rng: np.random.Generator, num_seeds: int, length: int) -> dict[str, Any]:
    shape = (num_seeds, length)
    kl = 2e-4 * (1 + np.arange(length) / length) * np.exp(rng.normal(0, 0.3, shape))
    gap = 0.9 * kl + np.abs(rng.normal(0, 1e-4, shape))
    data: dict[str, Any] = {
        "kl": kl,
        "kl_standard_error": kl / 40,
        "total_variation": np.sqrt(kl) / 3,
        "impossible_mass": kl * np.linspace(0, 0.5, length),
        "argmax_agreement": 1 - rng.uniform(0, 1e-3, shape),
        "excess_log_loss": kl + rng.normal(0, 5e-4, shape),
        "entropy_gap_abs": gap,
        "entropy_gap_of_means": 0.5 * gap,
        "supervised": np.ones(length, bool),
    }
    means = ("kl", "total_variation", "impossible_mass", "argmax_agreement", "excess_log_loss")
    return data | {
        **{f"mean_{name}": data[name].mean(-1) for name in means},
        "entropy_mae_a": gap.mean(-1),
        "entropy_mae_b": (0.5 * gap).mean(-1),
    }


def _ladder(
    rng: np.random.Generator, rungs: tuple[str, ...], exact: np.ndarray, num_outcomes: int
) -> dict[str, Any]:
    floor = np.log2(num_outcomes) - exact
    share = np.linspace(1, 0.4, len(rungs))[:, None] * rng.uniform(0.95, 1, (len(rungs), 1))
    kl = share * floor
    data: dict[str, Any] = {
        "kl": kl,
        "total_variation": 1 - 2.0**-kl,
        "impossible_mass": 1 - 2.0**-kl,
        "argmax_agreement": 2.0**-kl,
    }
    return data | {
        **{f"mean_{name}": values.mean(-1) for name, values in data.items()},
        "mean_excess_log_loss": kl.mean(-1) + rng.normal(0, 1e-3, len(rungs)),
        "entropy_mae_a": kl.mean(-1),
        "entropy_mae_b": kl.mean(-1),
    }


def _layers(
    rng: np.random.Generator,
    num_seeds: int,
    length: int,
    num_layers: int,
    num_heads: int,
    num_rungs: int,
    exact: np.ndarray,
) -> dict[str, Any]:
    depth = 10.0 ** -np.linspace(0, 3.5, num_layers + 1)[:, None]
    jitter = np.exp(rng.normal(0, 0.2, (num_seeds, num_layers + 1, length)))
    kl = depth * (0.2 + exact[0] - exact) * jitter
    size = 2 * length - 1
    scores = rng.normal(0, 2, (num_layers, num_heads, size, size))
    weights = np.exp(np.where(np.tri(size, dtype=bool), scores, -np.inf))
    weights /= weights.sum(-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.nansum(weights * np.log2(weights), -1)
    to_output = np.concatenate([kl[:, :-1], np.zeros((num_seeds, 1, length))], 1)
    return {
        "kl": kl,
        "kl_to_output": to_output,
        "rung_kl": np.abs(
            np.linspace(0, 2, num_rungs)[:, None, None]
            - np.linspace(0, 3, num_layers + 1)[:, None]
            + rng.normal(0, 0.02, num_seeds)
        ),
        "attention_entropy": entropy * rng.uniform(0.8, 1, (num_seeds, num_layers, num_heads, 1)),
        "attention_pattern": weights,
    }


def _calibration(rng: np.random.Generator, num_seeds: int) -> dict[str, Any]:
    edges = np.linspace(0, 1, NUM_BINS + 1)
    shape = (num_seeds, NUM_BINS)
    empty = np.arange(NUM_BINS) == NUM_BINS - 2
    count = np.where(empty, 0, rng.integers(200, 60_000, shape) // (1 + np.arange(NUM_BINS) ** 2))
    exact = np.where(empty, np.nan, rng.uniform(edges[:-1], edges[1:], shape))
    predicted = np.clip(exact + rng.normal(0, 2e-3, shape), edges[:-1], edges[1:])
    error = np.sqrt(exact * (1 - exact) / np.maximum(count, 1))
    observed = np.clip(exact + error * rng.normal(0, 1, shape), 0, 1)
    share = count / count.sum(-1, keepdims=True)
    return {
        "edges_low": edges[:-1],
        "edges_high": edges[1:],
        "predicted": predicted,
        "observed": observed,
        "observed_low": np.clip(observed - 2 * error, 0, 1),
        "observed_high": np.clip(observed + 2 * error, 0, 1),
        "exact": exact,
        "count": count,
        "ece": np.nansum(share * np.abs(observed - predicted), -1),
        "exact_ece": np.nansum(share * np.abs(exact - predicted), -1),
    }


def _training(rng: np.random.Generator, num_seeds: int) -> dict[str, Any]:
    done = np.linspace(1e-3, 1, NUM_STEPS // 20)
    excess = 1.2 * 10.0 ** (-4 * done) * np.exp(rng.normal(0, 0.15, (num_seeds, len(done))))
    return {
        "loss": 3.1 + excess,
        "excess": excess,
        "learning_rate": 0.01 * np.minimum(done / 0.05, 0.5 + 0.5 * np.cos(np.pi * done)),
    }


def _claims(tree: xr.DataTree, rung: str) -> tuple[Claim, ...]:
    """State one claim of each verdict, and one against a rung."""
    middle = float(tree["/divergence"].to_dataset()["mean_kl"].mean())
    kl = "/divergence/mean_kl"
    return (
        Claim("Entropy MAE is below 0.005 bits", "/divergence/entropy_mae_a", 0.005, "below"),
        Claim("Mean KL is below 0.0001 bits", kl, 1e-4, "below"),
        Claim("Mean KL is below its own mean", kl, middle, "below"),
        Claim(f"Mean KL is below a tenth of that of {rung}", kl, 0.1, "below", rung=rung),
    )
