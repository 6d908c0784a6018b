"""Balls from one of several urns, with or without replacement: Bayes' first example."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.scipy.special import gammaln, logsumexp
from jaxtyping import Array, Float
from numpyro.contrib.control_flow import scan

from bayescmp.engine import AbstractEngine
from bayescmp.exact.settings import constant
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.layout import Questions
from bayescmp.records import Reference

Contents = tuple[tuple[int, ...], ...]
"""Balls of each colour (column) in each urn (row)."""

THREE_URNS: Contents = ((6, 3, 1), (1, 3, 6), (4, 2, 4))
"""Three urns of ten balls in three colours."""


class Urns(AbstractGenerativeModel):
    """An urn picked at random, from which balls are drawn one after the other.

    ``urn ~ uniform``. With replacement ``p(y_t | urn) = contents[urn, y_t] / balls``;
    without, the balls drawn before are gone. The colour of the next ball is asked.

    Source: the oldest problem of inverse probability: Laplace, "Mémoire sur la probabilité
    des causes par les événements" (1774), and every textbook since.

    Example:
        >>> Urns(length=4).num_outcomes, Urns(length=4, replace=False).title()
        (3, '3 urns, 3 colours, without replacement')
    """

    contents: Contents = eqx.field(static=True)
    num_draws: int = eqx.field(static=True)
    replace: bool = eqx.field(static=True)

    def __init__(
        self, contents: Contents = THREE_URNS, length: int = 8, replace: bool = True
    ) -> None:
        """Describe the process.

        Args:
            contents: Number of balls of each colour in each urn.
            length: Number of draws, at least one; without replacement at most the number
                of balls in the emptiest urn.
            replace: Whether each ball is put back.

        Raises:
            ValueError: If urns disagree about the colours, are empty, or hold too few balls.
        """
        widths = {len(urn) for urn in contents}
        if len(widths) != 1 or max(widths) < 2:
            raise ValueError(
                f"contents: expected urns with the same two or more colours, got {contents}"
            )
        totals = [sum(urn) for urn in contents]
        if min(min(urn) for urn in contents) < 0 or min(totals) < 1:
            raise ValueError(f"contents: expected at least one ball in each urn, got {contents}")
        most = min(totals)
        if length < 1 or (length > most and not replace):
            limit = "at least 1" if replace else f"1 to {most}, the balls in the emptiest urn"
            raise ValueError(f"length: expected {limit}, got {length}")
        self.contents = tuple(tuple(urn) for urn in contents)
        self.num_draws = length
        self.replace = replace

    def program(self) -> None:
        """Pick an urn and draw balls."""
        contents = constant(np.array(self.contents, float))
        urn = numpyro.sample("urn", dist.DiscreteUniform(0, len(self.contents) - 1))
        num_colours = contents.shape[1]

        def step(left: jax.Array, _: None) -> tuple[jax.Array, None]:
            # Colours that are used up have logits of minus infinity.
            law = dist.Categorical(logits=jnp.log(left), validate_args=False)
            ball = numpyro.sample("ball", law)
            drawn = jax.nn.one_hot(ball, num_colours, dtype=left.dtype)
            return left if self.replace else jnp.maximum(left - drawn, 0.0), None

        scan(step, contents[urn], None, length=self.num_draws)

    def questions(self) -> Questions:
        """Ask for each colour, then show it."""
        return Questions(outcome="ball")

    def closed_form(self) -> AbstractEngine:
        """Return Bayes' rule over the urns."""
        return UrnEngine(self.contents, self.replace, urn_site="urn", ball_site="ball")

    def title(self) -> str:
        """Return the name for tables."""
        how = "with" if self.replace else "without"
        size = f"{len(self.contents)} urns, {len(self.contents[0])} colours"
        return f"{size}, {how} replacement"


class UrnEngine(AbstractEngine):
    """Posterior over urns given how many balls of each colour were drawn.

    With ``n_c`` balls of colour ``c`` drawn, an urn that holds ``b_c`` of ``B`` has
    likelihood ``prod_c b_c^{n_c} / B^n``, without replacement
    ``prod_c (b_c)_{n_c} / (B)_n`` with falling factorials; then the next ball is of colour
    ``c`` with probability ``(b_c - n_c) / (B - n)``. The order of draws does not matter, so
    a window answers as if its balls were the only ones drawn.
    """

    contents: Contents = eqx.field(static=True)
    replace: bool = eqx.field(static=True)
    urn_site: str = eqx.field(static=True)
    ball_site: str = eqx.field(static=True)

    def __call__(self, sites: dict[str, Array]) -> Reference:
        """Answer every question of one example."""
        drawn = self._one_hot(sites)
        counts = jnp.cumsum(drawn, axis=0)
        log_posterior, log_predictive = self._answer(counts - drawn)
        log_evidence = logsumexp(self._log_likelihood(counts), axis=1) - jnp.log(self._num_urns)
        return Reference(
            log_predictive=log_predictive,
            log_evidence=log_evidence,
            belief={self.urn_site: jnp.exp(log_posterior)},
        )

    def windowed(self, sites: dict[str, Array], window: int) -> Float[Array, "position outcome"]:
        """Answer from the last ``window`` balls."""
        drawn = self._one_hot(sites)
        age = jnp.arange(drawn.shape[0])[:, None] - jnp.arange(drawn.shape[0])[None, :]
        remembered = (age > 0) & (age <= window)
        return self._answer(remembered.astype(drawn.dtype) @ drawn)[1]

    def treatment(self) -> dict[str, str]:
        """Say how each site was dealt with."""
        return {self.urn_site: "summed in closed form", self.ball_site: "asked, then shown"}

    def reason(self) -> str:
        """Say why the answer is exact."""
        return "Bayes' rule over the urns needs only the number of balls of each colour"

    @property
    def _num_urns(self) -> int:
        return len(self.contents)

    def _one_hot(self, sites: dict[str, Array]) -> Float[Array, "position colour"]:
        num_colours = len(self.contents[0])
        return jax.nn.one_hot(sites[self.ball_site], num_colours, dtype=jnp.result_type(float))

    def _answer(
        self, counts: Float[Array, "position colour"]
    ) -> tuple[Float[Array, "position urn"], Float[Array, "position colour"]]:
        """Return log posterior and log predictive after these counts."""
        log_likelihood = self._log_likelihood(counts)
        log_posterior = log_likelihood - logsumexp(log_likelihood, axis=1, keepdims=True)
        left = self._balls() - (0.0 if self.replace else counts[:, None, :])
        # Where an urn would hold fewer than no balls, its posterior is zero already.
        left = jnp.maximum(left, 0.0)
        log_next = jnp.log(left) - jnp.log(jnp.sum(left, axis=2, keepdims=True))
        log_next = jnp.where(left > 0.0, log_next, -jnp.inf)
        return log_posterior, logsumexp(log_posterior[:, :, None] + log_next, axis=1)

    def _log_likelihood(
        self, counts: Float[Array, "position colour"]
    ) -> Float[Array, "position urn"]:
        balls, drawn = self._balls(), counts[:, None, :]
        totals, num_drawn = balls.sum(axis=2), drawn.sum(axis=2)
        if self.replace:
            share = jnp.log(balls) - jnp.log(totals)[:, :, None]
            return jnp.sum(jnp.where(drawn > 0.0, drawn * share, 0.0), axis=2)
        left = balls - drawn
        log_ways = gammaln(balls + 1.0) - gammaln(jnp.maximum(left, 0.0) + 1.0)
        log_ways = jnp.sum(jnp.where(left >= 0.0, log_ways, -jnp.inf), axis=2)
        return log_ways - gammaln(totals + 1.0) + gammaln(totals - num_drawn + 1.0)

    def _balls(self) -> Float[Array, "1 urn colour"]:
        return constant(np.array(self.contents, float))[None]
