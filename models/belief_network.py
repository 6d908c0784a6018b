"""Bayesian networks of noisy AND and OR gates, asked node by node in any order."""

from dataclasses import dataclass
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from bayescmp.exact.graphs.factor_graph import FactorGraph
from bayescmp.generative import GenerativeModel
from bayescmp.models.arguments import require_inside

Kind = Literal["or", "and"]


@dataclass(frozen=True)
class Gate:
    """A binary node: true with a probability that its parents decide.

    Noisy OR: ``p(true) = 1 - (1 - leak) prod_{true parents i} (1 - strengths[i])``.
    Noisy AND: ``p(true) = leak + (1 - leak) prod_{false parents i} (1 - strengths[i])``.
    Without parents an OR is true with probability ``leak``.

    Example:
        >>> Gate("fever", parents=("flu",), strengths=(0.9,), leak=0.05).kind
        'or'
    """

    name: str
    parents: tuple[str, ...] = ()
    strengths: tuple[float, ...] = ()
    """How much each parent matters, from 0 to 1; 1 makes a logical gate."""
    leak: float = 0.0
    kind: Kind = "or"

    def __post_init__(self) -> None:
        """Check that the numbers are probabilities and fit together.

        Raises:
            ValueError: If they do not.
        """
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind: expected one of {get_args(Kind)}, got {self.kind!r}")
        if len(self.parents) != len(self.strengths):
            raise ValueError(
                f"strengths: expected one for each of {len(self.parents)} parents of "
                f"{self.name!r}, got {len(self.strengths)}"
            )
        if not all(0.0 <= p <= 1.0 for p in (*self.strengths, self.leak)):
            raise ValueError(
                f"strengths, leak: expected probabilities for {self.name!r}, got "
                f"{self.strengths}, {self.leak}"
            )
        if not self.parents:
            require_inside("leak", self.leak, 0.0, 1.0)

    def log_law(self, values: dict[str, jax.Array]) -> jax.Array:
        """Return ``log p(node = 0), log p(node = 1)`` for the values of its parents."""
        is_or = self.kind == "or"
        share = jnp.asarray(1.0)
        for parent, strength in zip(self.parents, self.strengths, strict=True):
            share = share * jnp.where(values[parent] == int(is_or), 1.0 - strength, 1.0)
        false = (1.0 - self.leak) * (share if is_or else 1.0 - share)
        return jnp.log(jnp.stack([false, 1.0 - false]))


DIAGNOSIS = (
    Gate("flu", leak=0.1),
    Gate("allergy", leak=0.2),
    Gate("fever", ("flu",), (0.9,), leak=0.02),
    Gate("sneezing", ("flu", "allergy"), (0.6, 0.8), leak=0.05),
    Gate("itching", ("allergy",), (0.7,), leak=0.02),
)
"""Two causes and three findings, in the manner of the QMR-DT network."""

KNOWLEDGE_BASE = (
    Gate("lonely(jack)", leak=0.3),
    Gate("exciting(jill)", leak=0.6),
    Gate("lonely(jill)", leak=0.4),
    Gate("likes(jack, jill)", ("lonely(jack)", "exciting(jill)"), (0.7, 0.8), leak=0.05),
    Gate("likes(jill, jack)", ("lonely(jill)",), (0.6,), leak=0.1),
    Gate("date(jack, jill)", ("likes(jack, jill)", "likes(jill, jack)"), (1.0, 1.0), kind="and"),
    Gate("gossip", ("date(jack, jill)", "exciting(jill)"), (0.9, 0.3), leak=0.02),
)
"""Rules of a small knowledge base with their constants filled in; its graph has loops."""


def draw_gates(gates: tuple[Gate, ...]) -> dict[str, jax.Array]:
    """Draw every node from its parents, as sites of a NumPyro program.

    Args:
        gates: Nodes, parents before their children.

    Returns:
        The values, by name.
    """
    values: dict[str, jax.Array] = {}
    for gate in gates:
        # NumPyro's validation refuses infinite logits, which is what certainty has.
        law = dist.Categorical(logits=gate.log_law(values), validate_args=False)
        values[gate.name] = numpyro.sample(gate.name, law)
    return values


def gate_graph(gates: tuple[Gate, ...]) -> tuple[FactorGraph, tuple[jax.Array, ...]]:
    """Write gates as a factor graph: a variable and a factor for each, in their order.

    Args:
        gates: Nodes, parents before their children.

    Returns:
        The graph, and the log table of each gate, in nats: its own value first, then those of
        its parents.

    Example:
        >>> from bayescmp.models.belief_network import gate_graph
        >>> gates = Gate("rain", leak=0.2), Gate("wet", ("rain",), (0.9,), leak=0.1)
        >>> graph, log_tables = gate_graph(gates)
        >>> graph.scopes, np.exp(log_tables[1][1]).round(2).tolist()  # wet, without and with rain
        (((0,), (1, 0)), [0.10..., 0.91...])
    """
    numbers = {gate.name: number for number, gate in enumerate(gates)}
    scopes = tuple((numbers[g.name], *(numbers[parent] for parent in g.parents)) for g in gates)
    tables = []
    for gate in gates:
        grid = jnp.indices((2,) * len(gate.parents))
        values = dict(zip(gate.parents, grid, strict=True))
        tables.append(gate.log_law(values))
    return FactorGraph(scopes, (2,) * len(gates)), tuple(tables)


def gate_network(gates: tuple[Gate, ...], asked: tuple[str, ...]) -> None:
    """Draw every node from its parents, and say the asked ones in their order."""
    values = draw_gates(gates)
    said = jnp.stack([values[name] for name in asked])
    certain = jnp.where(said[:, None] == jnp.arange(2), 0.0, -jnp.inf)
    with numpyro.plate("position", len(asked)):
        numpyro.sample("answer", dist.Categorical(logits=certain, validate_args=False))


def belief_network(
    gates: tuple[Gate, ...], asked: tuple[str, ...] | None = None, name: str = "belief network"
) -> GenerativeModel:
    """Ask for the nodes of a Bayesian network one by one, each shown before the next.

    ``p(nodes) = prod_i p(node_i | parents_i)`` with noisy gates. The network draws its
    nodes in causal order; ``answer_t`` repeats node ``asked[t]``, so any order can be asked:
    findings before their causes makes a diagnosis. Nodes that are not asked stay hidden, and
    the belief over each node is part of the reference.

    Source: Pearl, "Probabilistic Reasoning in Intelligent Systems" (1988), chapter 4, for
    noisy gates and explaining away.

    Args:
        gates: Nodes, parents before their children.
        asked: Names of the asked nodes in their order; by default all, the last first.
        name: Name for tables.

    Returns:
        The model.

    Raises:
        ValueError: If a name occurs twice, or a parent or an asked node is missing.

    Example:
        >>> gates = Gate("rain", leak=0.2), Gate("wet", ("rain",), (0.9,), leak=0.1)
        >>> bc.derive_oracle(belief_network(gates)).certificate.exact  # wet, then rain
        True
    """
    names = [gate.name for gate in gates]
    if len(set(names)) < len(names) or "answer" in names:
        raise ValueError(f"gates: expected different names, and not 'answer', got {names}")
    for index, gate in enumerate(gates):
        missing = sorted(set(gate.parents) - set(names[:index]))
        if missing:
            raise ValueError(
                f"gates: expected the parents of {gate.name!r} before it, got none for {missing}"
            )
    asked = tuple(reversed(names)) if asked is None else tuple(asked)
    if not asked or len(set(asked)) < len(asked) or set(asked) - set(names):
        raise ValueError(f"asked: expected different names among {names}, got {asked}")
    return GenerativeModel(
        gate_network,
        outcome="answer",
        arguments={"gates": tuple(gates), "asked": asked},
        name=name,
    )


def diagnosis() -> GenerativeModel:
    """Ask for findings first and their causes last: one cause explains the other away.

    Source: in the manner of the QMR-DT network, Shwe et al., Methods of Information in
    Medicine 30 (1991), of diseases and findings with noisy-OR gates; the numbers are ours.

    Returns:
        The model: sneezing, itching, fever, allergy and flu are asked in this order.

    Example:
        >>> model = diagnosis()
        >>> seen = model.batch_from_sites({"answer": jnp.array([1, 1, 0, 1, 0])})
        >>> flu = bc.derive_oracle(model)(seen).belief["flu"][:, 1]
        >>> flu[1] > flu[0], flu[2] < flu[1]  # sneezing speaks for flu, itching against it
        (Array(True, dtype=bool), Array(True, dtype=bool))
    """
    asked = ("sneezing", "itching", "fever", "allergy", "flu")
    return belief_network(DIAGNOSIS, asked, name="diagnosis with noisy-OR gates")


def knowledge_base() -> GenerativeModel:
    """Ask a grounded knowledge base of AND and OR rules, from conclusions to premises.

    Source: a grounded network of AND and OR gates as in Coppola, "Transformers are Bayesian
    Networks", arXiv 2603.17063, whose own examples include one about dating; the rules and
    the numbers are ours.

    Returns:
        The model.

    Example:
        >>> knowledge_base().length
        7
    """
    return belief_network(KNOWLEDGE_BASE, name="knowledge base of AND and OR rules")
