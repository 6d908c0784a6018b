"""Geometry of whole networks: what must fire, what must stay silent, and every kind of network."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import oracles_network
import planted
import pytest
from small_networks import small_config, transformer_for
from synthetic_tree import synthetic_tree

import bayescmp as bc
from bayescmp.inspection.cross_network import compare_networks
from bayescmp.inspection.domain_restriction import (
    compare_domains,
    find_families,
    restrict_domain,
    row_sequences,
)
from bayescmp.inspection.geometry import geometry_group, measure_geometry
from bayescmp.inspection.geometry_record import Geometry
from bayescmp.inspection.heads import mark_sources
from bayescmp.inspection.readings import read_network
from bayescmp.inspection.recording import Recording, record
from bayescmp.inspection.simplex import read_simplex
from bayescmp.layers.key_frame import mean_abs_cosine, random_cosine
from bayescmp.networks import TaskShape
from bayescmp.plots.geometry import plot_heads, plot_manifolds, plot_similarity
from bayescmp.plots.simplex import plot_simplex
from bayescmp.report.geometry import build_geometry_section
from bayescmp.results.tree import make_tree

BIJECTION = bc.models.Bijection(size=5)
MESS3 = bc.models.Mess3(length=4)
CONFIG = small_config(2, 2, 8, 12)


@pytest.fixture(scope="module")
def coin():
    return bc.derive_oracle(planted.MODEL)


@pytest.fixture(scope="module")
def bijection() -> Recording:
    network = transformer_for(BIJECTION, CONFIG)
    return record(network, bc.derive_oracle(BIJECTION), key=jax.random.key(0), num_sequences=40)


@pytest.fixture(scope="module")
def measured(bijection: Recording) -> Geometry:
    return measure_geometry(bijection, key=jax.random.key(1), num_initial=3)


def geometry_of(network, oracle, seed: int = 1, **options) -> Geometry:
    recording = record(network, oracle, key=jax.random.key(0))
    return measure_geometry(recording, key=jax.random.key(seed), **options)


# ------------------------------------------------------- must fire, and must not


@pytest.mark.parametrize(("layer", "head"), [(0, 1), (1, 2)])
def test_the_planted_head_is_named_and_no_other(coin, layer: int, head: int):
    found = geometry_of(planted.planted_network(layer, head), coin).effects()
    assert [effect.where for effect in found] == [
        f"block {layer + 1} head {head}: output follows the exact predictive"
    ]
    assert found[0].value == pytest.approx(1.0, abs=1e-6)
    assert found[0].control < 0.8


def test_untrained_and_deaf_networks_show_no_more_than_false_alarms(coin):
    """Of 8 networks at a false-alarm rate of 5 %, three or more fire once in 170 runs of seeds."""
    makers = (planted.random_network, planted.deaf_network)
    fired = [
        bool(geometry_of(make(seed), coin, seed + 10).effects())
        for make in makers
        for seed in range(4)
    ]
    assert sum(fired) < 3


def test_values_along_a_line_are_named(coin):
    network = planted.random_network(0)
    value = np.array(network.blocks.mixer.value)
    value[1] = np.outer(value[1, :, 0], value[1, 0])
    lined = eqx.tree_at(lambda n: n.blocks.mixer.value, network, jnp.asarray(value))
    found = geometry_of(lined, coin).low_dimensional()
    assert [effect.where for effect in found] == ["values 2: fewer directions"]
    assert found[0].value == pytest.approx(1.0)


def test_a_head_that_looks_at_spent_evidence_is_named():
    """Queries that match the keys of value tokens, in one head, put all attention there."""
    network = bc.Transformer.for_model(BIJECTION, CONFIG, key=jax.random.key(3))
    embedding = np.array(network.embedding)
    embedding[:, 0], embedding[:5, 0], embedding[5:, 0] = 0.0, -4.0, 4.0
    mixer = network.blocks.mixer
    query, key = np.array(mixer.query), np.array(mixer.key)
    query[0, :, 4:], key[0, :, 4:] = 0.0, 0.0
    query[0, 0, 4], key[0, 0, 4] = -20.0, 20.0  # key tokens ask for value tokens
    places = np.array(network.position_embedding)
    places[:, 0] = 0.0
    network = eqx.tree_at(
        lambda n: (n.embedding, n.position_embedding, n.blocks.mixer.query, n.blocks.mixer.key),
        network,
        tuple(jnp.asarray(array) for array in (embedding, places, query, key)),
    )
    found = geometry_of(network, bc.derive_oracle(BIJECTION))
    # All but the first question, which has nothing behind it: three of four questions.
    assert found.heads["spent_mass"].value[0, 1] == pytest.approx(0.75, abs=1e-3)
    assert "block 1 head 1: more attention on spent evidence" in {
        effect.where for effect in found.effects()
    }


# ----------------------------------------------------------- against plain NumPy


def test_a_reading_is_what_plain_numpy_finds(bijection: Recording):
    network = bijection.network
    reading = read_network(network, bijection, mark_sources(bijection))
    inputs = np.asarray(bijection.evaluation.batch.inputs)
    asked = BIJECTION.asked_positions
    traces = [oracles_network.trace(network, sequence) for sequence in inputs]
    pattern = np.stack([trace["attn_pattern"][:, :, asked] for trace in traces])
    values = np.stack([trace["values"] for trace in traces])
    out = np.asarray(network.blocks.mixer.out).reshape(2, 2, 4, 8)
    written = np.einsum("nlhqs,nlhsf,lhfm->lhnqm", pattern, values, out)
    np.testing.assert_allclose(reading.written, written.reshape(2, 2, -1, 8), rtol=1e-4, atol=1e-5)
    entropy = -np.sum(
        np.where(pattern > 0, pattern * np.log(np.where(pattern > 0, pattern, 1)), 0), -1
    )
    np.testing.assert_allclose(reading.entropy, entropy.mean(axis=(0, 3)), rtol=1e-4)
    spent = np.array(
        [[source % 2 == 1 and source < place for source in range(7)] for place in asked]
    )
    mass = np.sum(pattern * spent, axis=-1).mean(axis=(0, 3))
    np.testing.assert_allclose(reading.mass[0], mass, rtol=1e-4, atol=1e-6)
    own = pattern[:, :, :, np.arange(4), asked].mean(axis=(0, 3))
    np.testing.assert_allclose(reading.mass[1], own, rtol=1e-4)


def test_token_keys_are_means_over_the_places_of_a_token(bijection: Recording):
    network = bijection.network
    reading = read_network(network, bijection, mark_sources(bijection))
    inputs = np.asarray(bijection.evaluation.batch.inputs)
    traces = [oracles_network.trace(network, sequence) for sequence in inputs]
    keys = np.stack([trace["keys"] for trace in traces])
    present = np.unique(inputs)
    for row, token in enumerate(present):
        places = np.argwhere(inputs == token)
        mean = np.mean([keys[sequence, 1, :, place] for sequence, place in places], axis=0)
        np.testing.assert_allclose(reading.token_keys[1, :, row], mean, rtol=1e-4, atol=1e-5)
    # The first block's keys are of the embedding alone.
    embedding = np.asarray(network.embedding, np.float64)[present]
    scale = np.sqrt(np.mean(embedding**2, axis=1, keepdims=True) + 1e-6)
    normed = embedding / scale * np.asarray(network.blocks.mixer_norm.scale[0])
    first = (normed @ np.asarray(network.blocks.mixer.key[0])).reshape(len(present), 2, 4)
    np.testing.assert_allclose(
        reading.token_keys[0], np.moveaxis(first, 1, 0), rtol=1e-4, atol=1e-5
    )


def test_rotary_keys_are_compared_before_their_rotation():
    oracle = bc.derive_oracle(BIJECTION)
    found = []
    for positions in ("none", "rotary"):
        network = transformer_for(BIJECTION, replace(CONFIG, positions=positions, num_layers=1))
        seen = record(network, oracle, key=jax.random.key(0), num_sequences=8)
        found.append(read_network(network, seen, mark_sources(seen)).token_keys)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


def test_heads_that_share_keys_have_one_cosine():
    network = transformer_for(BIJECTION, replace(CONFIG, num_source_heads=1))
    found = geometry_of(network, bc.derive_oracle(BIJECTION), num_initial=0)
    cosines = found.heads["token_key_cosine"].value
    np.testing.assert_array_equal(cosines[:, 0], cosines[:, 1])


def test_nulls_of_the_default_network(measured: Geometry):
    assert measured.chance["token_key_cosine"] == random_cosine(4)
    assert measured.chance["key_column_cosine"] == random_cosine(8)
    # Even attention over 1, 3, 5 and 7 positions, of which 0, 1, 2 and 3 are spent.
    sizes = np.array([1, 3, 5, 7])
    assert measured.even["attention_entropy"] == pytest.approx(np.log(sizes).mean())
    assert measured.even["spent_mass"] == pytest.approx(np.mean(np.arange(4) / sizes))
    assert measured.even["open_mass"] == pytest.approx(np.mean(1 / sizes))
    embedding = np.asarray(transformer_for(BIJECTION, CONFIG).embedding, np.float64)
    assert measured.embedding is not None
    assert measured.embedding.value == pytest.approx(float(mean_abs_cosine(embedding)))


# -------------------------------------------------------- every kind of network


NO_ATTENTION = {
    "LSTM": bc.networks.LSTMConfig(num_layers=1, model_size=8, state_size=8),
    "no mixing": bc.networks.PositionwiseConfig(num_layers=1, model_size=8, mlp_size=8),
}


@pytest.mark.parametrize("config", NO_ATTENTION.values(), ids=NO_ATTENTION)
def test_networks_without_attention_have_everything_else(config):
    oracle = bc.derive_oracle(MESS3)
    network = config.build(TaskShape.of(MESS3), key=jax.random.key(0))
    recording = record(network, oracle, key=jax.random.key(1))
    found = measure_geometry(recording, key=jax.random.key(2), num_initial=3)
    assert set(found.heads) == {"alignment"}
    assert found.heads["alignment"].value.shape == (1, 1)
    assert found.manifolds.names == ("embedding", "mixer 1", "block 1")
    assert len(found.absent) == 2
    name = type(network).__name__
    with pytest.raises(ValueError, match=f"require: expected a network that has keys, got {name}"):
        measure_geometry(recording, key=jax.random.key(2), num_initial=0, require=["keys"])
    geometry_group([found])


def test_unknown_parts_and_targets_are_refused(bijection: Recording):
    for options, message in (
        ({"require": ["values"]}, "require: expected keys or sharpening, got 'values'"),
        ({"target": "mapping"}, "target: expected a site whose belief is one law"),
        ({"target": "other"}, "target: expected one of mapping, predictive, got 'other'"),
    ):
        with pytest.raises(ValueError, match=message):
            measure_geometry(bijection, key=jax.random.key(0), num_initial=0, **options)


def test_a_network_of_unknown_configuration_has_no_effects(bijection: Recording):
    found = measure_geometry(bijection, key=jax.random.key(1), num_initial=0)
    assert found.effects() == found.low_dimensional() == ()
    group = geometry_group([found])
    assert np.isnan(group["alignment_initial"]).all()
    assert group.attrs["num_initial"] == 0


def test_where_outcomes_come_again_no_evidence_is_spent():
    network = transformer_for(MESS3, CONFIG)
    found = geometry_of(network, bc.derive_oracle(MESS3), num_initial=0)
    assert "spent_mass" not in found.heads
    assert "attention_entropy" in found.heads
    assert found.simplex.target == "state"
    assert found.simplex.corners.shape == (3, 2)


# ------------------------------------------------------- simplex, seeds, families


def test_a_stream_that_holds_the_belief_shows_the_simplex():
    recording = record(
        transformer_for(MESS3, CONFIG), bc.derive_oracle(MESS3), key=jax.random.key(0)
    )
    belief = recording.rows(recording.belief["state"])
    streams = np.stack([np.random.default_rng(0).normal(size=belief.shape), 5.0 * belief - 1.0])
    found = read_simplex(recording, streams, [streams[::-1]])
    assert found.r_squared[1] == pytest.approx(1.0)
    assert found.r_squared[0] < 0.5
    np.testing.assert_allclose(found.r_squared_initial, [found.r_squared[::-1]])
    np.testing.assert_allclose(found.read, found.exact, atol=1e-9)
    assert np.abs(found.initial - found.exact).max() > 0.1


def test_networks_are_compared_on_the_same_sequences(bijection: Recording):
    same = compare_networks(bijection, bijection)
    np.testing.assert_allclose(np.diag(same.cka_debiased), 1.0)
    np.testing.assert_allclose(np.diag(same.overlap), 1.0)
    other = record(bijection.network, bijection.oracle, key=jax.random.key(9), num_sequences=40)
    with pytest.raises(ValueError, match="second: expected the 40 sequences of first"):
        compare_networks(bijection, other)


def test_seeds_are_compared_with_each_other(measured: Geometry):
    alone, twice = geometry_group([measured]), geometry_group([measured, measured])
    assert np.isnan(alone["seed_cka"]).all()
    np.testing.assert_allclose(twice["seed_cka"], 1.0)
    stranger = replace(measured, inputs=measured.inputs[::-1])
    with pytest.raises(ValueError, match="results: expected seeds"):
        geometry_group([measured, stranger])
    with pytest.raises(ValueError, match="results: expected at least one"):
        geometry_group([])


def test_a_family_on_a_line_is_told_from_random_subsets():
    rng = np.random.default_rng(0)
    family, sequence = np.repeat([0, 1], 30), np.repeat(np.arange(60), 4)
    rows = rng.normal(size=(240, 6))
    on_line = family[sequence] == 1
    rows[on_line] = rows[on_line, :1] * np.arange(1.0, 7.0) + 0.05 * rows[on_line]
    weights = np.full(240, 1 / 240)
    found = restrict_domain(rows, sequence, family, weights, key=jax.random.key(0))
    assert found.pc1[1] > 0.95 > found.pc1_random[:, 1].max()
    assert found.pc1[0] < found.pc1_random[:, 0].min()
    alike = restrict_domain(
        rng.normal(size=(240, 6)), sequence, family, weights, key=jax.random.key(1)
    )
    spread = alike.pc1_random.std(axis=0, ddof=1)
    assert np.all(np.abs(alike.pc1 - alike.pc1_random.mean(axis=0)) < 5 * spread)
    with pytest.raises(ValueError, match="family: expected at least 2 families"):
        restrict_domain(rows, sequence, 0 * family, weights, key=jax.random.key(0))


def test_families_are_found_by_a_latent_site_and_compared():
    model = bc.models.chain_pool(num_chains=2, num_states=3, length=4)
    network = transformer_for(model, CONFIG)
    recording = record(network, bc.derive_oracle(model), key=jax.random.key(0), num_sequences=48)
    site, family = find_families(recording) or ("", np.zeros(0))
    assert site == "chain"
    assert np.unique(family).tolist() == [0, 1]
    found = measure_geometry(recording, key=jax.random.key(1), num_initial=0)
    group = geometry_group([found])
    assert group["family_pc1"].dims == ("seed", "family")
    assert group.attrs["family_site"] == "chain"
    assert row_sequences(recording).tolist() == np.repeat(np.arange(48), 4).tolist()
    domains = compare_domains(recording, recording, key=jax.random.key(2))
    assert domains.pc1.shape == (1,)


def test_the_bijection_has_no_families(bijection: Recording):
    assert find_families(bijection) is None


# ------------------------------------------------------------- figures and page


@pytest.fixture(scope="module")
def tree(measured: Geometry):
    base = synthetic_tree()
    groups = {path: base[path].to_dataset() for path in base.groups if path != "/"}
    # The example tree has other blocks and heads, of which /layers tells.
    kept = {path: groups[path] for path in groups if path not in ("/layers", "/geometry")}
    kept["/geometry"] = geometry_group([measured] * kept["/divergence"].sizes["seed"])
    attrs = {name: value for name, value in base.attrs.items() if name != "schema_version"}
    return make_tree(kept, attrs)


def test_the_section_shows_every_figure(tree):
    section = build_geometry_section(tree)
    assert [figure.ident for figure in section.figures] == [
        "fig-heads",
        "fig-manifolds",
        "fig-simplex",
        "fig-similarity",
    ]
    assert "untrained" in section.paragraphs[0]
    assert not section.missing
    rows = section.figures[0].data.rows
    assert [row.cells[0].text for row in rows][:2] == ["block 1 head 0", "block 1 head 1"]


@pytest.mark.parametrize("plot", [plot_heads, plot_manifolds, plot_simplex, plot_similarity])
def test_figures_need_the_group(plot):
    base = synthetic_tree()
    with pytest.raises(ValueError, match="tree: expected the variable /geometry/"):
        plot(base.drop_nodes([path for path in base.groups if path == "/geometry"]))


def test_a_tree_without_geometry_says_so():
    base = synthetic_tree()
    bare = base.drop_nodes([path for path in base.groups if path == "/geometry"])
    (missing,) = build_geometry_section(bare).missing
    assert missing.startswith("The tree has no group /geometry")
