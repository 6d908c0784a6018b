"""Laws of couplings: tables that favour agreement or its opposite, as magnets do."""

import math
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array

from bayescmp.exact.graphs.factor_graph import FactorGraph
from bayescmp.exact.graphs.summing import LogPotentials, LogTables
from bayescmp.exact.settings import constant
from bayescmp.models.arguments import require_positive
from bayescmp.models.table_laws import Sites, TableLaw, no_fields


@dataclass(frozen=True)
class GaussianCouplings(TableLaw):
    """Couplings and fields with a normal law: an Ising model, or one of Potts with more values.

    ``log T_f(x_f) = J_f`` where all values of the factor agree and ``-J_f`` elsewhere,
    ``J_f ~ N(0, scale^2)``; ``log U_v(x) = h_v (2 x / (k_v - 1) - 1)`` with
    ``h_v ~ N(0, field_scale^2)``. For two values this is ``J s_u s_v + h_v s_v`` with spins of
    plus and minus one.

    Example:
        >>> bc.models.GaussianCouplings(scale=0.5).site_names
        ('coupling', 'field')
    """

    scale: float = 1.0
    """Standard deviation of a coupling, in nats."""
    field_scale: float = 1.0
    """Standard deviation of a field, in nats; 0 leaves fields out."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ValueError: If one is out of range.
        """
        require_positive("scale", self.scale)
        _require_field_scale(self.field_scale)

    @property
    def site_names(self) -> tuple[str, ...]:
        """A site of couplings and one of fields."""
        return ("coupling", "field") if self.field_scale else ("coupling",)

    def draw(self, graph: FactorGraph) -> Sites:
        """Draw a coupling for each factor and a field for each variable."""
        with numpyro.plate("factor", len(graph.scopes)):
            coupling = jnp.asarray(numpyro.sample("coupling", dist.Normal(0.0, self.scale)))
        return {"coupling": coupling} | _draw_fields(graph, self.field_scale)

    def weigh(self, graph: FactorGraph, sites: Sites) -> tuple[LogTables, LogPotentials]:
        """Return couplings and fields as tables."""
        return _coupled(graph, sites["coupling"]), _fields(graph, sites)

    def describe(self) -> str:
        """Return a few words for a title."""
        return f"couplings N(0, {self.scale:g}²)"

    def reject(
        self, graph: FactorGraph, factors: tuple[str, ...], sites: dict[str, np.ndarray]
    ) -> None:
        """Reject nothing: couplings and fields may be any finite numbers."""


@dataclass(frozen=True)
class SignCouplings(TableLaw):
    """Couplings of one strength and either sign, as in a spin glass.

    ``J_f = strength (2 b_f - 1)`` with a fair coin ``b_f`` in site ``sign``; tables and fields as
    in :class:`GaussianCouplings`.

    Example:
        >>> bc.models.SignCouplings(strength=1.0).describe()
        'couplings ±1'
    """

    strength: float = 1.0
    """Size of every coupling, in nats."""
    field_scale: float = 0.5
    """Standard deviation of a field, in nats; 0 leaves fields out."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ValueError: If one is out of range.
        """
        require_positive("strength", self.strength)
        _require_field_scale(self.field_scale)

    @property
    def site_names(self) -> tuple[str, ...]:
        """A site of signs and one of fields."""
        return ("sign", "field") if self.field_scale else ("sign",)

    def draw(self, graph: FactorGraph) -> Sites:
        """Draw a sign for each factor and a field for each variable."""
        with numpyro.plate("factor", len(graph.scopes)):
            sign = jnp.asarray(numpyro.sample("sign", dist.Bernoulli(probs=0.5)))
        return {"sign": sign} | _draw_fields(graph, self.field_scale)

    def weigh(self, graph: FactorGraph, sites: Sites) -> tuple[LogTables, LogPotentials]:
        """Return signs and fields as tables."""
        coupling = self.strength * (2.0 * sites["sign"] - 1.0)
        return _coupled(graph, coupling), _fields(graph, sites)

    def describe(self) -> str:
        """Return a few words for a title."""
        return f"couplings ±{self.strength:g}"

    def reject(
        self, graph: FactorGraph, factors: tuple[str, ...], sites: dict[str, np.ndarray]
    ) -> None:
        """Reject nothing: couplings and fields may be any finite numbers."""


def _require_field_scale(field_scale: float) -> None:
    if not 0.0 <= field_scale < math.inf:
        raise ValueError(f"field_scale: expected a number that is not negative, got {field_scale}")


def _coupled(graph: FactorGraph, coupling: Array) -> LogTables:
    """Return tables that favour agreement as much as a coupling says."""
    tables = []
    for number, scope in enumerate(graph.scopes):
        values = np.indices(tuple(graph.sizes[v] for v in scope))
        agree = np.all(values == values[:1], axis=0)
        tables.append(jnp.where(agree, coupling[number], -coupling[number]))
    return tuple(tables)


def _draw_fields(graph: FactorGraph, scale: float) -> Sites:
    if not scale:
        return {}
    with numpyro.plate("field_variable", len(graph.sizes)):
        return {"field": jnp.asarray(numpyro.sample("field", dist.Normal(0.0, scale)))}


def _fields(graph: FactorGraph, sites: Sites) -> LogPotentials:
    if "field" not in sites:
        return no_fields(graph)
    spins = [constant(2.0 * np.arange(size) / max(size - 1, 1) - 1.0) for size in graph.sizes]
    return tuple(sites["field"][v] * spin for v, spin in enumerate(spins))
