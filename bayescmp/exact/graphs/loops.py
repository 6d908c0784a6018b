"""How far belief propagation is from the truth on graphs with loops, over many random draws."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import rel_entr
from jaxtyping import Array, Bool, Float

from bayescmp._types import Key
from bayescmp.exact.graphs.belief_propagation import propagate
from bayescmp.exact.graphs.elimination import marginals, plan_elimination
from bayescmp.exact.graphs.factor_graph import FactorGraph
from bayescmp.exact.graphs.summing import LogPotentials, LogTables

Draws = tuple[Float[Array, "*draw _"], ...]
"""Log potentials of many draws, one array for each variable."""

LOOPS: Mapping[str, FactorGraph] = {
    "triangle": FactorGraph(((0, 1), (1, 2), (2, 0)), (2,) * 3),
    "square": FactorGraph(((0, 1), (1, 2), (2, 3), (3, 0)), (2,) * 4),
    "6-cycle": FactorGraph(((0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 0)), (2,) * 6),
    "two loops": FactorGraph(((0, 1), (1, 2), (2, 0), (2, 3), (3, 4), (4, 2)), (2,) * 5),
    "K4": FactorGraph(((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)), (2,) * 4),
    "3x3 grid": FactorGraph(
        (
            *((0, 1), (1, 2), (3, 4), (4, 5), (6, 7), (7, 8)),
            *((0, 3), (3, 6), (1, 4), (4, 7), (2, 5), (5, 8)),
        ),
        (2,) * 9,
    ),
}
"""Graphs with loops of several lengths, of binary variables; two loops are triangles that share a
variable."""


class LoopErrors(eqx.Module):
    """Belief propagation against the exact marginals, one number for each draw."""

    converged: Bool[Array, "*draw"]
    """Whether the last round changed no log message by more than 1e-5 nats."""
    mean_error: Float[Array, "*draw"]
    """Mean over variables of the total variation between belief and marginal; for a binary one
    that is the error of its probability."""
    largest_error: Float[Array, "*draw"]
    """Largest of these."""
    kl: Float[Array, "*draw"]
    """Mean over variables of ``KL(exact || belief)``, in nats."""
    largest_kl: Float[Array, "*draw"]
    """Largest of these."""
    uniform_error: Float[Array, "*draw"]
    """Mean total variation of the uniform law, "always one half"."""

    def summary(self) -> dict[str, Float[np.ndarray, "*rest"]]:
        """Return means, and the worst draw, over the last axis.

        Returns:
            ``converged`` (a share), ``mean_error``, ``worst_mean_error`` (of the worst draw),
            ``largest_error``, ``mean_kl``, ``worst_kl`` and ``uniform_error``.
        """
        names = {
            "converged": (self.converged, np.mean),
            "mean_error": (self.mean_error, np.mean),
            "worst_mean_error": (self.mean_error, np.max),
            "largest_error": (self.largest_error, np.max),
            "mean_kl": (self.kl, np.mean),
            "worst_kl": (self.largest_kl, np.max),
            "uniform_error": (self.uniform_error, np.mean),
        }
        means = {name: over(np.asarray(x), axis=-1) for name, (x, over) in names.items()}
        return {name: np.asarray(mean) for name, mean in means.items()}


def measure_loops(
    graph: FactorGraph,
    log_tables: LogTables,
    log_potentials: Draws,
    *,
    num_rounds: int = 200,
    damping: float = 0.0,
) -> LoopErrors:
    """Hold belief propagation against elimination, for any number of tables at once.

    Args:
        graph: Scopes and sizes.
        log_tables: Log of each factor's table in nats, with the draws' axes in front.
        log_potentials: Log weight of each value of each variable, likewise.
        num_rounds: Rounds of messages, with a cavity.
        damping: Share of the old log message in the new one.

    Returns:
        Errors and convergence of each draw.

    Example:
        >>> from bayescmp.exact.graphs.loops import LOOPS, draw_couplings, measure_loops
        >>> triangle = LOOPS["triangle"]
        >>> with jax.enable_x64(True):
        ...     draws = draw_couplings(triangle, (0.1, 1.0), 50, key=jax.random.key(0))
        ...     found = measure_loops(triangle, *draws).summary()
        >>> found["mean_error"].round(2), found["converged"]  # all come to rest, not all are right
        (array([0.  , 0.09]), array([1., 1.]))
    """
    lead = log_potentials[0].shape[:-1]
    flat = jax.tree.map(
        lambda x: x.reshape(-1, *x.shape[len(lead) :]), (tuple(log_tables), tuple(log_potentials))
    )
    found = _solver(graph, num_rounds, damping)(*flat)
    return jax.tree.map(lambda x: x.reshape(lead), found)


def draw_couplings(
    graph: FactorGraph, strengths: Sequence[float], num_draws: int, *, key: Key
) -> tuple[LogTables, Draws]:
    """Draw couplings of one strength and random signs between binary variables.

    ``T(x, y) = exp(+-J s(x) s(y))`` with spins ``s = -1, 1``; the weight of each value of each
    variable is uniform on [0.1, 1]. All strengths share their signs and weights.

    Args:
        graph: Graph of binary variables and factors of two.
        strengths: ``J``, in nats.
        num_draws: Number of draws.
        key: Typed key.

    Returns:
        Log tables and log potentials, with axes for strengths and draws in front.

    Raises:
        ValueError: If a variable has more values or a factor more variables.
    """
    if set(graph.sizes) - {2} or {len(scope) for scope in graph.scopes} - {2}:
        raise ValueError("graph: expected binary variables and factors of two of them")
    key_sign, key_weight = jax.random.split(key)
    signs = jax.random.rademacher(key_sign, (len(graph.scopes), num_draws), float)
    spin = jnp.array([-1.0, 1.0])
    couplings = jnp.asarray(strengths, float)[:, None] * signs[:, None]
    tables = couplings[..., None, None] * (spin[:, None] * spin)
    potentials = _log_uniform(key_weight, graph.sizes, num_draws, 0.1)
    shape = len(strengths), num_draws, 2
    return tuple(tables), tuple(jnp.broadcast_to(row, shape) for row in potentials)


def draw_entries(
    graph: FactorGraph, low: float, num_draws: int, *, key: Key
) -> tuple[LogTables, Draws]:
    """Draw every entry of every table, and every weight of a value, uniformly on ``[low, 1]``.

    Args:
        graph: Scopes and sizes.
        low: Least entry; the nearer to one, the weaker the ties.
        num_draws: Number of draws.
        key: Typed key.

    Returns:
        Log tables and log potentials, with an axis for draws in front.

    Raises:
        ValueError: If the least entry is not between 0 and 1.
    """
    if not 0.0 < low < 1.0:
        raise ValueError(f"low: expected a number between 0 and 1, got {low}")
    *keys, key_weight = jax.random.split(key, len(graph.scopes) + 1)
    tables = [
        jnp.log(
            jax.random.uniform(k, (num_draws, *(graph.sizes[v] for v in scope)), float, low, 1.0)
        )
        for k, scope in zip(keys, graph.scopes, strict=True)
    ]
    return tuple(tables), _log_uniform(key_weight, graph.sizes, num_draws, low)


def _log_uniform(key: Key, sizes: tuple[int, ...], num_draws: int, low: float) -> Draws:
    keys = jax.random.split(key, len(sizes))
    return tuple(
        jnp.log(jax.random.uniform(k, (num_draws, size), float, low, 1.0))
        for k, size in zip(keys, sizes, strict=True)
    )


@lru_cache(maxsize=64)
def _solver(
    graph: FactorGraph, num_rounds: int, damping: float
) -> Callable[[LogTables, Draws], LoopErrors]:
    """Compile both answers once for each structure, for a batch."""
    plan = plan_elimination(graph.scopes, graph.sizes)

    def compare(log_tables: LogTables, log_potentials: LogPotentials) -> LoopErrors:
        probs = marginals(plan, graph.scopes, log_tables, log_potentials)[1]
        ours = propagate(graph, log_tables, log_potentials, num_rounds=num_rounds, damping=damping)
        beliefs = [jnp.exp(law) for law in ours.log_beliefs]
        errors = jnp.stack([_distance(b, p) for b, p in zip(beliefs, probs, strict=True)])
        kls = jnp.stack([rel_entr(p, b).sum() for b, p in zip(beliefs, probs, strict=True)])
        uniform = jnp.stack([_distance(jnp.full_like(p, 1.0 / len(p)), p) for p in probs])
        return LoopErrors(
            converged=ours.converged,
            mean_error=errors.mean(),
            largest_error=errors.max(),
            kl=kls.mean(),
            largest_kl=kls.max(),
            uniform_error=uniform.mean(),
        )

    return jax.jit(jax.vmap(compare))


def _distance(p: Float[Array, " value"], q: Float[Array, " value"]) -> Float[Array, ""]:
    return 0.5 * jnp.sum(jnp.abs(p - q))
