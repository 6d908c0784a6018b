"""Exact answers to questions about a grounded knowledge base, and where there are none."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from bayescmp.engine import AbstractEngine
from bayescmp.exact.graphs.elimination import marginals, plan_elimination
from bayescmp.models.belief_network import Gate, gate_graph
from bayescmp.records import Reference

ANSWERS = ("no", "yes", "ungrounded", "contradictory")
"""Values of an answer."""


class QueryEngine(AbstractEngine):
    """Posteriors of all nodes given the facts, by elimination over the gates.

    With ``F`` the facts: ``p(answer = v | s_t) = p(node_asked = v | F)`` where ``p(F) > 0``;
    else the answer is "contradictory" for certain; and "ungrounded" for certain where a word is
    asked that is no node.
    """

    gates: tuple[Gate, ...] = eqx.field(static=True)
    findings: tuple[int, ...] = eqx.field(static=True)
    """Number of the node of each finding."""
    num_words: int = eqx.field(static=True)
    """Nodes, and words that are none."""
    ungrounded_share: float = eqx.field(static=True)
    held_out: tuple[tuple[int, int], ...] = eqx.field(static=True)
    """Pairs of a finding and a node that is never asked where the finding is told."""

    def __call__(self, sites: dict[str, Array]) -> Reference:
        """Answer every question of one example."""
        told = read_facts(sites["fact"], len(self.findings))
        log_asked = jax.nn.log_softmax(asked_law(self, told))[sites["asked"]]
        return Reference(
            log_predictive=self.windowed(sites, sites["asked"].shape[0]),
            log_evidence=jnp.cumsum(log_asked),
            belief={},
        )

    def windowed(self, sites: dict[str, Array], window: int) -> Float[Array, "position outcome"]:
        """Answer from the facts, which are never forgotten; other questions tell nothing."""
        told = read_facts(sites["fact"], len(self.findings))
        return self._answers(told)[sites["asked"]]

    def treatment(self) -> dict[str, str]:
        """Say how each site was dealt with."""
        return {
            **{gate.name: "eliminated" for gate in self.gates},
            **dict.fromkeys(("everything", "told", "again"), "tells nothing of the world"),
            "trouble": "certain, given the facts",
            "fact": "shown",
            "asked": "shown",
            "answer": "asked",
        }

    def reason(self) -> str:
        """Say why the answer is exact."""
        return (
            f"elimination of {len(self.gates)} gates sums over all worlds, and facts that "
            "contradict each other have probability zero under them"
        )

    def posterior(
        self, told: Bool[Array, "finding value"]
    ) -> tuple[Float[Array, ""], Float[Array, "node value"]]:
        """Return the log probability of facts, and of each value of each node given them.

        Args:
            told: Whether each value of each finding is told; both are where a fact is denied.

        Returns:
            ``log p(F)`` in nats, and probabilities: NaN where ``F`` is impossible.
        """
        graph, log_tables = gate_graph(self.gates)
        plan = plan_elimination(graph.scopes, graph.sizes)
        log_total, probs = marginals(plan, graph.scopes, log_tables, tuple(self.evidence(told)))
        return log_total, jnp.stack(probs)

    def evidence(self, told: Bool[Array, "finding value"]) -> Float[Array, "node value"]:
        """Return the log weight of each value of each node: minus infinity where facts exclude it.

        Args:
            told: Whether each value of each finding is told.

        Returns:
            Zero or minus infinity; both values of a node are excluded where both are told.
        """
        excluded = jnp.where(told[:, ::-1], -jnp.inf, 0.0)
        return jnp.zeros((len(self.gates), 2)).at[jnp.array(self.findings)].add(excluded)

    def _answers(self, told: Bool[Array, "finding value"]) -> Float[Array, "word outcome"]:
        """Return the law of the answer for every word that can be asked."""
        log_total, probs = self.posterior(told)
        law = jnp.log(probs / jnp.sum(probs, axis=1, keepdims=True))
        return add_non_answers(self, law, jnp.isneginf(log_total))


def add_non_answers(
    engine: QueryEngine, law: Float[Array, "node value"], is_impossible: Bool[Array, ""]
) -> Float[Array, "word outcome"]:
    """Widen laws of no and yes to those of all answers, for every word that can be asked.

    Args:
        engine: Who knows which words are no nodes.
        law: Log probability of each value of each node.
        is_impossible: Whether there is none, because the facts contradict each other.

    Returns:
        Log probabilities, in nats.
    """
    grounded = jnp.pad(law, ((0, 0), (0, 2)), constant_values=-jnp.inf)
    grounded = jnp.where(is_impossible, _surely("contradictory"), grounded)
    num_others = engine.num_words - len(engine.gates)
    return jnp.concatenate([grounded, jnp.tile(_surely("ungrounded"), (num_others, 1))])


def asked_law(engine: QueryEngine, told: Bool[Array, "finding value"]) -> Float[Array, " word"]:
    """Return the log chance that each word is asked, up to a constant.

    Args:
        engine: Who knows what is never asked where a finding is told.
        told: Whether each value of each finding is told.

    Returns:
        Log weights in nats.
    """
    num_nodes = len(engine.gates)
    may = jnp.ones(num_nodes, bool)
    for finding, node in engine.held_out:
        may = may.at[node].set(may[node] & ~jnp.any(told[finding]))
    share, num_others = engine.ungrounded_share, engine.num_words - num_nodes
    nodes = (1.0 - share) * may / jnp.sum(may)
    others = jnp.full(num_others, share / max(num_others, 1), nodes.dtype)
    return jnp.log(jnp.concatenate([nodes, others]))


def read_facts(facts: Int[Array, " place"], num_findings: int) -> Bool[Array, "finding value"]:
    """Return which value of which finding is told.

    Args:
        facts: Tokens: 0, or one more than twice the finding's number, plus its value.
        num_findings: Number of findings.

    Returns:
        True where it is told.
    """
    there = jax.nn.one_hot(facts, 2 * num_findings + 1, dtype=bool).any(axis=0)
    return there[1:].reshape(num_findings, 2)


def _surely(answer: str) -> Float[Array, " outcome"]:
    return jnp.where(jnp.arange(len(ANSWERS)) == ANSWERS.index(answer), 0.0, -jnp.inf)
