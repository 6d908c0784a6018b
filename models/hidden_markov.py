"""Filtering in a hidden Markov model whose parameters stand in the prompt."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.contrib.control_flow import scan

from bayescmp.engine import AbstractEngine
from bayescmp.exact.chains.filtering import FilterEngine
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.layout import Questions


class HiddenMarkov(AbstractGenerativeModel):
    """A fresh hidden Markov chain for each sequence; its state is asked after each symbol.

    Rows of the transition and emission matrices are Dirichlet with equal
    concentrations and are given in the prompt; the first state is uniform. Asked is the
    filtered law ``p(state_t | symbols up to t, transition, emission)``.

    Source: Agarwal, Dalal and Misra, arXiv 2512.22471, section on HMM filtering. The
    paper's code rounds the probabilities and floors them at 0.05; here they are shown
    as they were drawn.

    Example:
        >>> HiddenMarkov(num_states=5, num_symbols=5, length=20).num_outcomes
        5
    """

    num_states: int = eqx.field(static=True)
    num_symbols: int = eqx.field(static=True)
    num_steps: int = eqx.field(static=True)
    concentration: float = eqx.field(static=True)

    def __init__(
        self,
        num_states: int = 5,
        num_symbols: int = 5,
        length: int = 20,
        concentration: float = 1.0,
    ) -> None:
        """Describe the process.

        Args:
            num_states: Number of hidden states, at least two.
            num_symbols: Number of symbols, at least two.
            length: Number of symbols in a sequence, at least one.
            concentration: Concentration of every Dirichlet component, positive.

        Raises:
            ValueError: If a number is out of range.
        """
        for name, value, least in (
            ("num_states", num_states, 2),
            ("num_symbols", num_symbols, 2),
            ("length", length, 1),
        ):
            if value < least:
                raise ValueError(f"{name}: expected at least {least}, got {value}")
        if not 0 < concentration < math.inf:
            raise ValueError(f"concentration: expected a positive number, got {concentration}")
        self.num_states = num_states
        self.num_symbols = num_symbols
        self.num_steps = length
        self.concentration = float(concentration)

    def program(self) -> None:
        """Draw both matrices, then states and symbols in turn."""
        with numpyro.plate("state_row", self.num_states):
            transition = numpyro.sample("transition", self._rows(self.num_states))
            emission = numpyro.sample("emission", self._rows(self.num_symbols))

        def step(law: jax.Array, _: None) -> tuple[jax.Array, None]:
            state = numpyro.sample("state", dist.Categorical(probs=law))
            numpyro.sample("symbol", dist.Categorical(probs=emission[state]))
            return transition[state], None

        uniform = jnp.full(self.num_states, 1.0 / self.num_states, transition.dtype)
        scan(step, uniform, None, length=self.num_steps)

    def questions(self) -> Questions:
        """Give the matrices, show a symbol, ask for the state, and never show it."""
        return Questions(
            outcome="state", given=("transition", "emission"), query=("symbol",), reveal=False
        )

    def closed_form(self) -> AbstractEngine:
        """Return the forward filter."""
        return FilterEngine(
            transition_site="transition",
            emission_site="emission",
            symbol_site="symbol",
            state_site="state",
        )

    def title(self) -> str:
        """Return the name for tables."""
        return f"hidden Markov filtering, {self.num_states} states, {self.num_symbols} symbols"

    def _rows(self, size: int) -> dist.Dirichlet:
        return dist.Dirichlet(jnp.full(size, self.concentration))
