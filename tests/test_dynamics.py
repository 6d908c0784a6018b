"""Training seen through its checkpoints: what settles first, and which phase it is in."""

from dataclasses import replace
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from network_cases import build_small
from scipy.spatial.distance import jensenshannon
from small_networks import Table, small_config, trace_fields, transformer_for
from synthetic_tree import synthetic_tree

import bayescmp as bc
from bayescmp.inspection.curves import trace_curves
from bayescmp.inspection.dynamics import Dynamics, dynamics_group, follow_training
from bayescmp.inspection.history import go_straight, over_checkpoints, read_history, take_few
from bayescmp.layers.phases import (
    Phase,
    coverage_step,
    dissociate,
    find_phases,
    js_divergence,
    share_covered,
)
from bayescmp.networks import LSTMConfig, PositionwiseConfig, TaskShape
from bayescmp.report.dynamics import build_dynamics_section
from bayescmp.results.tree import validate_tree
from bayescmp.training.checkpoints.snapshots import Snapshot

STEPS = (0, 1, 3, 10, 30, 100, 300, 1000)
MODEL = bc.models.beta_bernoulli(length=4)

# --------------------------------------------------------------------- settling


def covered_slowly(curve: np.ndarray) -> list[float]:
    """The share covered for good at each checkpoint, as its definition says it."""
    total = curve[0] - curve[-1]
    return [max(0.0, min((curve[0] - later) / total for later in curve[t:])) for t in range(8)]


def settled_slowly(curve: np.ndarray, share: float) -> float:
    covered = covered_slowly(curve)
    for t in range(1, 8):
        if covered[t] >= share:
            part = (share - covered[t - 1]) / (covered[t] - covered[t - 1])
            first, last = np.log(1 + STEPS[t - 1]), np.log(1 + STEPS[t])
            return np.exp(first + part * (last - first)) - 1
    raise AssertionError("the last share is one")


@pytest.mark.parametrize("rising", [False, True])
def test_settling_equals_its_definition(rising: bool):
    curves = np.random.default_rng(rising).normal(size=(40, 8)) / 3 - np.linspace(0, 4, 8)
    curves = -curves if rising else curves
    for share in (0.5, 0.9, 1.0):
        found = np.asarray(coverage_step(STEPS, curves, share))
        expected = [settled_slowly(curve, share) for curve in curves]
        np.testing.assert_allclose(found, expected, rtol=1e-10)  # the same sums in float64
    np.testing.assert_allclose(share_covered(curves), [covered_slowly(c) for c in curves])


def test_a_step_between_checkpoints_is_found_on_the_logarithm_of_the_step():
    curve = 1.0 - np.minimum(np.log1p(STEPS) / np.log1p(57.0), 1.0)  # straight, done by step 57
    fine = tuple(range(200))
    dense = 1.0 - np.minimum(np.log1p(fine) / np.log1p(57.0), 1.0)
    assert coverage_step(fine, dense) == pytest.approx(58.0**0.9 - 1, rel=1e-9)
    assert coverage_step(STEPS, curve) == pytest.approx(58.0**0.9 - 1, rel=0.4)  # coarse ones


def test_what_has_not_changed_or_is_not_finite_has_no_step():
    flat, wrong = np.full(8, 0.3), np.linspace(1.0, 0.0, 8)
    wrong[3] = np.inf
    assert np.isnan(coverage_step(STEPS, np.stack([flat, wrong]))).all()
    assert np.isnan(coverage_step(STEPS, flat + 1e-9 * np.arange(8)))  # below rounding in 32 bits


@pytest.mark.parametrize(
    ("steps", "share", "message"),
    [
        ((0, 2, 1), 0.9, r"steps: expected 3 increasing numbers, got \[0, 2, 1\]"),
        ((0, 1), 0.9, "steps: expected 3 increasing"),
        ((0, 1, 2), 0.0, "share: expected a number above 0 and at most 1, got 0.0"),
        ((0, 1, 2), 1.1, "share: expected a number above 0"),
    ],
)
def test_steps_and_shares_out_of_range_are_refused(steps, share, message):
    with pytest.raises(ValueError, match=message):
        coverage_step(steps, np.ones(3), share)


def test_one_checkpoint_is_not_enough():
    with pytest.raises(ValueError, match="curves: expected at least 2 checkpoints, got 1"):
        share_covered(np.ones((3, 1)))


def falling(settled: float, rng: np.random.Generator, num: int = 60) -> np.ndarray:
    """Noisy curves that fall along the logarithm of the step, and are done by a step."""
    mean = np.maximum(1.0 - np.log1p(STEPS) / np.log1p(settled), 0.0)
    return mean + 0.05 * rng.normal(size=(num, 8)) * (mean > 0.0)


def test_attention_that_freezes_early_gives_the_right_ratio():
    rng = np.random.default_rng(0)
    found = dissociate(STEPS, falling(10, rng), falling(1000, rng), rng=rng)
    assert found.frame_step == pytest.approx(11.0**0.9 - 1, rel=0.1)  # done at a checkpoint
    assert found.output_step == pytest.approx(1001.0**0.9 - 1, rel=0.1)
    assert 1.0 < found.low < found.ratio < found.high
    assert found.low < (1001.0**0.9 - 1) / (11.0**0.9 - 1) < found.high


def test_curves_that_fall_together_are_not_told_apart():
    """The interval of 95 % misses one in 5 % of draws: 3 of 60 on average, 10 at the most.

    Above 10 of 60 at 5 % each is less likely than 1e-4.
    """
    rng = np.random.default_rng(1)
    misses = 0
    for _ in range(60):
        found = dissociate(STEPS, falling(200, rng), falling(200, rng), rng=rng, num_resamples=200)
        misses += not found.low <= 1.0 <= found.high
    assert misses <= 10
    same = falling(200, rng)
    found = dissociate(STEPS, same, same, rng=rng)
    assert (found.low, found.ratio, found.high) == (1.0, 1.0, 1.0)


def test_no_change_is_no_ratio():
    still, moving = np.ones((5, 8)), np.tile(np.linspace(1, 0, 8), (5, 1))
    for frame, output in ((still, moving), (moving, still), (still, still)):
        found = dissociate(STEPS, frame, output, rng=np.random.default_rng(0))
        assert np.isnan([found.ratio, found.low, found.high]).all()


def test_every_sequence_weighs_what_it_is_likely():
    rng = np.random.default_rng(3)
    frame, output = falling(10, rng, 4), falling(300, rng, 4)
    often = np.array([3, 0, 1, 2])
    repeated = dissociate(
        STEPS, np.repeat(frame, often, axis=0), np.repeat(output, often, axis=0), rng=rng
    )
    weighted = dissociate(STEPS, frame, output, often / 6, rng=rng)
    assert weighted.ratio == pytest.approx(repeated.ratio, rel=1e-12)
    assert weighted.low == weighted.high == weighted.ratio  # nothing is left to chance


def test_the_divergence_of_patterns_is_scipys():
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(5), (2, 30))
    p[0], q[0] = np.eye(5)[0], np.eye(5)[1]  # no place in common: log 2
    q[1] = p[1]
    with jax.enable_x64(True):
        found = np.asarray(js_divergence(jnp.asarray(p), jnp.asarray(q)))
    np.testing.assert_allclose(found, jensenshannon(p, q, axis=-1) ** 2, rtol=1e-10, atol=1e-15)
    assert found[1] == 0.0


def test_phases_are_stretches_of_one_name():
    names = ("uniform", "uniform", "window 1", "uniform", "exact")
    assert find_phases((0, 1, 2, 5, 9), names) == (
        Phase("uniform", 0, 1),
        Phase("window 1", 2, 2),
        Phase("uniform", 5, 5),
        Phase("exact", 9, 9),
    )
    assert find_phases((), ()) == ()


# --------------------------------------------------------------------- networks


@pytest.fixture(scope="module")
def oracle() -> bc.AbstractOracle:
    return bc.derive_oracle(MODEL)


def move(network, where, seed: int, size: float = 1.0):
    """Change one part of a network at random."""
    rng = np.random.default_rng(seed)
    old = where(network)
    return eqx.tree_at(where, network, old + jnp.asarray(size * rng.normal(size=old.shape), "f4"))


@pytest.fixture(scope="module")
def planted() -> dict[int, bc.Transformer]:
    """Attention is done after step 1, and the read-out changes until step 9."""
    start = transformer_for(MODEL, small_config(1, 2, 8, 12))
    attends = move(start, lambda n: n.blocks.mixer.query, 1)
    other = move(attends, lambda n: n.unembedding, 2)
    return {0: start, 1: attends, 3: other, 9: move(other, lambda n: n.unembedding, 3)}


@pytest.fixture(scope="module")
def found(planted, oracle) -> Dynamics:
    return follow_training(planted, oracle, key=jax.random.key(0))


def test_planted_order_is_found(found: Dynamics):
    assert found.steps == (0, 1, 3, 9)
    assert found.followed == "attention"
    assert found.head_frame is not None
    assert (found.head_frame[0] > 1e-3).all()
    assert (found.frame[1:] == 0.0).all(), "nothing that attention reads has changed since"
    # Nine tenths of the way from step 0 to step 1, on the logarithm of 1 + step.
    assert found.dissociation.frame_step == pytest.approx(2.0**0.9 - 1)
    assert found.dissociation.output_step > 1.0
    assert found.dissociation.ratio > 1.5
    assert found.num_sequences == 16
    assert found.straight.frame_step != found.dissociation.frame_step


def test_figures_are_means_over_all_sequences(found: Dynamics, planted, oracle):
    """Every sequence of four tosses by hand: Laplace's rule, its probability, and the lens."""
    batch = take_few(oracle, None, key=jax.random.key(1)).batch
    trace = trace_fields(planted[9], batch.inputs)
    streams = [trace["resid_pre"][0], trace["resid_mid"][0], trace["resid_post"][0]]
    laws = [np.asarray(jax.nn.softmax(planted[9].read_out(x)), np.float64) for x in streams]
    exact, uniform = np.zeros(3), 0.0
    for row, tosses in enumerate(np.asarray(batch.outcomes)):
        heads, probability = 0, 1.0
        bits = np.zeros(4)
        for t, toss in enumerate(tosses):
            rule = np.array([1 + t - heads, 1 + heads]) / (2 + t)
            place = int(MODEL.asked_positions[t])
            for stream, law in enumerate(laws):
                bits[stream] += rule @ np.log2(rule / law[row, place]) / 4
            bits[3] += 0.5 * np.log2(0.5 / laws[2][row, place]).sum() / 4
            probability *= rule[toss]
            heads += toss
        exact += probability * bits[:3]
        uniform += probability * bits[3]
    # The same answers in 32 bits, compiled in another way.
    np.testing.assert_allclose(found.lens_kl[-1], exact, rtol=1e-4)
    assert found.rung_kl[-1, found.rungs.index("uniform")] == pytest.approx(uniform, rel=1e-4)
    rule = found.rung_kl[:, found.rungs.index("add-one counts")]
    np.testing.assert_allclose(rule, found.kl, rtol=1e-9)
    np.testing.assert_array_equal(found.kl, found.lens_kl[:, -1])


def test_the_nearest_explanation_has_the_least_divergence(found: Dynamics):
    every = np.concatenate([found.kl[:, None], found.rung_kl], axis=1)
    names = ["exact", *found.rungs]
    for row, name in zip(every, found.nearest, strict=True):
        assert row[names.index(name)] == row.min()
    near = replace(found, kl=np.full(4, 1e-9))
    assert near.phases == (Phase("exact", 0, 9),)


def test_a_network_that_never_changes_has_no_ratio(planted, oracle):
    same = follow_training({0: planted[0], 5: planted[0]}, oracle, key=jax.random.key(0))
    assert np.isnan([same.dissociation.ratio, same.straight.ratio]).all()
    tree = with_group([same])
    section = build_dynamics_section(tree)
    assert section.paragraphs[0] == (
        "Over these checkpoints nothing changed in attention and in the divergence from exact: "
        "no ratio."
    )


def test_networks_without_attention_are_followed_by_what_they_mix(oracle):
    config = LSTMConfig(num_layers=1, model_size=8, mlp_size=0)
    ends = [build_small(config, TaskShape.of(MODEL), seed=seed) for seed in (0, 1)]
    found = follow_training(dict(zip((0, 4), ends, strict=True)), oracle, key=jax.random.key(0))
    assert (found.followed, found.head_frame) == ("mixer", None)
    evaluation = take_few(oracle, None, key=jax.random.key(0))
    first, last = (
        np.asarray(trace_fields(end, evaluation.batch.inputs)["mixer_out"][0]) for end in ends
    )
    # Every input position but the last one, which comes after the last question.
    reach = evaluation.model.asked_positions[-1] + 1
    first, last = first[:, :reach], last[:, :reach]
    ratios = ((first - last) ** 2).sum((1, 2)) / (last**2).sum((1, 2))
    assert found.frame[0] == pytest.approx(evaluation.weights @ ratios, rel=1e-4)
    validate_tree(with_group([found]))


def test_a_network_that_mixes_nothing_has_no_ratio(oracle):
    config = PositionwiseConfig(num_layers=1, model_size=4, mlp_size=8)
    ends = [build_small(config, TaskShape.of(MODEL), seed=seed) for seed in (0, 1)]
    evaluation = take_few(oracle, None, key=jax.random.key(0))
    curves = trace_curves(ends, evaluation, {})
    assert np.isnan(curves.frame).all()


def test_weights_go_straight_from_the_first_to_the_last():
    def table(*values: float) -> Table:
        return Table(jnp.asarray([values]))

    path = [table(0.0, 0.0), table(0.0, 3.0), table(6.0, 3.0), table(3.0, 4.0)]
    walked = [np.asarray(each.table) for each in go_straight(path)]
    # Distances from the start are 0, 3, more than all the way, and 5 of 5.
    for found, share in zip(walked, (0.0, 0.6, 1.0, 1.0), strict=True):
        np.testing.assert_allclose(found, share * np.array([[3.0, 4.0]]), rtol=1e-6)


def test_every_instrument_runs_over_checkpoints(planted, oracle):
    found = over_checkpoints(
        lambda seen: (seen.streams.shape, seen.sequence_weights.sum()),
        planted,
        oracle,
        key=jax.random.key(0),
        num_sequences=8,
    )
    assert list(found) == [0, 1, 3, 9]
    assert all(shape == (3, 8, 4, 8) for shape, _ in found.values())


def test_the_snapshots_of_a_run_are_a_history(planted, monkeypatch: pytest.MonkeyPatch):
    run = {seed: {step: seed * step for step in (0, 9)} for seed in (1, 2)}
    monkeypatch.setattr(Snapshot, "network", lambda self, seed: planted[run[seed][self.step]])
    snapshots = [Snapshot(step, Path(f"step_{step}.ckpt")) for step in (9, 0)]
    with pytest.raises(KeyError):
        read_history(snapshots, seed=2)  # 18 steps were never done
    networks = read_history(snapshots, seed=1)
    assert list(networks) == [0, 9]
    assert networks[9] is planted[9]
    monkeypatch.setattr(Snapshot, "network", lambda self, seed: Table.zeros(MODEL))
    with pytest.raises(TypeError, match="history: expected networks that can be traced, got Table"):
        read_history(snapshots)


@pytest.mark.parametrize("history", [{}, []])
def test_a_history_without_checkpoints_is_refused(history, oracle):
    with pytest.raises(ValueError, match="history: expected at least 2 checkpoints, got 0; train"):
        follow_training(history, oracle, key=jax.random.key(0))


def test_too_few_sequences_and_answers_that_are_no_numbers_are_refused(planted, oracle):
    with pytest.raises(ValueError, match="num_sequences: expected at least 4, got 3"):
        follow_training(planted, oracle, key=jax.random.key(0), num_sequences=3)
    broken = eqx.tree_at(lambda n: n.unembedding, planted[0], jnp.full((8, 2), jnp.nan))
    evaluation = take_few(oracle, None, key=jax.random.key(0))
    with pytest.raises(ValueError, match="expected finite answers at every checkpoint"):
        trace_curves([broken, planted[9]], evaluation, {})


# ------------------------------------------------------------------------ pages


def with_group(results: list[Dynamics]) -> xr.DataTree:
    """Put dynamics into a made-up comparison with the same rungs."""
    tree = synthetic_tree(num_seeds=len(results), length=4, num_outcomes=5, rungs=results[0].rungs)
    tree = tree.drop_nodes(["layers", "claims"])
    tree["/dynamics"] = xr.DataTree(dynamics_group(results))
    return tree


def test_the_group_fits_the_table_and_its_section_says_what_was_found(found: Dynamics):
    tree = with_group([found, found])
    validate_tree(tree)
    assert tree["/dynamics/rung_kl"].dims == ("seed", "checkpoint", "rung")
    assert tree["/dynamics/kl"]["checkpoint"].values.tolist() == [0, 1, 3, 9]
    section = build_dynamics_section(tree)
    assert not section.missing
    assert [figure.ident for figure in section.figures] == [
        "fig-settling",
        "fig-phases",
        "fig-lens-dynamics",
    ]
    assert "attention has made 90 % of its change for good" in section.paragraphs[0]
    assert "from step 0" in section.paragraphs[1]
    assert section.tables[0].rows[0].cells[4].text == "none: every sequence is looked at"


def test_without_the_group_the_section_says_so():
    (missing,) = build_dynamics_section(synthetic_tree(num_seeds=1, length=2)).missing
    assert "/dynamics" in missing


def test_seeds_with_other_checkpoints_are_refused(found: Dynamics):
    with pytest.raises(ValueError, match="same checkpoints, rungs and blocks, got 2 of 2 kinds"):
        dynamics_group([found, replace(found, steps=(0, 1, 3, 8))])
    with pytest.raises(ValueError, match="got 0 of 0 kinds"):
        dynamics_group([])
