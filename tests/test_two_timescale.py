"""The study of two time scales: its chain, its arms, and how it counts what they spend."""

import numpy as np
import pytest

import bayescmp as bc
from bayescmp.studies import two_timescale as study
from bayescmp.training.fit import Outcome


def test_the_chain_is_the_published_one_misread_now_and_then():
    config = study.Config(accuracy=0.9)
    labelled = study.chain(config).labelled()
    moves, reads = labelled.sum(axis=0), labelled.sum(axis=2).T
    # From symbol 0, one over the distance on a circle of eight: 1, 1/2, 1/3, 1/4, 1/3, 1/2, 1.
    near = np.array([0, 1, 1 / 2, 1 / 3, 1 / 4, 1 / 3, 1 / 2, 1])
    expected = 0.7 * near / near.sum() + 0.3 * np.eye(8)[0]
    for symbol in range(8):
        np.testing.assert_allclose(moves[symbol], np.roll(expected, symbol), atol=1e-12)
        assert reads[symbol, symbol] == pytest.approx(0.9)
    np.testing.assert_allclose(labelled, reads.T[:, :, None] * moves, atol=1e-12)


def test_every_arm_has_its_fast_matrices():
    arms = study.optimisers(study.Config())
    assert list(arms) == [
        "plain",
        "values",
        "output matrix",
        "queries and keys",
        "everything",
        "Adam",
    ]
    assert [len(rates) for rates in arms.values()] == [5, 5, 5, 5, 5, 2]
    names = [tuple(group.match for group in rates[0].groups) for rates in arms.values()]
    assert names == [(), ("value",), ("out",), ("query", "key"), ("*",), ()]
    assert {group.factor for rates in arms.values() for group in rates[0].groups} == {10.0}


def made_up(excess: np.ndarray, outcome: Outcome = "completed") -> bc.Fit:
    """A training run with a history that nobody ran."""
    return bc.Fit(
        network=lambda inputs: inputs,
        outcome=outcome,
        training=bc.Training(),
        objective="rao_blackwell",
        loss=excess,
        excess=excess,
        seconds=200.0,
        flops_per_step=3.0,
        tokens_per_step=1,
        num_devices=1,
        num_parameters=1,
    )


def fall(steps: int) -> bc.Fit:
    """A divergence that falls in a straight line to nothing, and stays there."""
    return made_up(np.log(2.0) * np.maximum(1.0 - np.arange(100) / steps, 0.0))


def test_saved_steps_are_counted_to_where_plain_descent_ends():
    diverged = made_up(np.full(10, np.nan), "diverged")

    def curves(*fits: bc.Fit) -> list[study.Curve]:
        return [study.Curve(fit) for fit in fits]

    runs = {
        "plain": {0.1: curves(fall(200), fall(200)), 1.0: curves(fall(50), diverged)},
        "values": {0.1: curves(fall(100), fall(1_000)), 1.0: curves(diverged, diverged)},
        "everything": {0.1: curves(fall(20), fall(40)), 1.0: curves(diverged, fall(20))},
    }
    table = study.tabulate(runs)
    assert table["best_rate"].values.tolist() == [[1.0, 0.1, 0.1], [0.1, 0.1, 0.1]]
    # Means over 20 steps that end at step t stand for step t - 9.5 of a line: 0.5525 at the end
    # of plain descent, which values reach half as late; the second seed's never do.
    steps = table["to_target"].sel(cost="step").values
    assert steps[:, 0].tolist() == [100.0, 100.0]
    assert steps[0, 1] == pytest.approx(0.4475 * 100 + 10.5, abs=1.0)
    assert steps[1, 1] == np.inf
    np.testing.assert_allclose(table["to_target"].sel(cost="operation")[0], 3.0 * steps[0])
    np.testing.assert_allclose(table["to_target"].sel(cost="second")[0], 2.0 * steps[0])
    saved = table["values_save"].values
    assert saved.tolist() == [pytest.approx(1.0 - steps[0, 1] / 100.0), 0.0]
    np.testing.assert_allclose(table["values_save_operations"], saved)
    assert (table["everything_saves_more"].values > 0.0).all()
    assert np.isnan(table["output_saves_more"]).all()
    assert np.isnan(table["adam_saves_more_tuned"]).all()
    assert all(table[name].attrs["long_name"] for name in table.variables)


def test_learning_curves_are_kept_by_what_they_cost():
    runs = {arm: {0.1: [study.Curve(fall(100))]} for arm in ("plain", "values")}
    table = study.tabulate(runs).isel(seed=0).sel(arm="plain")
    steps = table["curve_spent"].sel(cost="step").values
    assert (steps[0], steps[-1]) == (20.0, 100.0)  # the first average and the last
    # Means over 20 steps of a line that falls to nothing at step 100.
    np.testing.assert_allclose(table["curve_kl"], 1.0 - (steps - 10.5) / 100.0, atol=1e-12)
    np.testing.assert_allclose(table["curve_spent"].sel(cost="operation"), 3.0 * steps)
    np.testing.assert_allclose(table["curve_spent"].sel(cost="second"), 2.0 * steps)


def test_nothing_is_saved_where_plain_descent_diverged():
    diverged = [study.Curve(made_up(np.full(10, np.nan), "diverged"))]
    runs = {arm: {0.1: diverged} for arm in ("plain", "values", "everything")}
    assert np.isnan(study.tabulate(runs)["values_save"]).all()


def test_every_claim_is_judged_on_the_table_of_the_arms():
    fits = {arm: {0.1: [study.Curve(fall(100))]} for arm in study.Config().arms}
    table = study.tabulate(fits)
    assert {claim.metric for claim in study.CLAIMS} <= {f"/arms/{name}" for name in table}
    assert all(
        table[claim.metric.removeprefix("/arms/")].dims == ("seed",) for claim in study.CLAIMS
    )
    assert (table["saved"] == 0.0).all()
