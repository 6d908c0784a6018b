"""One sequence, token by token: the record, its pages, its group, its figures and its section."""

import dataclasses
from functools import cache
from html.parser import HTMLParser

import jax
import jax.numpy as jnp
import numpy as np
import oracles_network
import planted
import pytest
import xarray as xr
from matplotlib.figure import Figure
from network_cases import SMALL, build_small
from small_networks import small_config, transformer_for
from synthetic_tree import split, synthetic_tree

import bayescmp as bc
from bayescmp.comparison.evaluation import answer_exactly
from bayescmp.inspection.recording import Recording, record_on
from bayescmp.inspection.walkthrough import Walkthrough, walk_through, walkthrough_group
from bayescmp.plots.walkthrough import (
    MOST_PLACES,
    plot_walkthrough,
    plot_walkthrough_attention,
    shown_places,
)
from bayescmp.report.walkthrough import build_walkthrough_section
from bayescmp.results.tree import make_dataset, make_tree, validate_tree

MESS3 = bc.models.Mess3(length=4)
BIJECTION = bc.models.Bijection(size=4)


@cache
def recorded(name: str, seed: int = 0) -> Recording:
    """Record a small network, of Mess3 on all sequences and of a bijection on drawn ones."""
    model = MESS3 if name == "mess3" else BIJECTION
    network = transformer_for(model, small_config(2, 2, 8, 12), seed=seed)
    num = None if name == "mess3" else 8
    oracle = bc.derive_oracle(model)
    return bc.inspection.record(network, oracle, key=jax.random.key(0), num_sequences=num)


@cache
def recorded_lstm() -> Recording:
    network = build_small(bc.networks.LSTMConfig(**SMALL), bc.networks.TaskShape.of(MESS3))
    return bc.inspection.record(network, bc.derive_oracle(MESS3), key=jax.random.key(0))


# ------------------------------------------------------------------------- the record


@pytest.mark.parametrize("name", ["mess3", "bijection"])
def test_every_number_is_that_of_the_sequence(name: str):
    seen = recorded(name)
    network, evaluation, sequence = seen.network, seen.evaluation, 5
    walk = walk_through(seen, sequence=sequence)
    tokens = np.asarray(evaluation.batch.inputs[sequence])
    fields = oracles_network.trace(network, tokens)
    places = [fields["resid_pre"][0]]
    for middle, after in zip(fields["resid_mid"], fields["resid_post"], strict=True):
        places += [middle, after]
    asked = evaluation.model.asked_positions
    for place, stream in enumerate(places):
        logits = oracles_network.read_out(network, stream[asked])
        law = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
        np.testing.assert_allclose(np.exp(walk.log_lens[place]), law, rtol=1e-4, atol=1e-5)
        for position, exact in enumerate(np.exp(evaluation.log_p[sequence])):
            kl = sum(
                p * (np.log(p) - np.log(q))
                for p, q in zip(exact, law[position], strict=True)
                if p > 0.0
            )
            # Logits in 32 bits are off by some 1e-5.
            assert walk.kl[place, position] == pytest.approx(kl, rel=1e-3, abs=1e-4)
    np.testing.assert_allclose(walk.attention, fields["attn_pattern"], atol=1e-5)
    np.testing.assert_allclose(walk.log_lens[-1], seen.log_q[sequence], atol=1e-5)
    np.testing.assert_array_equal(walk.outcomes, evaluation.batch.outcomes[sequence])
    np.testing.assert_array_equal(walk.asked_at, asked)
    assert len(walk.reads) == len(tokens)


def test_the_belief_is_the_exact_one():
    walk = walk_through(recorded("mess3"), sequence=7)
    sequence = np.asarray(recorded("mess3").evaluation.batch.outcomes[7])
    belief, labelled = np.full(3, 1 / 3), MESS3.labelled()
    for position, token in enumerate(sequence):
        np.testing.assert_allclose(walk.belief["state"][position], belief, rtol=1e-9)
        belief = belief @ labelled[token]
        belief = belief / belief.sum()


def test_a_typical_sequence_is_shown_where_all_are_listed():
    seen = recorded("mess3")
    weights = seen.sequence_weights
    chosen = int(walk_through(seen).which.split()[1])
    # Sequences of one probability differ by rounding.
    at_most = weights[weights <= weights[chosen] * (1.0 + 1e-9)].sum()
    at_least = weights[weights >= weights[chosen] * (1.0 - 1e-9)].sum()
    assert at_most >= 0.5
    assert at_least >= 0.5
    assert walk_through(recorded("bijection")).which == "sequence 0 of 8 that were drawn"


@pytest.mark.parametrize(("layer", "place"), [(0, "block 1"), (1, "block 2")])
def test_the_exact_law_appears_where_it_was_planted(layer: int, place: str):
    network = planted.planted_network(layer, 1)
    oracle = bc.derive_oracle(planted.MODEL)
    seen = bc.inspection.record(network, oracle, key=jax.random.key(0))
    walk = walk_through(seen)
    mean = walk.kl.mean(axis=-1)
    first = walk.stream_names.index(place)
    # Interpolated logarithms are off by far less than 1e-3; a place before it answers evenly.
    assert mean[first:].max() < 1e-3
    assert mean[:first].min() > 1e-2


@pytest.mark.parametrize("draw", [planted.random_network, planted.deaf_network])
def test_the_exact_law_appears_nowhere_in_an_untrained_network(draw):
    oracle = bc.derive_oracle(planted.MODEL)
    walk = walk_through(bc.inspection.record(draw(0), oracle, key=jax.random.key(0)))
    assert walk.kl.mean(axis=-1).min() > 1e-2


def test_questions_that_do_not_count_are_left_out():
    whole = recorded("mess3")
    batch = MESS3.batch_from_sites({"token": jnp.array([[0, 1, 2, 0]])}, lengths=jnp.array([2]))
    seen = record_on(whole.network, answer_exactly(whole.oracle, batch))
    walk = walk_through(seen)
    for values in (walk.log_p, walk.log_lens, walk.kl[..., None], walk.belief["state"]):
        np.testing.assert_array_equal(np.isnan(values).any(axis=-1)[..., 2:], True)
        assert np.isfinite(values[..., :2, :]).all()
    assert str(walk).count("–") == 2 * (3 + len(walk.stream_names))


def test_no_such_sequence():
    with pytest.raises(ValueError, match="sequence: expected 0 to 7, got 8"):
        walk_through(recorded("bijection"), sequence=8)


# -------------------------------------------------------------------------- the pages


class Tags(HTMLParser):
    """Checks that tags close, and keeps the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_notebook_shows_tables_with_bars():
    walk = walk_through(recorded("bijection"))
    page = Tags(walk._repr_html_())
    assert not page.open
    assert page.seen.count("table") == 2
    num_questions, num_places = walk.kl.T.shape
    assert page.seen.count("svg") == num_questions * (2 + num_places)
    for text in (*walk.reads, *walk.stream_names, "1.0", "2.1", "exact", "network"):
        assert text in page.text
        assert text in str(walk)


def test_text_from_elsewhere_is_escaped():
    walk = dataclasses.replace(
        walk_through(recorded("mess3")), title="<script>alert(1)</script>", reads=("<b>",) * 4
    )
    html = walk._repr_html_()
    assert "<script>" not in html
    assert "<b>" not in html.replace("<p><b>", "")


def test_a_network_without_attention_shows_its_streams():
    walk = walk_through(recorded_lstm())
    assert walk.attention is None
    assert "does not attend" in str(walk)
    assert Tags(walk._repr_html_()).seen.count("table") == 1


# -------------------------------------------------------- the group, figures and section


def grouped(*walks: Walkthrough) -> xr.Dataset:
    return walkthrough_group(walks)


def test_the_group_stacks_seeds():
    first, second = (walk_through(recorded("mess3", seed)) for seed in (0, 1))
    group = grouped(first, second)
    assert dict(group.sizes) == {
        "input_position": 4,
        "position": 4,
        "outcome": 3,
        "belief_entry": 3,
        "seed": 2,
        "stream": 5,
        "block": 2,
        "head": 2,
        "source_position": 4,
    }
    np.testing.assert_allclose(group["lens_kl"][1], second.kl / np.log(2.0))
    np.testing.assert_allclose(group["exact_predictive"].sum("outcome"), 1.0)
    assert group["belief_entry"].to_numpy().tolist() == ["state 0", "state 1", "state 2"]
    assert group["stream"].to_numpy().tolist() == list(first.stream_names)
    assert "attention" not in grouped(walk_through(recorded_lstm()))


def test_seeds_must_show_one_sequence():
    walks = [walk_through(recorded("mess3"), sequence=k) for k in (0, 1)]
    with pytest.raises(ValueError, match="results: expected walkthroughs of one sequence, got"):
        walkthrough_group(walks)
    with pytest.raises(ValueError, match="results: expected at least one walkthrough, got none"):
        walkthrough_group([])


def tree_with_walkthrough(
    num_seeds: int = 2, length: int = 5, num_layers: int = 2, *, attends: bool = True
) -> xr.DataTree:
    """Add a made-up walkthrough to a made-up comparison."""
    tree = synthetic_tree(num_seeds, length, num_outcomes=6, num_layers=num_layers, num_heads=2)
    groups, attrs = split(tree)
    rng = np.random.default_rng(0)
    names, size = bc.layers.stream_names(num_layers), 2 * length - 1
    weights = rng.dirichlet(np.ones(size), (num_seeds, num_layers, 2, size))
    arrays = {
        "reads": [f"token <{k}>" for k in range(size)],
        "asked_at": 2 * np.arange(length),
        "outcome_value": rng.integers(0, 6, length),
        "exact_predictive": rng.dirichlet(np.ones(6), length),
        "exact_belief": rng.dirichlet(np.ones(3), length),
        "lens_predictive": rng.dirichlet(np.ones(6), (num_seeds, len(names), length)),
        "lens_kl": rng.exponential(size=(num_seeds, len(names), length)),
        **({"attention": weights} if attends else {}),
    }
    coords = {"stream": names, "belief_entry": ["a", "b", "c"]}
    which = {"which": "sequence 0 of 8 that were drawn"}
    groups["/walkthrough"] = make_dataset("/walkthrough", arrays, coords, which)
    return make_tree(groups, attrs)


TREES = {
    "plain": tree_with_walkthrough,
    "deep": lambda: tree_with_walkthrough(num_layers=9),
    "long": lambda: tree_with_walkthrough(length=6),
    "one question": lambda: tree_with_walkthrough(num_seeds=1, length=1, num_layers=1),
}


@pytest.mark.parametrize("make", TREES.values(), ids=TREES)
def test_figures_and_section_are_drawn(make):
    tree = make()
    validate_tree(tree)
    for plot in (plot_walkthrough, plot_walkthrough_attention):
        figure = plot(tree)
        assert isinstance(figure, Figure)
        assert figure.get_size_inches()[0] == 4.5
        assert figure.get_size_inches()[1] < 11.0
        assert all(panel.has_data() for panel in figure.axes)
    section = build_walkthrough_section(tree)
    assert section.ident == "walkthrough"
    assert not section.missing
    assert [figure.ident for figure in section.figures] == [
        "fig-walkthrough",
        "fig-walkthrough-attention",
    ]
    assert "sequence 0 of 8" in section.paragraphs[0]
    first, second = (figure.data for figure in section.figures)
    num_questions, num_read = (
        tree["/walkthrough"].sizes[axis] for axis in ("position", "input_position")
    )
    assert (len(first.rows), len(second.rows)) == (num_questions, num_read)
    assert first.rows[0].cells[1].text == "token <0>"


def test_the_table_gives_the_numbers_of_the_tree():
    tree = tree_with_walkthrough()
    row = build_walkthrough_section(tree).figures[0].data.rows[3].cells
    exact = tree["/walkthrough/exact_predictive"].to_numpy()[3]
    assert row[2].text == f"{exact.argmax()} ({exact.max():.3f})"
    bits = float(tree["/walkthrough/lens_kl"][0, -1, 3])
    assert float(row[-1].note.split("\N{NO-BREAK SPACE}")[0]) == pytest.approx(bits, rel=0.01)


def test_a_walkthrough_of_a_real_network_is_drawn():
    walk = walk_through(recorded("mess3"))
    tree = xr.DataTree.from_dict({"/walkthrough": grouped(walk), "/oracle": synthetic_oracle()})
    assert len(build_walkthrough_section(tree).figures) == 2


def synthetic_oracle() -> xr.Dataset:
    return synthetic_tree(1, 2, 2)["/oracle"].to_dataset()[[]]


def test_a_section_says_what_is_missing():
    section = build_walkthrough_section(synthetic_tree(1, 2, 2))
    assert section.missing == (
        "The tree has no group /walkthrough: going through one sequence was not asked for; "
        "examine(...) adds it.",
    )
    assert not section.figures
    streams_only = build_walkthrough_section(tree_with_walkthrough(attends=False))
    assert "does not attend" in streams_only.missing[0]
    assert len(streams_only.figures) == 1


def test_few_places_of_a_deep_network_are_drawn():
    names = list(bc.layers.stream_names(30))
    places = [names[place] for place in shown_places(names)]
    assert len(places) == len(set(places)) == MOST_PLACES
    assert (places[0], places[-1]) == ("embedding", "block 30")
    assert not any(name.startswith("mixer") for name in places)
