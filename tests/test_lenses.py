"""The logit, tuned and Bayes lens at every place of the residual stream."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import planted
import pytest
import scipy.optimize
import scipy.special
from small_networks import small_config, transformer_for
from synthetic_tree import split, synthetic_tree

import bayescmp as bc
from bayescmp.inspection.lens_distances import Rivals, mean_kl, measure_distances
from bayescmp.inspection.lens_fitting import normalised, plan_fitting
from bayescmp.inspection.lens_record import LENSES
from bayescmp.inspection.lenses import (
    Lenses,
    ladder_laws,
    lenses_group,
    read_lenses,
    read_untrained,
)
from bayescmp.inspection.recording import Recording, record
from bayescmp.layers.affine_lens import Questions, fit_bayes_lens, whiten
from bayescmp.layers.lens import logit_lens, sublayer_lens
from bayescmp.layers.tuned_lens import fit_tuned_lens
from bayescmp.networks.network import AbstractTracedNetwork
from bayescmp.plots.lens_heads import plot_lens_heads, plot_lens_positions
from bayescmp.plots.lenses import plot_lens_means, plot_lens_rungs, plot_lenses
from bayescmp.report.lenses import build_lenses_section
from bayescmp.results.tree import make_tree

CONFIG = small_config(2, 2, 8, 12, positions="learned", activation="gelu")
LOGIT, TUNED, BAYES = range(3)


@pytest.fixture(scope="module")
def coin() -> bc.Oracle:
    return bc.derive_oracle(planted.MODEL)


@pytest.fixture(scope="module")
def bijection() -> Recording:
    """A random network on drawn sequences of which many outcomes are impossible."""
    oracle = bc.derive_oracle(bc.models.Bijection(size=5))
    network = transformer_for(oracle.model, CONFIG)
    return record(network, oracle, key=jax.random.key(0), num_sequences=256)


@pytest.fixture(scope="module")
def seen(bijection: Recording) -> Lenses:
    return read_lenses(bijection, key=jax.random.key(1), num_draws=3)


def coin_lenses(network: bc.Transformer, oracle: bc.Oracle, seed: int = 0) -> Lenses:
    """Look at a network of the coin; the ladder has no part in effects."""
    recording = record(network, oracle, key=jax.random.key(0))
    return read_lenses(recording, key=jax.random.key(seed), rung_laws={})


def questions(stream: np.ndarray, law: np.ndarray) -> Questions:
    return Questions(stream, law, np.full(len(stream), 1.0 / len(stream)))


def some_questions(num: int = 60, width: int = 3, num_outcomes: int = 4) -> Questions:
    """Draw rows whose law is no softmax of an affine map, and impossible in places."""
    rng = np.random.default_rng(0)
    stream = rng.normal(size=(num, width)) * [1.0, 30.0, 0.1] + [0.0, 5.0, 1.0]
    law = rng.dirichlet(np.ones(num_outcomes), num) * (rng.random((num, num_outcomes)) < 0.8)
    law[:, 0] += 0.01
    return questions(stream, law / law.sum(axis=1, keepdims=True))


def slow_loss(flat: np.ndarray, rows: Questions, penalty: float) -> float:
    """Return the penalised cross-entropy in the stream's own basis."""
    table = flat.reshape(rows.stream.shape[1] + 1, -1)
    logits = rows.stream @ table[:-1] + table[-1]
    log_q = logits - scipy.special.logsumexp(logits, axis=1, keepdims=True)
    total = -float(rows.weights @ (rows.law * log_q).sum(axis=1))
    centred = logits - rows.weights @ logits
    return total + 0.5 * penalty * float((rows.weights @ centred**2).sum())


@eqx.filter_jit
def look(
    network: AbstractTracedNetwork, inputs: jax.Array, positions: jax.Array
) -> tuple[jax.Array, ...]:
    """Return both logit lenses, and logits of the first middle and of the network itself."""
    trace = network.trace_layers(inputs)
    middle = network.read_out(trace.resid_mid[0][:, positions])
    lenses = (f(network, trace, positions) for f in (sublayer_lens, logit_lens))
    return *lenses, middle, trace.logits[:, positions]


@eqx.filter_jit
def look_inside(network: AbstractTracedNetwork, inputs: jax.Array) -> bc.LayerTrace:
    return network.trace_layers(inputs)


def test_every_place_is_read_out_as_if_it_were_the_last(bijection: Recording) -> None:
    network, inputs = bijection.network, bijection.evaluation.batch.inputs[:3]
    positions = jnp.array([0, 4])
    lens, by_block, middle, own = look(network, inputs, positions)
    np.testing.assert_allclose(lens[::2], by_block, atol=1e-6)
    np.testing.assert_allclose(lens[-1], jax.nn.log_softmax(own), atol=1e-5)
    np.testing.assert_allclose(lens[1], jax.nn.log_softmax(middle), atol=1e-5)


@pytest.mark.parametrize("penalty", [1e-1, 1e-3])
def test_the_bayes_lens_is_as_near_as_any_softmax_regression(penalty: float) -> None:
    """Both are minima of one convex function: the other search ends at a gradient of 1e-5."""
    rows = some_questions()
    lens = fit_bayes_lens(rows, rows, penalties=(penalty,), num_steps=300)
    own = np.concatenate([lens.weight, lens.bias[None]]).ravel()
    # Another basis makes it easy for a search that knows no gradient.
    scale = rows.stream.std(axis=0)
    scaled = replace(rows, stream=rows.stream / scale)
    found = scipy.optimize.minimize(slow_loss, np.zeros(own.size), (scaled, penalty), method="BFGS")
    assert lens.penalty == penalty
    assert slow_loss(own, rows, penalty) <= found.fun + 1e-6
    assert slow_loss(own, rows, penalty) == pytest.approx(found.fun, abs=1e-4)


def test_the_bayes_lens_recovers_a_planted_affine_map() -> None:
    rng = np.random.default_rng(1)
    stream, weight = rng.normal(size=(200, 4)), rng.normal(size=(4, 3))
    bias = np.array([0.5, -1.0, 0.0])
    log_law = scipy.special.log_softmax(stream @ weight + bias, axis=1)
    lens = fit_bayes_lens(*[questions(stream, np.exp(log_law))] * 2)
    # The weakest penalty, 1e-7, moves the map by about 1e-7 over a curvature of 1e-3 or more.
    np.testing.assert_allclose(lens.log_law(stream), log_law, atol=5e-3)
    centred = lens.weight - lens.weight.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(centred, weight - weight.mean(axis=1, keepdims=True), atol=5e-3)


def test_the_bayes_lens_does_not_depend_on_basis_and_scale() -> None:
    rows = some_questions()
    turned = replace(rows, stream=rows.stream @ np.diag([0.1, 1.0, 7.0])[::-1] - 4.0)
    one, other = (fit_bayes_lens(part, part, penalties=(1e-2,)) for part in (rows, turned))
    # Both searches end where a step gains less than 1e-9 nat: of second order in the map.
    np.testing.assert_allclose(one.log_law(rows.stream), other.log_law(turned.stream), atol=1e-3)


def test_a_weight_of_two_is_a_row_given_twice() -> None:
    rows = some_questions(20)
    twice = np.concatenate([np.arange(20), np.arange(5)])
    weighted = replace(rows, weights=np.where(np.arange(20) < 5, 2.0, 1.0) / 25)
    repeated = questions(rows.stream[twice], rows.law[twice])
    lenses = [fit_bayes_lens(part, part, penalties=(1e-2,)) for part in (weighted, repeated)]
    np.testing.assert_allclose(lenses[0].weight, lenses[1].weight, atol=1e-4)


def test_noise_is_not_read() -> None:
    """What is fitted to noise does not help on other questions, and the mean law is left."""
    rng = np.random.default_rng(2)
    parts = [questions(rng.normal(size=(40, 10)), rng.dirichlet(np.ones(3), 40)) for _ in "ab"]
    lens = fit_bayes_lens(*parts, penalties=(1e-4, 1e-5))
    assert lens.penalty == np.inf
    mean = np.log(parts[0].law.mean(axis=0))
    np.testing.assert_allclose(lens.log_law(parts[1].stream), np.tile(mean, (40, 1)), atol=1e-12)


def test_directions_that_do_not_vary_are_left_out() -> None:
    rng = np.random.default_rng(3)
    stream = np.concatenate([rng.normal(size=(30, 2)), np.full((30, 1), 7.0)], axis=1)
    stream = np.concatenate([stream, stream[:, :1] + stream[:, 1:2]], axis=1)
    weights = rng.dirichlet(np.ones(30))
    whitened = whiten(stream, weights)(stream)[:, :-1]
    np.testing.assert_allclose((whitened.T * weights) @ whitened, np.eye(2), atol=1e-9)


def test_the_tuned_lens_undoes_a_change_of_basis(bijection: Recording) -> None:
    """Read out after a change of basis is another law; the affine map finds the way back."""
    network, last = bijection.network, bijection.stream_rows(-1)
    law = np.exp(bijection.rows(bijection.log_q))
    turn = np.eye(8) + 0.5 * np.random.default_rng(0).normal(size=(8, 8))
    rows = questions(last @ turn + 1.0, law)
    lens = fit_tuned_lens(network, rows, rows, penalties=(1e-3, 1e-6), num_steps=200)
    before, after = (
        jax.nn.log_softmax(network.read_out(jnp.asarray(stream, jnp.float32)))
        for stream in (rows.stream, lens.move(rows.stream))
    )
    kl = [float((law * (np.log(law) - np.asarray(q))).sum(axis=1).mean()) for q in (before, after)]
    assert kl[1] < 1e-3 < 0.1 < kl[0]


def test_the_tuned_lens_of_the_last_place_changes_nothing(seen: Lenses) -> None:
    to_output = seen.stack("mean")[:, :, 1]
    # The last stream is read out in 32 bits in both cases; a KL is of second order in that.
    assert to_output[LOGIT, -1] < 1e-6
    assert to_output[TUNED, -1] < 1e-6
    assert (to_output[TUNED] < to_output[LOGIT] + 1e-2).all()  # fitted on other sequences
    assert to_output[TUNED, 0] < 0.9 * to_output[LOGIT, 0]


def test_lenses_are_ordered_as_what_they_are_fitted_to(seen: Lenses) -> None:
    kl = seen.stack("mean")[:, :, 0]
    assert np.isfinite(seen.stack("by_position")).all()  # though the exact predictive has zeros
    assert (kl[BAYES] < kl[TUNED]).all()
    assert (kl[BAYES] < kl[LOGIT]).all()
    assert (kl[BAYES] < seen.constant_kl + 1e-2).all()
    assert np.isnan(seen.penalty[LOGIT]).all()
    assert np.isfinite(seen.penalty[BAYES, 1:]).all()  # the embedding may have nothing to add


def test_distances_are_what_loops_give(bijection: Recording) -> None:
    log_p, num = bijection.evaluation.log_p, len(bijection.rows(bijection.log_q))
    rivals = Rivals((), np.stack([log_p, bijection.log_q]))
    found = measure_distances(bijection, rivals, bijection.log_q)
    total = 0.0
    for law, other in zip(bijection.rows(log_p), bijection.rows(bijection.log_q), strict=True):
        for p, q in zip(np.exp(law), other, strict=True):
            total += p * (np.log2(p) - q / np.log(2.0)) if p > 0 else 0.0
    assert found.mean[0] == pytest.approx(total / num, rel=1e-10)
    assert mean_kl(bijection, bijection.log_q) == pytest.approx(total / num, rel=1e-10)
    assert found.mean[1] == pytest.approx(0.0, abs=1e-12)


def test_the_nearest_rung_is_named_with_its_ties(bijection: Recording) -> None:
    log_p, log_q = bijection.evaluation.log_p, bijection.log_q
    uniform = np.full(log_p.shape, -np.log(log_p.shape[-1]))
    rivals = Rivals(
        ("uniform", "again", "other"), np.stack([log_p, log_q, uniform, uniform, log_q])
    )
    found = measure_distances(bijection, rivals, uniform)
    assert (found.nearest, found.tied) == ("uniform", "again")
    assert found.low[2] == found.high[2] == pytest.approx(0.0, abs=1e-12)
    other = measure_distances(bijection, rivals, log_q)
    assert (other.nearest, other.tied) == ("other", "")


@pytest.mark.parametrize(("layer", "head"), [(0, 1), (1, 2)])
def test_the_place_where_the_posterior_is_planted_is_named(
    coin: bc.Oracle, layer: int, head: int
) -> None:
    lenses = coin_lenses(planted.planted_network(layer, head), coin)
    # The mixer writes the predictive, which the feed-forward part of its block turns to logits.
    named, planted_head = (
        {effect.where for effect in lenses.effects()},
        f"block {layer + 1} head {head}",
    )
    assert planted_head in named
    assert named <= {planted_head, f"mixer {layer + 1}", f"block {layer + 1}"}
    # A head that writes no more than its position tells nothing: it stays at the mean law.
    others = [name != planted_head for name in lenses.head_names]
    np.testing.assert_allclose(lenses.head_kl[others], lenses.constant_kl, rtol=1e-6)


@pytest.mark.parametrize("network", ["random", "deaf"])
def test_where_nothing_is_planted_nothing_is_named(coin: bc.Oracle, network: str) -> None:
    build = {"random": planted.random_network, "deaf": planted.deaf_network}[network]
    found = coin_lenses(build(11), coin, 11)
    assert found.effects() == found.decodable() == ()


def test_every_sequence_is_weighted_exactly(coin: bc.Oracle) -> None:
    recording = record(planted.random_network(0), coin, key=jax.random.key(0))
    plan = plan_fitting(recording, 1_000, key=jax.random.key(0))
    assert plan.fitting is plan.choosing
    np.testing.assert_array_equal(plan.fitting.weights, recording.row_weights)
    few = plan_fitting(recording, 100, key=jax.random.key(0))
    assert few.fitting.rows.size == few.choosing.rows.size == 100
    assert (few.fitting.rows != few.choosing.rows).any()


def test_a_network_that_does_not_normalise_is_read_as_it_is(bijection: Recording) -> None:
    stream = bijection.streams[0]
    assert (normalised(bijection.network, stream) != stream).any()
    plain = planted.random_network(0)
    np.testing.assert_array_equal(normalised(plain, stream), stream.astype(np.float64))


def test_lenses_become_a_group_and_a_section(bijection: Recording, seen: Lenses) -> None:
    whole = synthetic_tree(num_seeds=2, length=4, num_outcomes=5, num_layers=2, num_heads=2)
    groups, attrs = split(whole)
    rungs = groups["/ladder"]["rung"].values
    laws = dict.fromkeys(rungs, bijection.log_q)
    both = [read_lenses(bijection, key=jax.random.key(2), rung_laws=laws, num_draws=0)] * 2
    group = lenses_group(both)
    assert group["rung_kl"].dims == ("seed", "lens", "rung", "stream", "position")
    assert "control_kl" not in group
    controlled = lenses_group([replace(one, untrained=seen.untrained) for one in both])
    for dataset in (group, controlled):
        tree = make_tree({**groups, "/lenses": dataset}, attrs)
        section = build_lenses_section(tree)
        assert bool(section.missing) == ("control_kl" not in dataset)
        assert len(section.figures) == 5
        plots = (
            plot_lenses,
            plot_lens_means,
            plot_lens_rungs,
            plot_lens_heads,
            plot_lens_positions,
        )
        for figure in (plot(tree) for plot in plots):
            assert all(panel.has_data() for panel in figure.axes)
    text = " ".join(build_lenses_section(tree).paragraphs)
    assert "What it cannot show" in text
    assert build_lenses_section(make_tree(groups, attrs)).missing[0].startswith("The tree has no")


def test_untrained_networks_that_are_given_stand_for_drawn_ones(
    bijection: Recording, seen: Lenses
) -> None:
    """The same key draws the same networks, so that seeds may share what was read in them."""
    untrained = read_untrained(bijection, key=jax.random.key(1), num_draws=3)
    np.testing.assert_array_equal(untrained.streams, seen.untrained.streams)
    np.testing.assert_array_equal(untrained.heads, seen.untrained.heads)
    shared = read_lenses(bijection, key=jax.random.key(1), rung_laws={}, untrained=untrained)
    assert shared.untrained is untrained


def test_what_heads_write_adds_up_to_what_their_mixer_adds(bijection: Recording) -> None:
    """Components are isometric: lengths of writes are those of ``pattern @ values @ W``."""
    network, inputs = bijection.network, bijection.evaluation.batch.inputs[:3]
    trace = look_inside(network, inputs)
    gathered = np.asarray(trace.attn_pattern @ trace.values)  # as many values as heads
    out = np.asarray(network.blocks.mixer.out).reshape(2, 2, 4, 8)
    written = np.einsum("lshpf,lhfm->lhspm", gathered, out)
    assert bijection.writes is not None
    asked = bijection.evaluation.model.asked_positions
    components = bijection.writes[:, :, :3]
    np.testing.assert_allclose(
        np.linalg.norm(components, axis=-1), np.linalg.norm(written[..., asked, :], axis=-1),
        rtol=1e-4,
    )  # fmt: skip
    # Scalar products between positions, too: the two differ by a rotation of each head.
    own, other = (
        np.einsum("lhspc,lhsqc->lhspq", x, x) for x in (components, written[..., asked, :])
    )
    np.testing.assert_allclose(own, other, atol=1e-4)


def test_the_ladder_stands_beside_the_lenses(bijection: Recording, seen: Lenses) -> None:
    assert seen.rungs == tuple(ladder_laws(bijection.cut(slice(0, 4)), key=jax.random.key(1)))
    assert seen.names("nearest").shape == (len(LENSES), len(seen.stream_names))


def test_two_sequences_are_enough_to_fit_on(bijection: Recording) -> None:
    fewest = bijection.cut(slice(0, 2))
    plan = plan_fitting(fewest, 1_000, key=jax.random.key(0))
    half = len(fewest.row_weights) // 2
    np.testing.assert_array_equal(plan.fitting.rows, np.arange(half))
    np.testing.assert_array_equal(plan.choosing.rows, np.arange(half) + half)
    with pytest.raises(ValueError, match="recording: expected questions that count in most"):
        plan_fitting(bijection.cut(slice(0, 1)), 1_000, key=jax.random.key(0))


def test_bad_input_is_refused(bijection: Recording) -> None:
    with pytest.raises(ValueError, match="num_draws: expected none or at least 3, got 2"):
        read_lenses(bijection, key=jax.random.key(0), num_draws=2)
    rows = some_questions()
    wrong = replace(rows, stream=rows.stream * np.nan)
    with pytest.raises(ValueError, match="fitting: expected finite numbers, got others in stream"):
        fit_bayes_lens(wrong, rows)
    none = Questions(rows.stream[:0], rows.law[:0], rows.weights[:0])
    with pytest.raises(ValueError, match="fitting: expected at least one question, got none"):
        fit_bayes_lens(none, rows)
