"""Questions to a grounded knowledge base in a tiny vocabulary, some of them without an answer."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Bool, Int

from bayescmp.generative import AbstractGenerativeModel
from bayescmp.layout import Questions
from bayescmp.models.arguments import require_at_least
from bayescmp.models.belief_network import draw_gates
from bayescmp.models.contradictions import (
    Contradiction,
    describe_contradiction,
    find_contradictions,
)
from bayescmp.models.grounding import KnowledgeBase
from bayescmp.models.query_engine import ANSWERS, QueryEngine, asked_law, read_facts

SITES = ("everything", "told", "again", "trouble", "fact", "asked", "answer")


class GroundedQueries(AbstractGenerativeModel):
    """Some findings are told as facts, and concepts are asked: no, yes, or there is no saying.

    A world is drawn from the gates of the base. Each finding is told with the chance
    ``told_share``, all of them with the chance ``complete_share``, one once more half of the time;
    what is told does not depend on the world. With the chance ``contradictory_share`` the facts
    are then overwritten with a contradiction: one finding is told yes and no, or findings get
    values that no world has together. Asked are concepts, with the chance ``ungrounded_share`` a
    word that no rule mentions. Answers are ``ANSWERS``: the value in the world; "ungrounded" for
    such words; else "contradictory" where the facts are. Contradictions have probability zero
    under the gates, other facts never, so the answer's law given the facts is the posterior under
    the gates, or certain.

    ``fact`` shows one finding at a place, 0 where it is unknown, else one more than twice its
    number, plus its value, and once more the finding told again. ``asked`` numbers the nodes,
    then the words.

    Source: questions to a grounded knowledge base as in Coppola, arXiv 2603.17063, of whom
    it is said there that it cannot hallucinate; words, facts and contradictions are ours.

    Example:
        >>> from bayescmp.models.clinic import CLINIC, CLINIC_FINDINGS
        >>> model = GroundedQueries(CLINIC, CLINIC_FINDINGS, ungrounded=("horoscope",))
        >>> model.num_outcomes, model.layout.input_length
        (4, 13)
    """

    base: KnowledgeBase = eqx.field(static=True)
    findings: tuple[str, ...] = eqx.field(static=True)
    """Statements that can be told as facts."""
    ungrounded: tuple[str, ...] = eqx.field(static=True)
    """Known words that no rule mentions."""
    num_questions: int = eqx.field(static=True)
    told_share: float = eqx.field(static=True)
    complete_share: float = eqx.field(static=True)
    contradictory_share: float = eqx.field(static=True)
    ungrounded_share: float = eqx.field(static=True)
    held_out: tuple[tuple[str, str], ...] = eqx.field(static=True)
    """Pairs of a finding and a statement that is never asked where the finding is told."""
    left_out: tuple[str, ...] = eqx.field(static=True)
    """Contradictions that never come, in words."""
    contradictions: tuple[Contradiction, ...] = eqx.field(static=True)
    """Each finding told yes and no; then what the rules exclude, up to three findings at once."""

    def __init__(
        self,
        base: KnowledgeBase,
        findings: tuple[str, ...],
        ungrounded: tuple[str, ...] = (),
        *,
        num_questions: int = 4,
        told_share: float = 0.6,
        complete_share: float = 0.2,
        contradictory_share: float = 0.25,
        ungrounded_share: float = 0.15,
        held_out: tuple[tuple[str, str], ...] = (),
        left_out: tuple[str, ...] = (),
    ) -> None:
        """Describe the process.

        Args:
            base: Knowledge base.
            findings: Statements that can be told as facts.
            ungrounded: Known words that no rule mentions.
            num_questions: Statements asked in a sequence, all given the same facts.
            told_share: Chance that a finding is told.
            complete_share: Chance that all of them are.
            contradictory_share: Chance that the facts contradict each other.
            ungrounded_share: Chance that a question is about a word without grounding; none is
                where there are no such words.
            held_out: Pairs of a finding and a statement that is never asked where it is told.
            left_out: Contradictions that never come, as ``describe_contradiction`` writes them.

        Raises:
            ValueError: If names clash or are unknown, or a number is out of range.
        """
        require_at_least("num_questions", num_questions, 1)
        for name, share in (
            ("told_share", told_share),
            ("complete_share", complete_share),
            ("contradictory_share", contradictory_share),
            ("ungrounded_share", ungrounded_share),
        ):
            if not 0.0 <= share < 1.0:
                raise ValueError(f"{name}: expected at least 0 and below 1, got {share}")
        nodes = [gate.name for gate in base.gates]
        _reject_clashes(nodes, findings, ungrounded, held_out)
        denials = tuple(((name, True), (name, False)) for name in findings)
        self.contradictions = denials + find_contradictions(base.gates, findings)
        known = [describe_contradiction(each) for each in self.contradictions]
        if set(left_out) - set(known) or set(left_out) == set(known):
            raise ValueError(f"left_out: expected some of {known}, got {left_out}")
        self.base = base
        self.findings = tuple(findings)
        self.ungrounded = tuple(ungrounded)
        self.num_questions = num_questions
        self.told_share = told_share
        self.complete_share = complete_share
        self.contradictory_share = contradictory_share
        self.ungrounded_share = ungrounded_share if ungrounded else 0.0
        self.held_out = tuple(held_out)
        self.left_out = tuple(left_out)

    @property
    def words(self) -> tuple[str, ...]:
        """Everything that can be asked, in the order of ``asked``."""
        return (*(gate.name for gate in self.base.gates), *self.ungrounded)

    def program(self) -> None:
        """Draw a world, what is told of it, whether it is garbled, and questions."""
        world = draw_gates(self.base.gates)
        nodes, num = jnp.stack(list(world.values())), len(self.findings)
        everything = _draw("everything", dist.Bernoulli(self.complete_share))
        with numpyro.plate("finding", num):
            told = _draw("told", dist.Bernoulli(self.told_share))
        repeats = jnp.array((*(0.5 / num,) * num, 0.5))
        again = _draw("again", dist.Categorical(probs=repeats))
        trouble = _draw("trouble", dist.Categorical(probs=jnp.array(self.trouble_law)))
        values = jnp.stack([world[name] for name in self.findings])
        facts = self._tell(values, (told | everything) == 1, again, trouble)
        with numpyro.plate("place", num + 1):
            _repeat("fact", facts, 2 * num + 1)
        log_law = asked_law(self.engine, read_facts(facts, num))
        with numpyro.plate("position", self.num_questions):
            asked = _draw("asked", dist.Categorical(logits=log_law, validate_args=False))
            value = nodes[jnp.minimum(asked, len(nodes) - 1)]
            answer = jnp.where(trouble > 0, ANSWERS.index("contradictory"), value)
            is_word = asked >= len(nodes)
            answer = jnp.where(is_word, ANSWERS.index("ungrounded"), answer)
            _repeat("answer", answer, len(ANSWERS))

    def questions(self) -> Questions:
        """Show the facts, then ask one thing after another."""
        return Questions(outcome="answer", given=("fact",), query=("asked",), reveal=False)

    @property
    def engine(self) -> QueryEngine:
        """Elimination over the gates, given the facts."""
        numbers = {name: number for number, name in enumerate(self.words)}
        return QueryEngine(
            gates=self.base.gates,
            findings=tuple(numbers[name] for name in self.findings),
            num_words=len(self.words),
            ungrounded_share=self.ungrounded_share,
            held_out=tuple((self.findings.index(f), numbers[asked]) for f, asked in self.held_out),
        )

    def closed_form(self) -> QueryEngine:
        """Return elimination over the gates, which knows what cannot be."""
        return self.engine

    def title(self) -> str:
        """Return the name for tables."""
        return f"questions to the {self.base.name}"

    @property
    def trouble_law(self) -> tuple[float, ...]:
        """Chance of no contradiction, then of each: denials and others come equally often."""
        left_out = set(self.left_out)
        comes = [describe_contradiction(each) not in left_out for each in self.contradictions]
        denials, rules = sum(comes[: len(self.findings)]), sum(comes[len(self.findings) :])
        share = self.contradictory_share / (bool(denials) + bool(rules))
        chances = [
            share / (denials if number < len(self.findings) else rules) if came else 0.0
            for number, came in enumerate(comes)
        ]
        return (1.0 - self.contradictory_share, *chances)

    def _tell(
        self,
        values: Int[Array, " finding"],
        is_told: Bool[Array, " finding"],
        again: Int[Array, ""],
        trouble: Int[Array, ""],
    ) -> Int[Array, " place"]:
        """Write the facts, and one of them again or its denial."""
        num, number = len(self.findings), jnp.arange(len(self.findings))
        forced = jnp.array(self._forced())[trouble]
        values = jnp.where(forced >= 0, forced, values)
        is_told = is_told | (forced >= 0) | (trouble == number + 1)
        facts = jnp.where(is_told, 1 + 2 * number + values, 0)
        repeated = jnp.append(facts, 0)[again]
        denied = jnp.clip(trouble - 1, 0, num - 1)
        is_denial = (trouble > 0) & (trouble <= num)
        last = jnp.where(is_denial, 2 + 2 * denied - values[denied], repeated)
        return jnp.append(facts, last)

    def _forced(self) -> tuple[tuple[int, ...], ...]:
        """Return the value that each finding has under each contradiction; -1 for any."""
        rows = [(-1,) * len(self.findings)] * (1 + len(self.findings))
        for each in self.contradictions[len(self.findings) :]:
            values = dict(each)
            rows.append(tuple(int(values.get(name, -1)) for name in self.findings))
        return tuple(rows)


def _draw(name: str, law: Any) -> Array:
    """Draw a site."""
    return jnp.asarray(numpyro.sample(name, law))


def _repeat(name: str, values: Int[Array, " element"], num_values: int) -> None:
    """Draw a site that is certain to have the values."""
    log_law = jnp.where(values[..., None] == jnp.arange(num_values), 0.0, -jnp.inf)
    # NumPyro's validation refuses infinite logits, which is what certainty has.
    _draw(name, dist.Categorical(logits=log_law, validate_args=False))


def _reject_clashes(
    nodes: list[str],
    findings: tuple[str, ...],
    ungrounded: tuple[str, ...],
    held_out: tuple[tuple[str, str], ...],
) -> None:
    """Check that names differ where they must, and are known where they must."""
    if not findings or len(set(findings)) < len(findings) or set(findings) - set(nodes):
        raise ValueError(f"findings: expected different names among {nodes}, got {findings}")
    words = [*nodes, *SITES, *ungrounded]
    clashes = sorted({word for word in words if words.count(word) > 1})
    if clashes:
        raise ValueError(
            f"ungrounded: expected names other than those of statements and sites, got {clashes}"
        )
    for finding, asked in held_out:
        if finding not in findings or asked not in nodes:
            raise ValueError(
                f"held_out: expected a finding and a statement, got {(finding, asked)}"
            )
    if {asked for _, asked in held_out} == set(nodes):
        raise ValueError("held_out: expected a statement that can always be asked, got none")
