"""What the page says of exchangeability."""

from dataclasses import replace

import numpy as np
from exchangeability_cases import found, tree_of
from synthetic_tree import synthetic_tree

from bayescmp.auditing.exchangeability_tables import by_position
from bayescmp.plots.exchangeability import plot_drift, plot_order_gaps
from bayescmp.report.exchangeability import build_exchangeability_section


def test_positions_are_averaged_one_by_one() -> None:
    means = by_position(np.array([1.0, 3.0, 5.0]), np.array([1, 1, 2]), 4)
    np.testing.assert_array_equal(means, [np.nan, 2.0, 5.0, np.nan])


def test_the_page_says_what_was_found() -> None:
    tree = tree_of(found("window"), found("tempered"))
    section = build_exchangeability_section(tree)
    assert not section.missing
    assert [figure.ident for figure in section.figures] == ["fig-order-gaps", "fig-drift"]
    assert "in another order" in section.paragraphs[0]
    assert "p < 0.001" in section.paragraphs[1]
    assert any("cannot show" in text for text in section.paragraphs)
    assert len(section.tables) == 2
    group = tree["/exchangeability"]
    gaps = np.array([found(kind).orders.gap.mean() for kind in ("window", "tempered")])
    np.testing.assert_allclose(group["order_gap"], gaps)
    assert np.isnan(group["order_gap_by_position"][:, :2]).all()
    for plot in (plot_order_gaps, plot_drift):
        assert len(plot(tree).axes) == 1


def test_of_many_outcomes_the_farthest_drift_is_drawn() -> None:
    test, names = (
        found("window").drift,
        ("sharpening", "lag", *(f"drift to {k}" for k in range(30))),
    )
    far = np.zeros(32)
    far[[0, 1, 20]] = [1.0, -2.0, 7.0]
    many = replace(test, names=names, mean=far, standard_error=np.ones(32))
    (panel,) = plot_drift(tree_of(replace(found("window"), drift=many, paths=()))).axes
    drawn = [label.get_text() for label in panel.get_yticklabels()]
    assert drawn == ["sharpening, true", "lag, true", "drift to 18, true"]


def test_the_page_says_why_nothing_was_measured() -> None:
    reason = replace(found("exact"), reason="answers are never shown", orders=None)
    (text,) = build_exchangeability_section(tree_of(reason)).missing
    assert text == "This was not measured: answers are never shown."
    assert build_exchangeability_section(synthetic_tree()).missing
