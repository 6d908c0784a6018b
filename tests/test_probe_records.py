"""What probes found: never a bare figure, in text, in the tree and in the report."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probe_cases import CONFIG, KEY, MODELS, oracle_of, probes_of, recording_of
from synthetic_tree import split, synthetic_tree

import bayescmp as bc
from bayescmp.inspection.initial import draw_initial
from bayescmp.inspection.probe_controls import CONTROLS, INITIAL
from bayescmp.inspection.probe_results import ALL_PLACES
from bayescmp.inspection.probes import fit_probes, probes_group
from bayescmp.inspection.recording import record
from bayescmp.report.probes import build_probes_section
from bayescmp.results.tree import make_tree

# ---------------------------------------------------------- never a bare figure


def test_no_score_is_shown_without_controls():
    probes = probes_of("Mess3", 64)
    result = probes.result("belief: state", "block 1")
    for shown in (str(probes), repr(probes), probes._repr_html_(), str(result), repr(result),
                  result._repr_html_(), str(result.r_squared), result.r_squared._repr_html_(),
                  f"{result.r_squared}"):  # fmt: skip
        for control in (INITIAL, "last 3 inputs", "shuffled labels", "wrong prior"):
            assert control in shown
    with pytest.raises(TypeError):
        f"{result.r_squared:.3f}"
    with pytest.raises(TypeError):
        float(result.r_squared)  # pyright: ignore[reportArgumentType]


def test_what_limits_the_figures_is_said():
    notes = " ".join(probes_of("Mess3").notes)
    assert "every sequence" in probes_of("Mess3").judged.lower()
    # 1 + 3 + 9 + 27 beginnings are 40 rows; the three places have 18 features, one alone 6.
    assert "Fewer different rows" not in notes
    assert "judged on the 32 others" in probes_of("Mess3", 64).judged
    crowded = probes_of("coin")  # 1 + 2 + 4 + 8 beginnings
    assert f"(15) than features at {ALL_PLACES}:" in " ".join(crowded.notes)
    assert "Rank-deficient" in " ".join(crowded.notes)  # the embedding of few tokens


# -------------------------------------------------------------- tree and report


def test_the_group_holds_every_score_beside_its_controls():
    probes = probes_of("Mess3", 64)
    group = probes_group([probes, probes])
    assert dict(group.sizes) == {
        "seed": 2, "probe_target": 4, "probe_place": 4, "probe_control": 9, "probe_draw": 3,
        "block": 1, "head": 1, "probe_head_draw": 9,
    }  # fmt: skip
    one = probes.result("belief: state", "mixer 1")
    at = {"seed": 1, "probe_target": 0, "probe_place": 1}
    assert one.kl is not None
    assert group["r_squared"][at].item() == one.r_squared.value
    assert group["kl"][at].item() == pytest.approx(one.kl.value / np.log(2.0))
    assert tuple(group["probe_control"].values) == CONTROLS
    controls = dict(zip(CONTROLS, group["control_r_squared"][at].values.tolist(), strict=True))
    assert controls[INITIAL] == one.r_squared.initial.mean()
    assert controls["random subspace"] == one.r_squared.controls["random subspace"]
    np.testing.assert_array_equal(group["initial_r_squared"][at], one.r_squared.initial)
    assert np.isnan(group["kl"].sel(probe_target="entropy")).all()
    assert group["p_value"][at].item() == one.p_value()
    assert group.attrs["wrong_prior"] == probes.wrong_prior != ""


@pytest.mark.parametrize("num_seeds", [1, 2])
def test_the_report_shows_controls_beside_every_figure(num_seeds: int):
    group = probes_group([probes_of("Mess3", 64)] * num_seeds)
    whole = synthetic_tree(num_seeds=num_seeds, length=4, num_outcomes=5, num_layers=1, num_heads=1)
    groups, attrs = split(whole)
    section = build_probes_section(make_tree({**groups, "/probes": group}, attrs))
    assert not section.missing
    assert INITIAL in section.paragraphs[0]
    assert [figure.ident for figure in section.figures] == [
        "fig-probes", "fig-probe-bits", "fig-probe-heads"
    ]  # fmt: skip
    assert len(section.figures[2].data.rows) == 4  # one head, four targets
    for figure, num_targets in zip(section.figures[:2], (4, 2), strict=True):
        headers = [header.text for header in figure.data.headers]
        assert headers == ["read from", "network", "over sequences", *CONTROLS]
        assert len(figure.data.rows) == 4 * num_targets
        assert "<svg" in figure.svg
    assert len(section.tables[0].rows) == 4


def test_the_report_says_that_nothing_was_probed():
    section = build_probes_section(synthetic_tree(num_seeds=1, length=4, num_outcomes=5))
    assert "no group /probes" in section.missing[0]


# ------------------------------------------------------------------- bad input


def test_bad_input():
    probes, recording = probes_of("Mess3", 64), recording_of("Mess3", 64)
    with pytest.raises(ValueError, match=r"target: .* got 'belief: stat'; nearest: belief: state"):
        probes.result("belief: stat", "block 1")
    with pytest.raises(ValueError, match=r"place: .* got 'block 2'; nearest: block 1"):
        probes.result("entropy", "block 2")
    with pytest.raises(ValueError, match="recording: expected at least 8 sequences, got 4"):
        fit_probes(recording_of("Mess3", 4), key=KEY)
    with pytest.raises(ValueError, match="num_initial: expected at least 3, got 2"):
        fit_probes(recording, key=KEY, num_initial=2)
    with pytest.raises(ValueError, match="initial_networks: expected at least 3, got 0"):
        fit_probes(recording, key=KEY, initial_networks=[])
    other = bc.Transformer.for_model(
        MODELS["Mess3"], replace(CONFIG, model_size=4), key=jax.random.key(0)
    )
    with pytest.raises(ValueError, match="initial_networks: expected residual streams of shape"):
        fit_probes(recording, key=KEY, initial_networks=[other] * 3)
    with pytest.raises(ValueError, match="results: expected probes of the same"):
        probes_group([probes, probes_of("coin")])
    with pytest.raises(ValueError, match="results: expected probes of the same"):
        probes_group([])


def test_given_networks_take_the_place_of_drawn_ones():
    recording = recording_of("Mess3", 64)
    drawn = draw_initial(recording.network, 3, key=jax.random.key(9))
    probes = fit_probes(recording, key=KEY, initial_networks=drawn)
    assert probes.results[0].r_squared.initial.size == 3
    twins = fit_probes(recording, key=KEY, initial_networks=[recording.network] * 3)
    score = twins.result("belief: state", "block 1").r_squared
    np.testing.assert_array_equal(score.initial, score.value)
    assert twins.effects() == ()


def test_recurrent_networks_are_probed_too():
    model = MODELS["coin"]
    config = bc.networks.GRUConfig(num_layers=1, model_size=4, mlp_size=0)
    network = config.build(bc.networks.TaskShape.of(model), key=jax.random.key(0))
    probes = fit_probes(record(network, oracle_of(model), key=KEY), key=KEY, num_initial=3)
    assert probes.places == ("embedding", "mixer 1", "block 1", ALL_PLACES)
    assert jnp.isfinite(probes.result("predictive", "block 1").r_squared.value)
