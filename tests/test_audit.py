"""All audits in one call: what the tree holds, what is refused, and that keys determine all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bayescmp as bc
from bayescmp.auditing.audit import AUDITS, NAMES, audit

MODEL = bc.models.beta_bernoulli(length=4)
ORACLE = bc.derive_oracle(MODEL)
FAIR = bc.predictors.FixedLaw(jnp.log(jnp.array([0.5, 0.5])), "fair")
SURE = bc.predictors.FixedLaw(jnp.log(jnp.array([0.1, 0.9])), "sure")


def run(subjects, **options):
    given = {"audits": ["selective"], "num_sequences": 64, "ladder": [FAIR], **options}
    return audit(subjects, ORACLE, key=jax.random.key(0), **given)


@pytest.fixture(scope="module")
def everything():
    return run(SURE, audits=None, num_sequences=400)


def test_every_audit_has_its_group(everything):
    assert {f"/{name}" for name in AUDITS} <= set(everything.groups)
    bc.validate_tree(everything)


def test_the_page_of_all_audits_has_a_section_for_each(everything, tmp_path):
    page = bc.write_report(everything, tmp_path / "report.html").read_text()
    for name in AUDITS:
        assert f'id="{name}"' in page, name


def test_what_is_too_sure_is_seen_from_every_side(everything):
    assert everything["/pit"]["p_value"].item() < 0.01
    assert everything["/coverage"]["p_value"].values.min() < 0.01
    assert everything["/local_calibration"]["map_p_value"].item() < 0.01


def test_an_audit_alone_finds_what_it_finds_among_all(everything):
    alone = run(SURE, audits=["selective"], num_sequences=400)
    for name, values in alone["/selective"].data_vars.items():
        np.testing.assert_array_equal(values, everything["/selective"][name])


def test_findings_are_added_to_a_tree_that_is_there():
    tree = bc.compare(SURE, ORACLE, key=jax.random.key(5), ladder=[FAIR])
    more = run(SURE, tree=tree)
    assert set(tree.groups) < set(more.groups)
    np.testing.assert_array_equal(more["/divergence/kl"], tree["/divergence/kl"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"audits": ["pitt"]}, "got 'pitt'; did you mean 'pit'"),
        ({"audits": "pit"}, "several names, got the text 'pit'"),
        ({"num_sequences": 1}, "num_sequences: expected at least 64, got 1"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        run(SURE, **options)


def test_a_tree_of_another_number_of_predictors_is_refused():
    tree = bc.compare(SURE, ORACLE, key=jax.random.key(5), ladder=[FAIR])
    with pytest.raises(ValueError, match=r"tree: expected 2 predictor\(s\), got one of 1"):
        run([SURE, FAIR], tree=tree)


def test_no_predictor_is_refused():
    with pytest.raises(ValueError, match="at least one predictor, got none"):
        run([])


def test_names_are_in_the_order_of_the_table():
    assert tuple(AUDITS) == NAMES
