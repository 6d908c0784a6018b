"""Gradients inside attention: exact identities, and updates that follow them or do not."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
import xarray as xr
from network_cases import build_small
from small_networks import answer, small_config, transformer_for
from synthetic_tree import synthetic_tree

import bayescmp as bc
from bayescmp.inspection.gradients import (
    Gradients,
    check_gradients,
    gradients_group,
)
from bayescmp.inspection.updates import NUM_CONTROLS
from bayescmp.layers.alignment import cosine, random_cosine, read_heads, shake
from bayescmp.layers.attention_gradients import gather, score_gradient, share, value_gradient
from bayescmp.layers.attention_offsets import (
    OffsetAttention,
    Offsets,
    differentiate,
    unroll,
    why_no_advantage,
)
from bayescmp.networks import GRUConfig, TaskShape
from bayescmp.report.gradients import build_gradients_section
from bayescmp.results.tree import validate_tree
from bayescmp.training.objectives import batch_losses

MODEL = bc.models.Bijection(size=5)

CONFIGS = {
    "learned positions": small_config(2, 2, 8, 12),
    "shared keys, rotary, biases, norm after": small_config(
        2, 4, 16, 9, positions="rotary", num_source_heads=2, bias=True, norm_place="post"
    ),
    "alibi, window": small_config(1, 2, 8, 6, positions="alibi", window=3),
    "one source, loops, no feed-forward": small_config(
        1, 3, 6, 0, num_source_heads=1, num_loops=2, positions="none"
    ),
}

# ------------------------------------------------------------------- identities


def mix_slowly(scores: np.ndarray, values: np.ndarray) -> np.ndarray:
    """One head's softmax attention, position by position."""
    rows = []
    for row in scores:
        weights = np.exp(row - row.max())
        weights /= weights.sum()
        rows.append(sum(w * v for w, v in zip(weights, values, strict=True)))
    return np.array(rows)


def test_identities_are_the_finite_differences_of_any_loss():
    """Central differences of step 1e-5 leave errors of about 1e-10 on numbers of order one."""
    rng = np.random.default_rng(0)
    scores, values, wanted = (rng.normal(size=size) for size in ((4, 4), (4, 3), (4, 3)))

    def loss(scores: np.ndarray, values: np.ndarray) -> float:
        return float(np.sum(np.sin(mix_slowly(scores, values)) * wanted))

    def difference(table: np.ndarray, evaluate) -> np.ndarray:
        slopes = np.zeros_like(table)
        for place in np.ndindex(table.shape):
            step = np.zeros_like(table)
            step[place] = 1e-5
            slopes[place] = (evaluate(table + step) - evaluate(table - step)) / 2e-5
        return slopes

    pattern = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    upstream = np.cos(mix_slowly(scores, values)) * wanted
    with jax.enable_x64(True):
        arrays = [jnp.asarray(table[None]) for table in (pattern, values, upstream)]
        by_score = np.asarray(score_gradient(*arrays))[0]
        by_value = np.asarray(value_gradient(arrays[0], arrays[2]))[0]
    np.testing.assert_allclose(by_score, difference(scores, lambda s: loss(s, values)), atol=1e-8)
    np.testing.assert_allclose(by_value, difference(values, lambda v: loss(scores, v)), atol=1e-8)
    np.testing.assert_allclose(by_score.sum(axis=1), 0.0, atol=1e-15)


def in_double(tree):
    return jax.tree.map(
        lambda x: jnp.asarray(np.asarray(x), jnp.float64) if eqx.is_inexact_array(x) else x, tree
    )


@pytest.mark.parametrize(
    ("name", "objective"),
    [*((name, "rao_blackwell") for name in CONFIGS), ("learned positions", "sampled")],
)
def test_identities_hold_in_every_block_for_the_training_objective(name: str, objective: str):
    oracle = bc.derive_oracle(MODEL)
    batch = MODEL.sample(3, key=jax.random.key(0))
    with jax.enable_x64(True):
        network = in_double(unroll(transformer_for(MODEL, CONFIGS[name])))

        @eqx.filter_jit
        def errors(network):
            found = differentiate(
                network,
                batch.inputs,
                lambda n: batch_losses(n, MODEL, oracle, objective, batch).loss,
            )
            return found.errors, found.gradients

        pairs, gradients = errors(network)
    assert len(pairs[0]) == CONFIGS[name].depth
    # Sums of a few hundred products of 64 bits: some 1e-14 of the largest gradient.
    np.testing.assert_array_less(np.concatenate(pairs), 1e-12)
    assert all(np.abs(np.asarray(leaf)).max() > 1e-6 for leaf in gradients)


@pytest.mark.parametrize("name", CONFIGS)
def test_zeros_change_nothing_and_loops_may_be_written_out(name: str):
    network = transformer_for(MODEL, CONFIGS[name])
    inputs = MODEL.sample(2, key=jax.random.key(0)).inputs
    flat = unroll(network)
    plain, trace = answer(network, inputs), eqx.filter_jit(flat.trace_layers)(inputs)
    np.testing.assert_allclose(trace.logits, plain, rtol=1e-5, atol=1e-6)  # single precision
    heads = jnp.zeros_like(share(trace.values, trace.attn_pattern.shape[-3]))
    zeros = Offsets(jnp.zeros_like(trace.attn_pattern), jnp.zeros_like(trace.values), heads)
    mixer = OffsetAttention(flat.blocks.mixer, zeros)
    again = eqx.tree_at(lambda n: n.blocks.mixer, flat, mixer)
    np.testing.assert_allclose(answer(again, inputs), plain, rtol=1e-5, atol=1e-6)


def test_heads_that_share_values_share_their_gradients():
    rng = np.random.default_rng(0)
    heads = jnp.asarray(rng.normal(size=(2, 6, 3, 4)), "f4")
    expected = np.asarray(heads).reshape(2, 3, 2, 3, 4).sum(axis=2)
    np.testing.assert_allclose(gather(heads, 3), expected, rtol=1e-6)
    np.testing.assert_array_equal(share(heads[:, :3], 6)[:, 1], heads[:, 0])


def test_networks_without_a_mean_payoff_are_refused():
    sigmoid = transformer_for(MODEL, small_config(1, 2, 8, 0, kernel="sigmoid"))
    assert "kernel='sigmoid' are no probabilities" in why_no_advantage(sigmoid)
    gru = GRUConfig(num_layers=1, model_size=4, mlp_size=0)
    recurrent = eqx.filter_eval_shape(gru.build, TaskShape.of(MODEL), key=jax.random.key(0))
    with pytest.raises(ValueError, match="expected attention by a softmax, got none: nothing"):
        unroll(recurrent)


# -------------------------------------------------------------------- alignment


def test_the_cosine_is_numpys():
    rng = np.random.default_rng(0)
    change, direction = rng.normal(size=(2, 2, 5, 3, 4, 4))
    weights = rng.dirichlet(np.ones(5))
    found = np.asarray(cosine(*(jnp.asarray(x) for x in (change, direction, weights))))
    for layer, head in np.ndindex(2, 3):
        x, y = (
            (each[layer, :, head] * np.sqrt(weights)[:, None, None]).ravel()
            for each in (change, direction)
        )
        expected = x @ y / np.linalg.norm(x) / np.linalg.norm(y)
        assert found[layer, head] == pytest.approx(expected, abs=1e-5)  # single precision
    assert np.isnan(cosine(jnp.zeros((1, 1, 1, 2)), jnp.ones((1, 1, 1, 2)), jnp.ones(1))).all()


@pytest.mark.parametrize("dimension", [2, 3, 50])
def test_random_directions_stay_below_the_exact_quantile(dimension: int):
    draws = np.random.default_rng(dimension).normal(size=(20_000, dimension))
    cosines = np.abs(draws[:, 0]) / np.linalg.norm(draws, axis=1)
    # Five standard errors of a share of 5 % in 20,000 draws.
    assert abs((cosines > random_cosine(dimension)).mean() - 0.05) < 5 * np.sqrt(0.05 * 0.95 / 2e4)
    if dimension == 3:  # a coordinate is uniform on the sphere
        assert random_cosine(3) == pytest.approx(0.95)
    with pytest.raises(ValueError, match="dimension: expected at least 2, got 1"):
        random_cosine(1)


def test_random_updates_are_as_large_in_every_array():
    rng = np.random.default_rng(0)
    before = {"a": jnp.zeros((3, 4)), "b": jnp.ones(5)}
    after = {"a": jnp.asarray(rng.normal(size=(3, 4)), "f4"), "b": jnp.ones(5)}
    moved = shake(before, after, key=jax.random.key(0))
    assert float(jnp.linalg.norm(moved["a"])) == pytest.approx(np.linalg.norm(after["a"]), rel=1e-5)
    np.testing.assert_array_equal(moved["b"], 1.0)  # no update, no random one


def test_scores_are_read_up_to_what_a_softmax_does_not_see():
    network = transformer_for(MODEL, CONFIGS["alibi, window"])
    inputs = MODEL.sample(2, key=jax.random.key(0)).inputs
    shown = jnp.ones(inputs.shape, bool).at[0, -1].set(False)
    found = np.asarray(read_heads(network, inputs, shown).scores)
    pattern = np.asarray(network.trace_layers(inputs).attn_pattern)
    for layer, sequence, head, place in np.ndindex(pattern.shape[:-1]):
        allowed = pattern[layer, sequence, head, place] > 0
        logs = np.log(pattern[layer, sequence, head, place][allowed])
        row = found[layer, sequence, head, place]
        expected = (logs - logs.mean()) * bool(shown[sequence, place])
        np.testing.assert_allclose(row[allowed], expected, atol=1e-5)
        assert (row[~allowed] == 0.0).all()


@pytest.fixture(scope="module")
def recording():
    network = transformer_for(MODEL, small_config(1, 2, 8, 12))
    key = jax.random.key(0)
    return bc.inspection.record(network, bc.derive_oracle(MODEL), key=key, num_sequences=64)


def descend(recording, size: float):
    """Take one step of gradient descent on the exact loss, with what attention projects by."""
    params, static = eqx.partition(recording.network, eqx.is_inexact_array)
    batch, log_p = recording.evaluation.batch, jnp.asarray(recording.evaluation.log_p, "f4")

    @jax.jit
    def loss(params):
        logits = eqx.combine(params, static).logits_at(batch.inputs, MODEL.asked_positions)
        return bc.measures.cross_entropy(log_p, jax.nn.log_softmax(logits)).mean()

    slopes, moved = jax.grad(loss)(params), recording.network
    for name in ("query", "key", "value"):
        step = size * getattr(slopes.blocks.mixer, name)
        moved = eqx.tree_at(
            lambda n, m=name: getattr(n.blocks.mixer, m), moved, replace_fn=lambda x, s=step: x - s
        )
    return moved


@pytest.fixture(scope="module")
def followed(recording) -> Gradients:
    """One step of gradient descent, then a random one."""
    down = descend(recording, 0.02)
    params, static = eqx.partition(down, eqx.is_inexact_array)
    start = eqx.filter(recording.network, eqx.is_inexact_array)
    astray = eqx.combine(shake(params, start, key=jax.random.key(5)), static)
    history = {0: recording.network, 1: down, 2: astray}
    return check_gradients(recording, key=jax.random.key(1), history=history)


def test_a_step_of_gradient_descent_is_seen_and_a_random_one_is_not(followed: Gradients):
    assert (followed.score_error < 1e-4).all()  # single precision
    assert (followed.value_error < 1e-4).all()
    found = followed.alignment
    assert found is not None
    assert found.cosine.shape == (2, 2, 1, 2)
    assert found.controls.shape == (2, NUM_CONTROLS, 2, 1, 2)
    effects = followed.effects()
    assert effects
    assert all(effect.where.endswith("step 1") for effect in effects)
    beyond = found.cosine[:, None] > found.controls
    assert beyond[0].all(), "downhill, scores and values move further than any random update"
    assert not beyond[1].all(axis=0).all()
    assert all(effect.value > effect.control for effect in effects)


def test_random_updates_raise_no_alarm_more_often_than_stated(recording):
    """Two histories of two with an effect would be likely once in 400 times, at 5 % each."""
    params, static = eqx.partition(recording.network, eqx.is_inexact_array)
    alarms = 0
    for trial in range(2):
        history, now = {0: recording.network}, params
        for step in range(12):
            key = jax.random.fold_in(jax.random.key(trial), step)
            now = shake(now, jax.tree.map(lambda x: x + 0.05, now), key=key)
            history[step + 1] = eqx.combine(now, static)
        found = check_gradients(recording, key=jax.random.key(trial), history=history)
        assert found.alignment is not None
        p = found.alignment.p_values.ravel()
        # Uniform, if real updates are like the controls; heads of one update are not quite
        # independent, which the generous level allows for.
        assert scipy.stats.kstest(p, "uniform").pvalue > 1e-4
        alarms += bool(found.effects())
    assert alarms < 2


def test_without_a_history_there_is_no_effect(recording):
    found = check_gradients(recording, key=jax.random.key(0))
    assert (found.alignment, found.effects()) == (None, ())
    assert found.objective == "rao_blackwell"
    assert found.score_gradient.shape == (1, 2)
    assert (found.score_gradient > 0).all()


def test_no_update_has_no_cosine(recording):
    history = {0: recording.network, 1: recording.network}
    found = check_gradients(recording, key=jax.random.key(0), history=history)
    assert found.alignment is not None
    assert np.isnan(found.alignment.p_values).all()
    assert found.effects() == ()
    section = build_gradients_section(with_group([found]))
    assert "scores did not move; values did not move" in section.paragraphs[1]


def test_the_null_counts_what_is_free(recording):
    query = recording.network.blocks.mixer.query
    moved = eqx.tree_at(lambda n: n.blocks.mixer.query, recording.network, 2 * query)
    history = {0: recording.network, 1: moved}
    found = check_gradients(recording, key=jax.random.key(0), history=history)
    assert found.num_sequences == 64
    assert found.alignment is not None
    length = int(MODEL.asked_positions[-1]) + 1
    ties = 64 * sum(range(length))  # row i has i + 1 places and one tie
    expected = (random_cosine(ties), random_cosine(64 * length * 4))
    assert found.alignment.nulls == pytest.approx(expected)
    assert np.isnan(found.alignment.cosine[:, 1]).all(), "values have not moved"
    assert np.isfinite(found.alignment.cosine[:, 0]).all()


# ------------------------------------------------------------------------ pages


def with_group(results: list[Gradients]) -> xr.DataTree:
    """Put gradients into a made-up comparison with as many blocks and heads."""
    tree = synthetic_tree(num_seeds=len(results), length=2).drop_nodes(["layers", "claims"])
    tree["/gradients"] = xr.DataTree(gradients_group(results))
    return tree


def test_the_group_fits_the_table_and_its_section_says_what_was_found(followed: Gradients):
    tree = with_group([followed, followed])
    validate_tree(tree)
    assert tree["/gradients/routing_cosine"].dims == ("seed", "update", "block", "head")
    section = build_gradients_section(tree)
    assert not section.missing
    assert [figure.ident for figure in section.figures] == ["fig-alignment"]
    assert "rao_blackwell" in section.paragraphs[0]
    alone = replace(followed, alignment=None)
    section = build_gradients_section(with_group([alone]))
    assert "no checkpoints were given" in section.missing[0]
    assert section.tables
    with pytest.raises(ValueError, match="got 2 of 2 kinds"):
        gradients_group([followed, alone])


def test_a_network_that_does_not_attend_says_so(recording):
    config = GRUConfig(num_layers=1, model_size=4, mlp_size=0)
    recurrent = replace(recording, network=build_small(config, TaskShape.of(MODEL)))
    found = check_gradients(recurrent, key=jax.random.key(0))
    assert (found.missing, found.effects()) == ("nothing attends in a GRU", ())
    tree = with_group([found])
    validate_tree(tree)
    (told,) = build_gradients_section(tree).missing
    assert told == "No score pays more than the mean here: nothing attends in a GRU."


def test_without_the_group_the_section_says_so():
    (missing,) = build_gradients_section(synthetic_tree(num_seeds=1, length=2)).missing
    assert "/gradients" in missing
