"""Whether a network on a graph with loops repeats belief propagation's errors, or is exact."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from bayescmp import measures
from bayescmp._types import Key
from bayescmp.comparison.evaluation import Subject, ask, draw_evaluation
from bayescmp.comparison.siding import place_between
from bayescmp.comparison.tally import BITS, LogLaws
from bayescmp.graph_model import AbstractGraphModel
from bayescmp.oracle import AbstractOracle
from bayescmp.predictors.graph_propagation import GraphPropagation
from bayescmp.results.tree import make_dataset

EXACT, UNCLEAR = "exact", "neither clearly"

ROUNDING = 1e-9
"""Difference that counts as none: of two mean divergences, in nats, or of two laws."""


@dataclass(frozen=True, eq=False)
class Following:
    """One network beside exact marginals and beside belief propagation."""

    to_exact: float
    """Mean ``KL(exact || network)``, in bits."""
    to_propagation: Float[np.ndarray, " propagation_rounds"]
    """Mean ``KL(belief propagation || network)`` after so many rounds, in bits."""
    between: Float[np.ndarray, " propagation_rounds"]
    """Mean ``KL(exact || belief propagation)``, in bits."""
    error: float
    """Mean absolute error of the network's probabilities."""
    propagation_error: float
    """The same of belief propagation after the most rounds."""
    slope: float
    """``sum (q - p)(b - p) / sum (b - p)^2`` of network ``q``, exact ``p`` and belief ``b``.

    One for a network that is belief propagation, zero for errors that have nothing to do with
    its own; NaN where belief propagation makes none.
    """
    follows: str
    """What is nearer: exact, or how many rounds; by the mean difference of the two distances,
    which must be more than two of its standard errors."""


def follow_errors(
    network: Subject,
    oracle: AbstractOracle,
    rounds: Sequence[int],
    *,
    num_graphs: int = 1_024,
    key: Key,
) -> Following:
    """Ask whether a network is nearer to exact marginals, or to belief propagation.

    Args:
        network: Network, or anything else that answers.
        oracle: Oracle of a graph model.
        rounds: Rounds of belief propagation, the most last.
        num_graphs: How many graphs are drawn.
        key: Typed key of the graphs.

    Returns:
        Distances and the share of belief propagation's errors that the network repeats.

    Raises:
        TypeError: If the oracle's model is no graph model.
        ValueError: If there are no rounds.

    Example:
        >>> square = bc.models.graph_structures.cycle(4)
        >>> model = bc.models.FactorGraphModel(square, bc.models.SignCouplings(strength=1.0))
        >>> oracle, twenty = bc.derive_oracle(model), bc.predictors.GraphPropagation(model, 20)
        >>> found = follow_errors(twenty, oracle, (20,), num_graphs=64, key=jax.random.key(0))
        >>> found.follows, round(found.slope, 6)
        ('20 rounds', 1.0)
    """
    model = oracle.model
    if not isinstance(model, AbstractGraphModel):
        raise TypeError(f"oracle: expected one of a graph model, got {type(model).__name__}")
    if not rounds:
        raise ValueError("rounds: expected at least one number, got none")
    evaluation = draw_evaluation(oracle, num_graphs, key=key)
    rivals = [ask(GraphPropagation(model, number), evaluation) for number in rounds]
    law, exact, counts = ask(network, evaluation), evaluation.log_p, evaluation.supervised
    to_exact, *to_rivals = (_divergence(p, law)[counts] for p in (exact, *rivals))
    (p, q, b) = (np.exp(x)[counts] for x in (exact, law, rivals[-1]))
    side = place_between(law, exact, rivals[-1], counts, threshold=ROUNDING)
    best = int(np.argmin([rows.mean() for rows in to_rivals]))
    return Following(
        to_exact=float(to_exact.mean()) * BITS,
        to_propagation=np.array([rows.mean() for rows in to_rivals]) * BITS,
        between=np.array([_divergence(exact, rival)[counts].mean() for rival in rivals]) * BITS,
        error=float(np.abs(q - p).sum(axis=-1).mean() / 2.0),
        propagation_error=float(np.abs(b - p).sum(axis=-1).mean() / 2.0),
        slope=float(side.place.mean),
        follows=name_nearer(
            _divergence(rivals[best], law) - _divergence(exact, law), counts, _name(rounds[best])
        ),
    )


def _name(number: int) -> str:
    return f"{number} round{'s' * (number > 1)}"


def _divergence(log_p: LogLaws, log_q: LogLaws) -> Float[np.ndarray, "sequence position"]:
    """Return KL(p || q) at every question, in nats."""
    with jax.enable_x64(True):
        return np.asarray(_kl(jnp.asarray(log_p), jnp.asarray(log_q)))


_kl = jax.jit(measures.kl)


def name_nearer(
    gap: Float[np.ndarray, "sequence position"],
    counts: Bool[np.ndarray, "sequence position"],
    rival: str,
) -> str:
    """Name the nearer of two answers; graphs, not questions, were drawn independently.

    Args:
        gap: Divergence from the rival to a network minus that from the exact law, in nats.
        counts: Questions that count.
        rival: Name of the rival.

    Returns:
        ``exact``, the rival's name, or that neither is clearly nearer: the mean is within two of
        its standard errors, or no more than rounding.
    """
    sums, numbers = np.where(counts, gap, 0.0).sum(axis=1), counts.sum(axis=1)
    mean = sums.sum() / numbers.sum()
    error = np.sqrt(np.sum((sums - mean * numbers) ** 2)) / numbers.sum()
    if not abs(mean) > max(2.0 * error, ROUNDING):
        return UNCLEAR
    return EXACT if mean > 0.0 else rival


def following_group(found: Sequence[Mapping[str, Following]], rounds: Sequence[int]) -> xr.Dataset:
    """Lay out what networks follow, seed by seed and coupling by coupling.

    Args:
        found: For each seed, findings by the size of the couplings, from weak to strong.
        rounds: Rounds of belief propagation.

    Returns:
        The group ``/following``.
    """
    couplings = list(found[0])

    def table(name: str) -> np.ndarray:
        return np.array([[getattr(one[coupling], name) for coupling in couplings] for one in found])

    names = ("to_exact", "to_propagation", "between", "error", "propagation_error", "slope")
    arrays = {name: table(name) for name in (*names, "follows")}
    arrays["weakest_slope"] = arrays["slope"][:, 0]
    arrays["strongest_slope"] = arrays["slope"][:, -1]
    nearest = arrays["to_propagation"][:, -1].min(axis=1)
    arrays["margin"] = nearest - arrays["to_exact"][:, -1]
    coords = {"coupling": couplings, "propagation_rounds": list(rounds)}
    return make_dataset("/following", arrays, coords)
