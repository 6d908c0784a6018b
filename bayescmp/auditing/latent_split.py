"""The exact predictive's entropy, split by the latents of the program.

The latents are the sites that are neither shown nor asked. Where the states of a chain are
among them, knowing the latents means knowing the states, too.

Tried in this order: no latent at all; the closed form of a Dirichlet law; a sum over all
settings of the latents; a program whose outcome is certain once the latents are known; one
draw of the latents for each sequence. The last rests on what a drawn sequence comes with: the
latents that it was made from, which are one exact draw from the posterior given any part of it,
so that means over sequences are unbiased, and single numbers mean nothing.
"""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Bool, Float

from bayescmp.comparison.tally import LogLaws
from bayescmp.exact.conjugacy.conjugate import BetaBernoulliEngine
from bayescmp.exact.conjugacy.conjugate_counts import CountsEngine
from bayescmp.exact.settings import list_settings
from bayescmp.measures.uncertainty import dirichlet_aleatoric, split_over_settings
from bayescmp.model import AbstractGenerativeModel
from bayescmp.oracle import AbstractOracle, Oracle
from bayescmp.predictors.step_laws import (
    Sites,
    StepLaws,
    find_step_laws,
    latent_names,
    log_bayes,
    why_no_step_laws,
)
from bayescmp.program import trace_program
from bayescmp.records import Batch

MOST_NUMBERS = 50_000
"""Most probabilities for each sequence in a sum over settings of the latents."""

NUM_NODES = 64
"""Quadrature nodes for each continuous latent, of which the sum is then a rule with an error."""

NUM_CHECKED = 64
"""Sequences on which it is looked whether latents make outcomes certain, where none were drawn."""

AT_ONCE = 64
"""Sequences that are dealt with together."""


@dataclass(frozen=True)
class EntropySplit:
    """Entropy of the exact predictive, and its part that the latents would not take away.

    Information in nats. ``total = aleatoric + epistemic`` by construction.
    """

    total: Float[np.ndarray, "sequence position"]
    """``H(y_t | s_t)``."""
    aleatoric: Float[np.ndarray, "sequence position"]
    """``E[H(y_t | theta, s_t)]``, or its value at one draw of ``theta``."""
    per_question: bool
    """Whether each number stands for its question; otherwise only means over sequences do."""
    how: str
    """How it was derived, in one sentence."""
    error: float = 0.0
    """Largest gap between the total and the same sum's, in nats; 0 where exact."""

    @property
    def epistemic(self) -> Float[np.ndarray, "sequence position"]:
        """``I(y_t; theta | s_t)``: what seeing more could still take away."""
        return self.total - self.aleatoric


def find_split(oracle: AbstractOracle, batch: Batch, log_p: LogLaws) -> EntropySplit | str:
    """Split the entropy of an oracle's answers.

    Args:
        oracle: Oracle of the model.
        batch: Sequences, with one leading axis.
        log_p: Their log exact predictives [nat], in 64 bits.

    Returns:
        The split, or why there is none, in one line.

    Example:
        >>> oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=3))
        >>> judged = bc.auditing.judge(oracle, oracle, key=jax.random.key(0), num_sequences=8)
        >>> split = find_split(oracle, judged.evaluation.batch, judged.log_p)
        >>> split.epistemic[0, 0].round(4)  # before any toss: ln 2 - 1/2
        np.float64(0.1931)
    """
    total = scipy.special.entr(np.exp(log_p)).sum(axis=-1)
    model = oracle.model
    if not latent_names(model):
        how = "the program has no latent beside what is shown and asked: all is aleatoric"
        return EntropySplit(total, total, True, how)
    with jax.enable_x64(True):
        alpha = _find_dirichlet(oracle, batch)
    if alpha is not None:
        how = "closed form: what is asked is one number of a Dirichlet law"
        return EntropySplit(total, dirichlet_aleatoric(alpha), True, how)
    missing = why_no_step_laws(model)
    if missing is not None:
        return f"no split: expected {missing}"
    with jax.enable_x64(True):
        sites = {name: _widen(x) for name, x in model.engine_sites(batch).items()}
        found = _sum_up(find_step_laws(model), sites, total)
    return found or _draw(model, batch, total)


def _find_dirichlet(
    oracle: AbstractOracle, batch: Batch
) -> Float[np.ndarray, "sequence position outcome"] | None:
    """Return the concentrations of the asked law, where it has a Dirichlet law."""
    if not isinstance(oracle, Oracle):
        return None
    engine, sites = oracle.engine, oracle.model.engine_sites(batch)
    if isinstance(engine, BetaBernoulliEngine):
        return np.asarray(oracle(batch).belief[engine.bias_site])
    if not isinstance(engine, CountsEngine) or engine.roles.grids:
        return None
    alpha, is_row = _asked_row(engine, sites)
    return np.asarray(alpha) if np.all(np.asarray(is_row)) else None


@eqx.filter_jit
def _asked_row(
    engine: CountsEngine, sites: Sites
) -> tuple[Float[Array, "sequence position outcome"], Bool[Array, "sequence position"]]:
    """Return the concentrations that outcomes count towards, and whether they are one row."""
    rows = np.concatenate(
        [np.arange(s.num_numbers) // s.size + 1e6 * n for n, s in enumerate(engine.simplices)]
    )
    width = engine.roles.layout.num_outcomes
    sizes = np.concatenate([np.full(s.num_numbers, s.size) for s in engine.simplices])

    def one(example: Sites) -> tuple[Array, Array]:
        joint, belief = engine.read(example).joint, engine(example).belief
        parts = [belief[s.name].reshape(len(joint.count), -1) for s in engine.simplices]
        index = jnp.argmax(joint.count, axis=-1)
        single = (jnp.max(joint.count, axis=-1) == 1.0) & (jnp.sum(joint.count, axis=-1) == 1.0)
        even = jnp.abs(joint.constant - joint.constant[:, :1]) < 1e-9  # else a weight besides
        row, size = jnp.asarray(rows)[index], jnp.asarray(sizes)[index]
        whole = jnp.all(single & even & (row == row[:, :1]) & (size == width), axis=-1)
        apart = jnp.all(jnp.diff(jnp.sort(index, axis=-1), axis=-1) > 0, axis=-1)
        alpha = jnp.take_along_axis(jnp.concatenate(parts, axis=1), index, axis=1)
        return alpha, whole & apart

    return jax.lax.map(one, sites, batch_size=AT_ONCE)


def _sum_up(
    steps: StepLaws, sites: Sites, total: Float[np.ndarray, "sequence position"]
) -> EntropySplit | None:
    """Sum over all settings of the latents; None where there are too many."""
    model, latents = steps.model, latent_names(steps.model)
    try:
        grids = list_settings(
            model.program, fixed=set(model.sites) - set(latents), num_nodes=NUM_NODES
        )
    except ValueError:  # too many, or of a kind that cannot be listed
        return None
    shape = [len(grid.values) for grid in grids]
    num = int(np.prod(shape))
    if num * model.length * model.num_outcomes > MOST_NUMBERS:
        return None
    numbers = np.indices(shape).reshape(len(shape), -1)
    pairs = list(zip(grids, numbers, strict=True))
    settings = {grid.name: jnp.asarray(grid.values[n]) for grid, n in pairs}
    log_node = jnp.asarray(np.sum([grid.log_weights[n] for grid, n in pairs], axis=0))
    aleatoric, epistemic = map(np.asarray, _over_settings(steps, settings, log_node, sites))
    if not any(grid.is_continuous for grid in grids):
        return EntropySplit(total, aleatoric, True, f"sum over {num:,} settings of the latents")
    error = float(np.max(np.abs(aleatoric + epistemic - total)))
    how = f"sum over {num:,} settings, of which continuous latents contribute quadrature nodes"
    return EntropySplit(total, aleatoric, True, how, error)


@eqx.filter_jit
def _over_settings(
    steps: StepLaws, settings: Sites, log_node: Array, sites: Sites
) -> tuple[Array, Array]:
    """Weigh settings by prior and likelihood, and split each question's entropy."""

    def prior(values: Sites) -> Array:
        messages = trace_program(steps.model.program, key=jax.random.key(0), substituted=values)
        parts = [jnp.sum(messages[k]["fn"].log_prob(v)) for k, v in values.items()]
        return sum(parts, jnp.zeros(()))

    log_prior = log_node + jax.lax.map(prior, settings, batch_size=AT_ONCE)

    def one(example: Sites) -> tuple[Array, Array]:
        log_law, log_shown = steps.of_all(settings, example)
        log_weight, _ = log_bayes(log_law, log_shown, log_prior)
        laws = log_law - jax.nn.logsumexp(log_law, axis=-1, keepdims=True)
        return split_over_settings(log_weight, laws)

    return jax.lax.map(one, sites, batch_size=8)


def _draw(
    model: AbstractGenerativeModel, batch: Batch, total: Float[np.ndarray, "sequence position"]
) -> EntropySplit | str:
    """Take the latents of each drawn sequence as one draw from its posterior."""
    is_drawn = set(latent_names(model)) <= set(batch.latents)
    tried = batch if is_drawn else model.sample(NUM_CHECKED, key=jax.random.key(0))
    found = _entropy_given_latents(model, tried)
    # Certain but for rounding: a probability of 1 - 1e-16 leaves some 1e-14 nats.
    if np.all(found < 1e-9):
        how = f"the latents made the outcome certain in all {found.size:,} questions tried"
        return EntropySplit(total, np.zeros_like(total), True, how)
    if not is_drawn:
        return "no split: sequences come without their latents, and these cannot be listed"
    how = "one draw of the latents for each sequence: only means over sequences have a meaning"
    return EntropySplit(total, found, False, how)


def _entropy_given_latents(
    model: AbstractGenerativeModel, batch: Batch
) -> Float[np.ndarray, "sequence position"]:
    """Return ``H(y_t | theta, s_t)`` at the latents that each sequence was made from."""
    with jax.enable_x64(True):
        latents = {name: _widen(batch.latents[name]) for name in latent_names(model)}
        sites = {name: _widen(x) for name, x in model.engine_sites(batch).items()}
        return np.asarray(_given_latents(find_step_laws(model), latents, sites))


def _widen(values: Array) -> Array:
    """Return real numbers in 64 bits."""
    is_real = jnp.issubdtype(values.dtype, jnp.floating)
    return values.astype(jnp.float64) if is_real else values


@eqx.filter_jit
def _given_latents(steps: StepLaws, latents: Sites, sites: Sites) -> Array:
    def one(both: tuple[Sites, Sites]) -> Array:
        law = jax.nn.softmax(steps(*both)[0], axis=-1)
        return jax.scipy.special.entr(law).sum(axis=-1)

    return jax.lax.map(one, (latents, sites), batch_size=AT_ONCE)
