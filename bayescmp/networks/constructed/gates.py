"""AND and OR as the smallest networks that pass messages, and what "OR" is as published.

Two inputs, known by their probabilities, and an output that one factor ties to both. One layer is
enough: attention brings the inputs' log-odds to the output's token, where the feed-forward part
makes the factor's message of them.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from bayescmp.exact.graphs.factor_graph import FactorGraph
from bayescmp.exact.graphs.graph_rows import GraphRows, lay_out
from bayescmp.exact.graphs.graph_shape import GraphShape
from bayescmp.networks.constructed.message_passing import message_passing
from bayescmp.networks.constructed.stream_layout import StreamLayout
from bayescmp.networks.transformer import Transformer

GateName = Literal["and", "or", "sum of log odds"]
GATES: tuple[GateName, ...] = get_args(GateName)
"""``sum of log odds`` is what is called OR as published, ``sigmoid(logit p + logit q)``: two
factors, each of which says that the output equals one input."""

_OUTPUT = 2


@dataclass(frozen=True)
class Standing:
    """A number in the residual stream, and what it stands for."""

    half: str
    """``embedded``, ``after attention`` or ``after feed-forward``."""
    slot: str
    """What the place holds, in words."""
    log_odds: float
    """In nats."""

    @property
    def probability(self) -> float:
        """The same as a probability of value 1."""
        return float(1.0 / (1.0 + np.exp(-self.log_odds)))

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.half}: {self.slot} {self.log_odds:+.3f} (probability {self.probability:.3f})"


@dataclass(frozen=True)
class WatchedGate:
    """What a gate's network computes on the way to its answer."""

    name: GateName
    standings: tuple[Standing, ...]
    """Everything that stands in the stream, half-block by half-block."""
    answer: float
    """Probability of the output by the network."""
    exact: float
    """The same by summing over both inputs."""
    logical: float
    """Probability that the inputs' AND is true; for both other gates, that their OR is."""

    def __str__(self) -> str:
        """Return one line for each number, then the answers."""
        ends = f"answer {self.answer:.4f}, exact {self.exact:.4f}, logical {self.logical:.4f}"
        return "\n".join([*map(str, self.standings), ends])


def gate_table(
    name: GateName, strengths: tuple[float, float] = (1.0, 1.0), leak: float = 0.0
) -> Float[np.ndarray, "first second output"]:
    """Return ``p(output | first, second)`` of AND or of OR, noisy ones too.

    AND: ``s1 s2`` where both are true, and the leak elsewhere. OR: ``1 - (1 - leak)
    prod_i (1 - s_i x_i)``.

    Args:
        name: ``and`` or ``or``.
        strengths: Probability with which each input, if true, does its part.
        leak: Probability of the output where nothing speaks for it.

    Returns:
        The table.

    Raises:
        ValueError: If the gate is no table of both inputs, or a probability is out of range.

    Source: Pearl, "Probabilistic Reasoning in Intelligent Systems" (1988), section 4.3.2.

    Example:
        >>> from bayescmp.networks.constructed.gates import gate_table
        >>> gate_table("or", strengths=(0.9, 0.8))[..., 1].round(2).tolist()
        [[0.0, 0.8], [0.9, 0.98]]
    """
    if name not in ("and", "or"):
        raise ValueError(f"name: expected 'and' or 'or', got {name!r}")
    for what, value in (("leak", leak), *(("strengths", strength) for strength in strengths)):
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"{what}: expected probabilities, got {value}")
    first, second = np.indices((2, 2))
    if name == "and":
        true = np.where(first & second, strengths[0] * strengths[1], leak)
    else:
        true = 1.0 - (1.0 - leak) * (1.0 - strengths[0] * first) * (1.0 - strengths[1] * second)
    return np.stack([1.0 - true, true], axis=-1)


def gate_rows(
    name: GateName,
    probs: tuple[float, float],
    strengths: tuple[float, float] = (1.0, 1.0),
    leak: float = 0.0,
) -> GraphRows:
    """Write a gate and what is known of its inputs as a factor graph; the output is variable 2.

    Args:
        name: The gate.
        probs: Probability that each input is true, between 0 and 1.
        strengths: As for :func:`gate_table`.
        leak: As for :func:`gate_table`.

    Returns:
        The rows.

    Raises:
        ValueError: If a probability is out of range.
    """
    if not all(0.0 < prob < 1.0 for prob in probs):
        raise ValueError(f"probs: expected numbers above 0 and below 1, got {probs}")
    inputs = [jnp.log(jnp.array([1.0 - prob, prob])) for prob in probs]
    potentials = (*inputs, jnp.zeros(2))
    if name == "sum of log odds":
        graph, shape = FactorGraph(((0, 2), (1, 2)), (2,) * 3), GraphShape(3, 2, num_slots=2)
        return lay_out(graph, shape, (jnp.log(jnp.eye(2)),) * 2, potentials)
    graph, shape = FactorGraph(((0, 1, 2),), (2,) * 3), GraphShape(3, 2, num_slots=1, arity=3)
    table = jnp.log(jnp.asarray(gate_table(name, strengths, leak)))
    return lay_out(graph, shape, (table,), potentials)


def build_gate(name: GateName) -> Transformer:
    """Write down the network of a gate: one layer, which reads the table and the inputs.

    Args:
        name: The gate.

    Returns:
        The network; the output is answered at its last row.

    Raises:
        ValueError: If there is no such gate.

    Example:
        >>> from bayescmp.networks.constructed.gates import build_gate, gate_rows
        >>> logits = build_gate("and")(gate_rows("and", (0.9, 0.8)).encode())[-1]
        >>> round(float(jax.nn.softmax(logits)[1]), 4)
        0.72
    """
    if name not in GATES:
        raise ValueError(f"name: expected one of {', '.join(GATES)}, got {name!r}")
    return message_passing(gate_rows(name, (0.5, 0.5)).shape, 1, form="logsumexp")


def watch_gate(
    name: GateName,
    probs: tuple[float, float],
    strengths: tuple[float, float] = (1.0, 1.0),
    leak: float = 0.0,
) -> WatchedGate:
    """Run a gate, and say what stands in each slot after each half of its block.

    Args:
        name: The gate.
        probs: Probability that each input is true, between 0 and 1.
        strengths: As for :func:`gate_table`.
        leak: As for :func:`gate_table`.

    Returns:
        The numbers in the order in which they are computed, and the answers.

    Raises:
        ValueError: If a probability is out of range, or there is no such gate.

    Example:
        >>> from bayescmp.networks.constructed.gates import watch_gate
        >>> print(watch_gate("sum of log odds", (0.8, 0.6)))
        embedded: input 0 +1.386 (probability 0.800)
        embedded: input 1 +0.405 (probability 0.600)
        after attention: slot 0 of the output, from input 0 +1.386 (probability 0.800)
        after attention: slot 1 of the output, from input 1 +0.405 (probability 0.600)
        after feed-forward: slot 0 of the output, message +1.386 (probability 0.800)
        after feed-forward: slot 1 of the output, message +0.405 (probability 0.600)
        after feed-forward: belief about the output +1.792 (probability 0.857)
        answer 0.8571, exact 0.8571, logical 0.9200
    """
    network, rows = build_gate(name), gate_rows(name, probs, strengths, leak)
    layout, trace = StreamLayout(rows.shape), network.trace_layers(rows.encode())
    start, middle, end = (
        np.asarray(x[0]) for x in (trace.resid_pre, trace.resid_mid, trace.resid_post)
    )
    out = 1 + _OUTPUT
    standings = [
        Standing("embedded", f"input {i}", float(start[1 + i, layout.evidence[0]]))
        for i in range(2)
    ]
    for slot, other in np.ndindex(rows.shape.num_slots, rows.shape.num_others):
        said = float(middle[out, layout.cavities[slot, other, 0]])
        source = int(rows.others[_OUTPUT, slot, other])
        where = f"slot {slot} of the output, from input {source}"
        standings.append(Standing("after attention", where, said))
    for slot in range(rows.shape.num_slots):
        message = float(end[out, layout.messages[slot, 0]])
        where = f"slot {slot} of the output, message"
        standings.append(Standing("after feed-forward", where, message))
    logits = network.read_out(jnp.asarray(end[out]))
    standings.append(
        Standing("after feed-forward", "belief about the output", float(logits[1] - logits[0]))
    )
    return WatchedGate(
        name=name,
        standings=tuple(standings),
        answer=float(jax.nn.softmax(logits)[1]),
        exact=_sum_by_hand(name, probs, strengths, leak),
        logical=_sum_by_hand("and" if name == "and" else "or", probs, (1.0, 1.0), 0.0),
    )


def _sum_by_hand(
    name: GateName, probs: tuple[float, float], strengths: tuple[float, float], leak: float
) -> float:
    """Return the exact probability of the output."""
    first, second = (np.array([1.0 - prob, prob]) for prob in probs)
    if name == "sum of log odds":
        weights = first * second
        return float(weights[1] / weights.sum())
    return float(first @ gate_table(name, strengths, leak)[..., 1] @ second)
