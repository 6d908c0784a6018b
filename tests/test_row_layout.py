"""Layouts in which everything is shown first and each question has a row of its own."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from complaints import raised

import bayescmp as bc
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.layout import Questions
from bayescmp.row_coder import RowCoder
from bayescmp.training.places import RandomPlaces, check_places


@dataclass(frozen=True)
class Neighbours(RowCoder):
    """Rows of a hint and its distance from the first; an even hint leaves nothing to ask."""

    width: int = 2

    @property
    def num_features(self) -> int:
        return self.width

    def __call__(self, sites):
        rows = jnp.stack([sites["hint"], sites["hint"] - sites["hint"][0]], axis=1)
        return jnp.concatenate([jnp.full((1, 2), -1), rows]).astype(float)

    def supervised(self, sites):
        return sites["hint"] % 2 == 1

    def describe(self, sites):
        return ["start", *(f"hint {hint}" for hint in sites["hint"])]

    def reject(self, sites):
        if sites["hint"][..., 0].any():
            raise ValueError("hint: expected zero in front")


class Hints(AbstractGenerativeModel):
    """The last hint decides all answers, so that each needs a row after its own."""

    coder: RowCoder = Neighbours()
    options: tuple = ()

    def program(self) -> None:
        with numpyro.plate("row", 3):
            hint = numpyro.sample("hint", dist.Categorical(probs=jnp.full((3, 4), 0.25)))
        with numpyro.plate("position", 3):
            numpyro.sample("answer", dist.Bernoulli(probs=0.2 + 0.2 * hint[2]))

    def questions(self) -> Questions:
        usual = {"given": ("hint",), "reveal": False, "rows": self.coder}
        return Questions("answer", **(usual | dict(self.options)))

    def closed_form(self) -> None:
        return None

    def title(self) -> str:
        return "hints"


def test_each_question_is_answered_in_its_row():
    model = Hints()
    layout = model.layout
    batch = model.batch_from_sites({"hint": jnp.array([0, 3, 1]), "answer": jnp.array([0, 1, 0])})
    np.testing.assert_array_equal(batch.inputs, [[-1, -1], [0, 0], [3, 3], [1, 1]])
    np.testing.assert_array_equal(batch.supervised, [False, True, True])
    np.testing.assert_array_equal(layout.asked_positions, [1, 2, 3])
    assert (layout.input_length, layout.header_length, layout.input_size) == (4, 4, 2)
    assert layout.shows_all_first
    assert layout.has_start
    assert not layout.uses_tokens
    assert layout.outcome_token is None
    assert layout.describe({"hint": np.array([0, 3, 1])}) == ["start", "hint 0", "hint 3", "hint 1"]
    assert not bc.models.HiddenMarkov(2, 2, 2).layout.shows_all_first


def test_all_answers_know_all_rows():
    model = Hints()
    batch = model.sample(5, key=jax.random.key(0))
    found = np.exp(bc.derive_oracle(model)(batch).log_predictive[..., 1])
    expected = 0.2 + 0.2 * np.asarray(batch.shown["hint"])[:, 2:]
    # Where a sequence has ended, its answers stay; these are all alike.
    np.testing.assert_allclose(found, np.broadcast_to(expected, (5, 3)), rtol=1e-6)


def test_shorter_sequences_leave_out_their_last_questions():
    sites = {"hint": jnp.array([[0, 3, 1], [0, 1, 1]]), "answer": jnp.zeros((2, 3), int)}
    batch = Hints().batch_from_sites(sites, lengths=[2, 3])
    np.testing.assert_array_equal(batch.supervised, [[False, True, False], [False, True, True]])


def test_supplied_values_are_checked_as_a_whole():
    sites = {"hint": jnp.array([1, 3, 1]), "answer": jnp.zeros(3, int)}
    assert raised(ValueError, lambda: Hints().batch_from_sites(sites)) == (
        "hint: expected zero in front"
    )


@pytest.mark.parametrize(
    ("coder", "options", "message"),
    [
        (Neighbours(), (("reveal", True),), "rows: expected no query"),
        (Neighbours(), (("given", ()), ("query", ("hint",))), "rows: expected no query"),
        (Neighbours(), (("given", ()),), "rows: expected given sites"),
        (Neighbours(3), (), "of 3 features, (4, 3), got (4, 2)"),
    ],
)
def test_rows_must_fit_the_questions(coder, options, message):
    assert message in raised(ValueError, lambda: Hints(coder, options))


def test_what_needs_steps_says_so():
    model = Hints()
    oracle = bc.derive_oracle(model)
    network = bc.Transformer.for_model(
        model, bc.TransformerConfig(num_layers=1, causal=False), key=jax.random.key(0)
    )
    message = raised(
        ValueError,
        lambda: bc.memory_length(network, oracle, key=jax.random.key(0), num_sequences=2),
    )
    assert "shows all before the first question" in message
    places = RandomPlaces(8, kind="after_prompt")
    message = raised(ValueError, lambda: check_places(places, network, model))
    assert "where all inputs are the prompt" in message
