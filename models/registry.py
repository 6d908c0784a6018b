"""The models by name, for the command line."""

from collections.abc import Callable
from dataclasses import dataclass

from bayescmp.generative import AbstractGenerativeModel
from bayescmp.models.bijection import Bijection
from bayescmp.models.coin import beta_bernoulli
from bayescmp.models.hidden_markov import HiddenMarkov


@dataclass(frozen=True)
class ModelEntry:
    """A model at its usual size, and at one that enumeration can reach."""

    summary: str
    """One line for a list."""
    make: Callable[[], AbstractGenerativeModel]
    """Build the model at its usual size."""
    small: Callable[[], AbstractGenerativeModel]
    """Build the model small enough to enumerate."""


REGISTRY: dict[str, ModelEntry] = {
    "bijection": ModelEntry(
        summary="a hidden permutation, shown pair by pair; asked: the value at each key",
        make=Bijection,
        small=lambda: Bijection(size=4),
    ),
    "coin": ModelEntry(
        summary="tosses of a coin with unknown bias; asked: the next toss",
        make=beta_bernoulli,
        small=lambda: beta_bernoulli(length=8),
    ),
    "hidden_markov": ModelEntry(
        summary="a hidden Markov chain with its matrices in the prompt; asked: the state",
        make=HiddenMarkov,
        small=lambda: HiddenMarkov(num_states=3, num_symbols=2, length=4),
    ),
}
