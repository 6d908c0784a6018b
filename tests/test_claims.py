"""Claims: verdicts fire where they must, and stay silent where they must."""

import json
import math
import re
from collections.abc import Callable, Sequence

import jaxtyping
import numpy as np
import pytest
import xarray as xr
from synthetic_tree import synthetic_tree

from bayescmp.results.claims import Claim
from bayescmp.results.schema import SCHEMA
from bayescmp.results.tree import make_tree
from bayescmp.results.verdict_tables import claims_dataset, claims_json
from bayescmp.results.verdicts import Verdict, judge, judge_all

KL = "/divergence/mean_kl"


def tree_of(values: Sequence[float], rung_kl: float = 1.0, units: str = "bit") -> xr.DataTree:
    """Make the least tree that a claim on mean KL can be judged on."""
    seeds = np.arange(len(values)) + 3
    kl = ("seed", np.asarray(values, float), {"units": units, "long_name": "mean KL"})
    agreement = ("seed", np.asarray(values, float), {"units": "1", "long_name": "agreement"})
    curve = (("seed", "position"), np.ones((len(values), 2)))
    divergence = xr.Dataset(
        {"mean_kl": kl, "only_here": agreement, "kl": curve}, coords={"seed": seeds}
    )
    ladder = xr.Dataset(
        {"mean_kl": ("rung", [2.0, rung_kl])}, coords={"rung": ["uniform", "window 3"]}
    )
    return xr.DataTree.from_dict({"/divergence": divergence, "/ladder": ladder})


def below(threshold: float, **options: object) -> Claim:
    return Claim("Mean KL is small", KL, threshold, "below", **options)  # type: ignore[arg-type]


def above(threshold: float, **options: object) -> Claim:
    return Claim("Mean KL is large", KL, threshold, "above", **options)  # type: ignore[arg-type]


TIGHT = [0.98, 0.99, 1.0, 1.01, 1.02]  # interval about 1 +- 0.02


@pytest.mark.parametrize(
    ("claim", "expected", "relation"),
    [
        (below(1.1), "supported", "lies below 1.1 bit"),
        (below(0.9), "refuted", "lies above 0.9 bit"),
        (below(1.01), "inconclusive", "holds 1.01 bit"),
        (above(0.9), "supported", "lies above 0.9 bit"),
        (above(1.1), "refuted", "lies below 1.1 bit"),
        (above(0.99), "inconclusive", "holds 0.99 bit"),
    ],
)
def test_verdict_is_the_side_of_the_interval(claim: Claim, expected: str, relation: str) -> None:
    verdict = judge(claim, tree_of(TIGHT))
    assert verdict.verdict == expected
    assert relation in verdict.reason
    assert verdict.values == tuple(TIGHT)
    assert verdict.seeds == (3, 4, 5, 6, 7)
    assert verdict.units == "bit"


def test_interval_is_students() -> None:
    verdict = judge(below(1.1), tree_of(TIGHT))
    # t quantile of 4 degrees at 0.975 from a printed table, 2.7764; its last digit is 5e-5
    half = 2.7764 * np.std(TIGHT, ddof=1) / math.sqrt(5)
    assert (verdict.low, verdict.mean, verdict.high) == pytest.approx((1 - half, 1, 1 + half), 1e-6)
    wider = judge(below(1.1, level=0.99), tree_of(TIGHT))
    assert wider.low < verdict.low < verdict.high < wider.high
    assert wider.reason.startswith("99% interval [")


def test_level_decides() -> None:
    claim, strict = below(1.018), below(1.021, level=0.999)
    assert judge(claim, tree_of(TIGHT)).verdict == "inconclusive"
    assert judge(below(1.021), tree_of(TIGHT)).verdict == "supported"
    assert judge(strict, tree_of(TIGHT)).verdict == "inconclusive"


@pytest.mark.parametrize("claim", [below(1.0), above(1.0)])
def test_equality_without_spread_is_neither_side(claim: Claim) -> None:
    assert judge(claim, tree_of([1.0] * 5)).verdict == "inconclusive"


def test_no_spread_off_the_threshold_is_decided() -> None:
    assert judge(below(0.5), tree_of([0.0] * 5)).verdict == "supported"


@pytest.mark.parametrize("num_seeds", [1, 2, 4])
def test_too_few_seeds_are_silent_and_say_what_to_run(num_seeds: int) -> None:
    verdict = judge(below(1e9), tree_of(TIGHT[:num_seeds]))
    assert verdict.verdict == "inconclusive"
    assert verdict.reason == f"{num_seeds} of 5 seeds; run with --seeds 5"
    assert math.isinf(verdict.low) == math.isinf(verdict.high) == (num_seeds == 1)


def test_fewer_seeds_suffice_where_the_claim_says_so() -> None:
    assert judge(below(9.0, min_seeds=3), tree_of(TIGHT[:3])).verdict == "supported"


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("make", [below, above])
def test_a_value_that_is_not_finite_is_silent_and_named(
    make: Callable[..., Claim], bad: float
) -> None:
    verdict = judge(make(0.5), tree_of([*TIGHT[:2], bad, *TIGHT[3:]]))
    assert verdict.verdict == "inconclusive"
    assert verdict.reason == f"seed 5: /divergence/mean_kl is {bad}"
    assert math.isnan(verdict.mean)


def test_every_obstacle_is_told() -> None:
    verdict = judge(below(0.5), tree_of([math.nan, math.inf]))
    assert verdict.reason == (
        "seed 3: /divergence/mean_kl is nan; seed 4: /divergence/mean_kl is inf; "
        "2 of 5 seeds; run with --seeds 5"
    )


@pytest.mark.parametrize("make", [below, above])
def test_false_alarms_at_the_boundary_come_at_the_stated_rate(make: Callable[..., Claim]) -> None:
    rng = np.random.default_rng(7)
    num = 800
    draws = rng.normal(1.0, 0.1, (num, 5))
    verdicts = [judge(make(1.0, level=0.9), tree_of(row)).verdict for row in draws]
    for side in ("supported", "refuted"):
        # 0.05 on each side; four standard errors of a binomial share, two-sided 6e-5
        error = 4 * math.sqrt(0.05 * 0.95 / num)
        assert abs(verdicts.count(side) / num - 0.05) < error
    silent = verdicts.count("inconclusive") / num
    assert silent >= 0.9 - 4 * math.sqrt(0.1 * 0.9 / num)


def test_a_true_claim_is_nearly_never_refuted() -> None:
    rng = np.random.default_rng(8)
    draws = rng.normal(0.9, 0.1, (300, 5))
    verdicts = [judge(below(1.0), tree_of(row)).verdict for row in draws]
    assert verdicts.count("refuted") == 0  # needs t > 2.8 where about -2.2 is expected
    assert verdicts.count("supported") > 75  # power by the noncentral t is 0.44


# ----------------------------------------------------------------------- rungs


@pytest.mark.parametrize(
    ("factor", "rung", "expected"),
    [
        (1.0, "uniform", "supported"),
        (1.0, "window 3", "refuted"),
        (2.0, "window 3", "inconclusive"),
    ],
)
def test_threshold_is_the_rungs_value_times_the_factor(
    factor: float, rung: str, expected: str
) -> None:
    verdict = judge(below(factor, rung=rung), tree_of(TIGHT, rung_kl=0.5))
    assert verdict.verdict == expected
    assert verdict.threshold == factor * {"uniform": 2.0, "window 3": 0.5}[rung]
    assert verdict.reason.endswith(f"bit ({rung})")


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_rung_that_is_not_finite_is_silent(value: float) -> None:
    verdict = judge(below(1.0, rung="window 3"), tree_of(TIGHT, rung_kl=value))
    assert verdict.verdict == "inconclusive"
    assert "'window 3'" in verdict.reason


def test_a_rung_that_this_ladder_lacks_is_inconclusive() -> None:
    verdict = judge(below(1.0, rung="window 4"), tree_of(TIGHT))
    assert verdict.verdict == "inconclusive"
    assert "the rung 'window 4' is not on this ladder" in verdict.reason


# ------------------------------------------------------------------- bad claims


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"statement": ""}, "statement: expected one line of text, got ''"),
        ({"statement": "a\nb"}, "statement: expected one line of text"),
        ({"metric": "mean_kl"}, "metric: expected a path '/group/variable', got 'mean_kl'"),
        ({"metric": "/divergence/"}, "metric: expected a path"),
        ({"threshold": math.nan}, "threshold: expected a finite number, got nan"),
        ({"direction": "under"}, "direction: expected 'below' or 'above', got 'under'"),
        ({"level": 1.0}, r"level: expected a number between 0 and 1, got 1\.0"),
        ({"level": 95.0}, "level: expected a number between 0 and 1"),
        ({"min_seeds": 1}, "min_seeds: expected at least 2, got 1"),
    ],
)
def test_impossible_claims_are_refused(
    change: dict[str, object], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # users have no checker of types, which would get hold of a wrong direction first
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    fields = {"statement": "s", "metric": KL, "threshold": 1.0, "direction": "below", **change}
    with pytest.raises(ValueError, match=message):
        Claim(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("metric", "rung", "message"),
    [
        ("/divergence/mean_lk", None, "metric: expected .* such as /divergence/mean_kl, .*mean_lk"),
        ("/divergence/kl", None, "metric: expected a variable with one value per seed"),
        ("/nowhere/mean_kl", None, "metric: expected .* got '/nowhere/mean_kl'"),
        ("/divergence/only_here", "uniform", "metric: expected one that /ladder has too"),
    ],
)
def test_claims_off_the_tree_are_refused(metric: str, rung: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        judge(Claim("s", metric, 1.0, "below", rung=rung), tree_of(TIGHT))


def test_rung_without_a_ladder_is_refused() -> None:
    tree = xr.DataTree.from_dict({"/divergence": tree_of(TIGHT)["/divergence"].to_dataset()})
    with pytest.raises(ValueError, match="metric: expected one that /ladder has too"):
        judge(below(1.0, rung="uniform"), tree)


# ---------------------------------------------------------------------- output


def some_verdicts(num_seeds: int = 5) -> tuple[Verdict, ...]:
    claims = (below(1.1), above(1.1), below(1.01), below(1.0, rung="uniform"))
    return judge_all(claims, tree_of(TIGHT[:num_seeds]))


def test_judge_all_keeps_the_order() -> None:
    verdicts = [verdict.verdict for verdict in some_verdicts()]
    assert verdicts == ["supported", "refuted", "inconclusive", "supported"]


def test_dataset_holds_what_the_verdicts_say() -> None:
    verdicts = some_verdicts()
    data = claims_dataset(verdicts)
    assert list(data.data_vars) == list(SCHEMA["/claims"].variables)
    assert data["verdict"].values.tolist() == [verdict.verdict for verdict in verdicts]
    assert data["threshold"].values.tolist() == [1.1, 1.1, 1.01, 2.0]
    assert data["rung"].values.tolist() == ["", "", "", "uniform"]
    assert data["metric_units"].values.tolist() == ["bit"] * 4
    assert data["seed"].values.tolist() == [3, 4, 5, 6, 7]
    np.testing.assert_array_equal(data["value"].values, [TIGHT] * 4)


def test_verdicts_fit_the_tree_that_they_judge() -> None:
    tree = synthetic_tree(num_seeds=5, length=3, num_outcomes=4, num_layers=1, num_heads=1)
    verdicts = tree["/claims"].to_dataset()["verdict"].values.tolist()
    assert verdicts == ["supported", "refuted", "inconclusive", "supported"]
    groups = {path: tree[path].to_dataset() for path in tree.groups if path != "/"}
    alien = claims_dataset(some_verdicts())
    attrs = {str(name): value for name, value in tree.attrs.items() if name != "schema_version"}
    with pytest.raises(ValueError, match="/claims: expected labels of seed as in /network"):
        make_tree({**groups, "/claims": alien}, attrs)


def test_dataset_needs_verdicts_of_one_run() -> None:
    with pytest.raises(ValueError, match="verdicts: expected at least one, got none"):
        claims_dataset(())
    with pytest.raises(ValueError, match="verdicts: expected the same seeds in all"):
        claims_dataset((*some_verdicts(5), *some_verdicts(4)))


def no_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def test_json_has_null_for_what_is_not_finite() -> None:
    verdicts = (*some_verdicts(1), judge(below(1.0), tree_of([math.nan, math.inf])))
    document = json.loads(claims_json(verdicts), parse_constant=no_constant)
    first, last = document["claims"][0], document["claims"][-1]
    assert (first["low"], first["high"], first["mean"]) == (None, None, 0.98)
    assert (last["mean"], last["values"]) == (None, [None, None])
    assert first["verdict"] == "inconclusive"
    assert first["reason"] == "1 of 5 seeds; run with --seeds 5"


def test_json_tells_every_field_and_is_the_same_each_time() -> None:
    text = claims_json(some_verdicts())
    document = json.loads(text)
    assert text == claims_json(some_verdicts())
    assert re.fullmatch(r"\d+", document["schema_version"])
    claim = document["claims"][3]
    assert (claim["rung"], claim["threshold"], claim["seeds"]) == ("uniform", 2.0, [3, 4, 5, 6, 7])
    assert claim["values"] == TIGHT
    assert json.loads(claims_json(()))["claims"] == []
