"""Which exact engine answers a model's questions, and why the others do not."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import jax
import jax.numpy as jnp

from bayescmp.engine import AbstractEngine
from bayescmp.exact.conjugacy.conjugate import explain_conjugate, find_conjugate
from bayescmp.exact.enumeration import EnumerationEngine
from bayescmp.exact.forward.forward_engine import ForwardEngine
from bayescmp.exact.graphs.elimination_engine import EliminationEngine
from bayescmp.exact.reading.factors import FactoredProgram, factor_program
from bayescmp.generative import AbstractGenerativeModel

EngineName = Literal[
    "auto", "closed form", "conjugate", "forward", "elimination", "enumeration", "quadrature"
]

NUM_NODES = 64
"""Quadrature nodes for each continuous variable; half as many for the second opinion."""

MAX_CONTINUOUS = 2
"""Most continuous variables that quadrature takes."""

MAX_QUADRATURE_ERROR = 1e-6
"""Largest error in nats with which quadrature is chosen unasked."""

QUADRATURE_TRIALS = 64
"""Sequences on which two quadrature resolutions are compared."""


@dataclass(frozen=True)
class Choice:
    """An engine that answers a model's questions."""

    engine: AbstractEngine
    name: EngineName
    error: float = 0.0
    """Largest error of a log predictive in nats; 0 where exact."""

    @property
    def exact(self) -> bool:
        """Whether the only error is rounding."""
        return self.error == 0.0


def choose_engine(model: AbstractGenerativeModel, name: EngineName = "auto") -> Choice:
    """Find an engine for a model.

    Tried in this order: the model's hand-written closed form, conjugate updating, one pass
    forwards or variable elimination (whichever builds the smaller tables), enumeration of
    all joint settings, and quadrature where its error is below 1e-6 nats.

    Args:
        model: Generative model.
        name: Name of an engine to force, or "auto".

    Returns:
        The engine.

    Raises:
        ValueError: If no engine (or not the forced one) applies; the message says why.
    """
    if name not in get_args(EngineName):
        names = (*get_args(EngineName), "monte carlo")
        raise ValueError(f"engine: expected one of {names}, got {name!r}")
    if name != "auto":
        return _ATTEMPTS[name](model)
    reasons = []
    for attempt in (_closed_form, _conjugate, _discrete, _enumeration, _small_quadrature):
        try:
            return attempt(model)
        except ValueError as error:
            reasons.append(str(error))
    why = "; ".join(dict.fromkeys((reasons[2], reasons[-1])))
    raise ValueError(
        f"model: no exact engine for {model.title()}: {why}. With engine='monte carlo' continuous "
        "latents are sampled, and the error is stated"
    )


@lru_cache(maxsize=128)
def factored(model: AbstractGenerativeModel, num_nodes: int = NUM_NODES) -> FactoredProgram:
    """Factor a model's program once.

    Args:
        model: Generative model.
        num_nodes: Quadrature nodes for each continuous variable.

    Returns:
        The program as a product of tables.
    """
    return factor_program(model.program, model.layout, num_nodes=num_nodes)


def continuous_latents(model: AbstractGenerativeModel) -> list[str]:
    """Return the sites that are never shown and have not finitely many values.

    Args:
        model: Generative model.

    Returns:
        Their names, in the order of execution.
    """
    layout = model.layout
    shown = {site.name for site in (*layout.kept_sites, layout.outcome)}
    return [s.name for s in model.sites.values() if s.num_values is None and s.name not in shown]


def _closed_form(model: AbstractGenerativeModel) -> Choice:
    found = model.closed_form()
    if found is None:
        raise ValueError(f"engine: {model.title()} has no closed form; use engine='auto'")
    return Choice(found, "closed form")


def _conjugate(model: AbstractGenerativeModel) -> Choice:
    if not continuous_latents(model):
        raise ValueError(
            f"engine: found no conjugate structure in {model.title()}; it has no continuous latent"
        )
    found = find_conjugate(model.program, model.layout)
    if found is None:
        raise ValueError(
            f"engine: found no conjugate structure in {model.title()}; "
            f"{explain_conjugate(model.program, model.layout)}"
        )
    return Choice(found, "conjugate")


def _discrete(model: AbstractGenerativeModel) -> Choice:
    """Choose between one pass forwards and elimination by the tables that they build."""
    tables = _discrete_tables(model)
    reasons, found = [], []
    for build in (ForwardEngine, EliminationEngine):
        try:
            engine = build(tables)
            found.append((engine.cost, len(found), engine))
        except ValueError as error:
            reasons.append(str(error))
    if not found:
        raise ValueError("; ".join(reasons))
    engine = min(found)[2]
    return Choice(engine, "forward" if isinstance(engine, ForwardEngine) else "elimination")


def _discrete_tables(model: AbstractGenerativeModel) -> FactoredProgram:
    tables = factored(model)
    if not tables.is_exact:
        names = [site.name for site in tables.sites if site.element.is_continuous]
        raise ValueError(f"engine: expected discrete latents, got the continuous {names}")
    return tables


def _enumeration(model: AbstractGenerativeModel) -> Choice:
    engine = EnumerationEngine(model.program, model.layout)
    if not engine.is_exact:
        raise ValueError(
            f"engine: {model.title()} has a continuous latent, which cannot be enumerated; "
            "engine='quadrature' puts nodes in its place and states the error"
        )
    return Choice(engine, "enumeration")


def _small_quadrature(model: AbstractGenerativeModel) -> Choice:
    choice = _quadrature(model)
    if choice.error > MAX_QUADRATURE_ERROR:
        raise ValueError(
            f"engine: quadrature would err by {choice.error:.0e} nats, expected at most "
            f"{MAX_QUADRATURE_ERROR:.0e}; engine='quadrature' takes it nevertheless"
        )
    return choice


def _quadrature(model: AbstractGenerativeModel) -> Choice:
    """Put nodes in place of continuous latents, and estimate the error from half of them."""
    fine = factored(model)
    continuous = [site for site in fine.sites if site.element.is_continuous]
    count = sum(site.num_variables for site in continuous)
    if not 1 <= count <= MAX_CONTINUOUS:
        raise ValueError(
            f"engine: expected one or {MAX_CONTINUOUS} continuous latents for quadrature, got "
            f"{count} in {[site.name for site in continuous]}"
        )
    engines = [_cheapest(tables) for tables in (fine, factored(model, NUM_NODES // 2))]
    with jax.enable_x64(True):
        batch = model.sample(QUADRATURE_TRIALS, key=jax.random.key(0))
        sites = model.engine_sites(batch)
        first, second = (jax.jit(jax.vmap(e))(sites).log_predictive for e in engines)
        gap = jnp.where(first == second, 0.0, jnp.abs(first - second))
        error = float(jnp.max(gap))
    # A gap of nothing but rounding still says that the answer is no better than that.
    return Choice(engines[0], "quadrature", max(error, float(jnp.finfo(jnp.float64).eps)))


def _cheapest(tables: FactoredProgram) -> ForwardEngine | EliminationEngine:
    try:
        return ForwardEngine(tables)
    except ValueError:
        return EliminationEngine(tables)


_ATTEMPTS: dict[str, Callable[[AbstractGenerativeModel], Choice]] = {
    "closed form": _closed_form,
    "conjugate": _conjugate,
    "forward": lambda model: Choice(ForwardEngine(_discrete_tables(model)), "forward"),
    "elimination": lambda model: Choice(EliminationEngine(_discrete_tables(model)), "elimination"),
    "enumeration": _enumeration,
    "quadrature": _quadrature,
}
