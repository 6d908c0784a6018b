"""Replicates that the posterior under test makes: latents of its own, and new data from them.

    theta ~ q(theta | observed),  new ~ p(new | theta, observed),  theta' ~ q(theta | observed, new)

If ``q`` is the model's posterior, ``theta`` and ``theta'`` are two draws of one law given both data
sets, so that ``theta`` stands everywhere equally often. No draw from the model's own posterior is
needed, whatever was observed: long sequences and numbers too. The price: what is checked is
whether ``q`` agrees with itself under the model's likelihood. The right posterior under another
prior agrees with itself.

Source: Säilynoja, Schmitt, Bürkner and Vehtari, Posterior SBC: simulation-based calibration
checking conditional on data, arXiv 2502.03279.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Int, Num

from bayescmp._types import Key
from bayescmp.auditing.sbc_asking import Subject, ask_subject
from bayescmp.auditing.sbc_exact import closed_draws
from bayescmp.auditing.sbc_observed import observed_steps, require_beginning
from bayescmp.auditing.sbc_posterior import LatentDraws, LatentTable
from bayescmp.model import AbstractGenerativeModel
from bayescmp.oracle import AbstractOracle, Oracle
from bayescmp.program import trace_program, visit_sites
from bayescmp.records import Batch

Latents = dict[str, Num[np.ndarray, "replicate ..."]]
"""One draw of every latent in each replicate, by name."""


def draw_from_posterior(
    subject: Subject,
    model: AbstractGenerativeModel,
    observed: Batch,
    num_replicates: int,
    *,
    key: Key,
) -> Batch:
    """Draw latents from the posterior under test, and the rest of each sequence from the model.

    Args:
        subject: What is checked; asked about the observation, whose later questions do not count.
        model: Generative model.
        observed: One sequence; its questions that count are the ones observed.
        num_replicates: Sequences to draw.
        key: Typed key.

    Returns:
        The replicates, with the drawn latents in the place of the true ones.

    Raises:
        ValueError: If the observation is not one sequence that begins with questions that count,
            the subject has no joint draws of all latents, or what is shown with a question
            depends on them.

    Example:
        >>> from bayescmp.auditing.sbc_continued import draw_from_posterior
        >>> model = bc.models.beta_bernoulli(length=4)
        >>> seen = model.batch_from_sites({"token": jnp.array([1, 1, 0, 0])}, lengths=2)
        >>> batch = draw_from_posterior(
        ...     bc.derive_oracle(model), model, seen, 30, key=jax.random.key(0))
        >>> batch.outcomes[:, :2].min().item(), batch.latents["bias"].shape
        (1, (30,))
    """
    require_beginning(model, observed)
    _require_free_queries(model)
    key_ask, key_lot, key_rest = jax.random.split(key, 3)
    repeated = jax.tree.map(lambda x: jnp.repeat(x[None], num_replicates, axis=0), observed)
    latents = _draw_latents(subject, model, repeated, observed_steps(observed), key_ask, key_lot)
    return continue_sequences(model, observed, latents, key=key_rest)


def continue_sequences(
    model: AbstractGenerativeModel, observed: Batch, latents: Latents, *, key: Key
) -> Batch:
    """Draw the rest of a sequence given latents and its beginning, step by step.

    Each step is drawn from the law that the program gives it where all earlier steps hold their
    values, so that steps may depend on earlier ones.

    Args:
        model: Generative model.
        observed: One sequence; its questions that count are the ones observed.
        latents: Values of all latents for each replicate.
        key: Typed key.

    Returns:
        The replicates.
    """
    start, layout = observed_steps(observed), model.layout
    steps = jnp.arange(start, layout.length)
    names = (tuple(site.name for site in layout.query), (layout.outcome.name,))
    begun = model.engine_sites(observed)

    def one(latents: dict[str, Array], key: Key) -> dict[str, Array]:
        def step(values: dict[str, Array], at: tuple[Array, Key]) -> tuple[dict[str, Array], None]:
            position, own_key = at
            for group, group_key in zip(names, jax.random.split(own_key), strict=True):
                if group:
                    values = _draw_step(model, group, {**values, **latents}, position, group_key)
            return {name: values[name] for name in begun}, None

        return jax.lax.scan(step, begun, (steps, jax.random.split(key, len(steps))))[0]

    num = len(next(iter(latents.values())))
    hidden = {name: jnp.asarray(values) for name, values in latents.items()}
    drawn = eqx.filter_jit(jax.vmap(one))(hidden, jax.random.split(key, num))
    return model.batch_from_sites({**drawn, **hidden})


def _draw_step(
    model: AbstractGenerativeModel,
    names: tuple[str, ...],
    values: dict[str, Array],
    position: Int[Array, ""],
    key: Key,
) -> dict[str, Array]:
    """Draw some sites' values of one step from the laws that the program gives them."""
    messages = trace_program(model.program, key=key, substituted=values)
    drawn = dict(values)
    for name, own_key in zip(names, jax.random.split(key, len(names)), strict=True):
        row = messages[name]["fn"].sample(own_key)[position]
        drawn[name] = values[name].at[position].set(row.astype(values[name].dtype))
    return drawn


def _draw_latents(
    subject: Subject,
    model: AbstractGenerativeModel,
    repeated: Batch,
    position: int,
    key_ask: Key,
    key_lot: Key,
) -> Latents:
    """Take one joint draw of all latents for each replicate, each asked for anew."""
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key_lot)).tolist())
    wanted = hidden_sites(model)
    if isinstance(subject, AbstractOracle):  # its belief is the one before an open question
        there = jnp.arange(model.length) <= position
        there = jnp.broadcast_to(there, repeated.supervised.shape)
        repeated = eqx.tree_at(lambda batch: batch.supervised, repeated, there)
    if isinstance(subject, Oracle):
        joint = closed_draws(subject, repeated, position, 1, rng)
        if set(joint) == wanted:
            return {name: law.values[:, 0] for name, law in joint.items()}
        if len(wanted) > 1 or any(model.sites[name].shape for name in wanted):
            raise _without_draws(wanted)
    laws = ask_subject(subject, model, _blank_latents(model, repeated), position, key=key_ask).laws
    draws = {name: law.values[:, -1] for name, law in laws.items() if isinstance(law, LatentDraws)}
    if set(draws) >= wanted:
        return {name: draws[name] for name in wanted}
    for name, law in laws.items():
        if not isinstance(law, LatentTable) or model.sites[name].num_values is None:
            continue
        if {name} == wanted and law.probs.ndim == 2:
            return {name: model.sites[name].lowest + _pick(law.probs, rng)}
    raise _without_draws(wanted)


def _without_draws(wanted: set[str]) -> ValueError:
    """Return what is wrong with a subject that cannot be drawn from."""
    return ValueError(
        f"subject: expected joint draws of all latents, {sorted(wanted)}, or a table of the only "
        "one, got neither; replicates='model' needs none"
    )


def hidden_sites(model: AbstractGenerativeModel) -> set[str]:
    """Return the names of a model's latents.

    Args:
        model: Generative model.

    Returns:
        Sites that are neither shown nor asked.
    """
    layout = model.layout
    shown = {site.name for site in (*layout.given, *layout.query)}
    return set(model.sites) - shown - {layout.outcome.name}


def _blank_latents(model: AbstractGenerativeModel, batch: Batch) -> Batch:
    """Put some values where true latents would stand; nothing is compared with them."""
    drawn = model.sample(len(batch.outcomes), key=jax.random.key(0)).latents
    return Batch(batch.inputs, batch.outcomes, batch.supervised, batch.shown, drawn)


def _pick(probs: np.ndarray, rng: np.random.Generator) -> Int[np.ndarray, " replicate"]:
    """Draw a state of each row."""
    total = np.cumsum(probs, axis=1)
    return np.sum(rng.random((len(probs), 1)) * total[:, -1:] > total[:, :-1], axis=1)


def _require_free_queries(model: AbstractGenerativeModel) -> None:
    """Raise a ValueError where what is shown with a question tells something of the latents."""
    queries, bound = {site.name for site in model.layout.query}, []

    def visit(name: str, message: dict) -> None:
        leaves = jax.tree.leaves(message["fn"]) if name in queries else []
        bound.extend([name] * any(isinstance(leaf, Tracer) for leaf in leaves))

    visit_sites(model.program, visit)
    if bound:
        raise ValueError(
            f"replicates: expected queries that depend on no draw for 'posterior', got {bound}"
        )
