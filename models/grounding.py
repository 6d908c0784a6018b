"""Knowledge bases: typed rules with strengths, filled in with entities until gates are left."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from itertools import product

from bayescmp.exact.graphs.elimination_order import MAX_TABLE
from bayescmp.models.belief_network import Gate

MAX_CAUSES = MAX_TABLE.bit_length() - 2
"""Most causes of one statement: its table has a bit for each and one for itself."""


@dataclass(frozen=True)
class Concept:
    """What can be true or false of entities of some types.

    Example:
        >>> Concept("meets", ("person", "person"), prior=0.2).types
        ('person', 'person')
    """

    name: str
    types: tuple[str, ...] = ()
    """Type of each argument; none for a concept that is about nobody."""
    prior: float = 0.0
    """Chance of being true without any of the causes that the rules name: the leak."""

    def __post_init__(self) -> None:
        """Check the prior.

        Raises:
            ValueError: If it is no probability.
        """
        _require_probability("prior", self.prior, self.name)


@dataclass(frozen=True)
class Rule:
    """If the whole body is true, it makes the head true with the chance ``strength``.

    Terms that begin with a capital are variables, others entities. Different terms of a rule
    stand for different entities.

    Example:
        >>> Rule("sick(P)", ("carrier(Q)", "meets(P, Q)"), strength=0.4).strength
        0.4
    """

    head: str
    body: tuple[str, ...]
    """Statements that are all needed: an AND."""
    strength: float = 1.0

    def __post_init__(self) -> None:
        """Check the strength and the body.

        Raises:
            ValueError: If the one is no probability, or the other empty or repetitive.
        """
        _require_probability("strength", self.strength, self.head)
        if not self.body or len(set(self.body)) < len(self.body):
            raise ValueError(
                f"body: expected different statements for {self.head!r}, got {self.body}"
            )


@dataclass(frozen=True)
class KnowledgeBase:
    """Entities of some types, concepts about them, and rules that say what causes what.

    Filled in with every entity of the right type, statements become binary nodes. The rules with
    one head are a noisy OR, with the concept's prior as its leak:
    ``p(head) = 1 - (1 - prior) prod_{rules whose body is true} (1 - strength)``; a body of several
    statements is a logical AND of them, a node of its own unless it alone decides the head.

    Source: rules with strengths as in De Raedt, Kimmig and Toivonen, "ProbLog" (IJCAI 2007);
    alternating AND and OR nodes as in Coppola, arXiv 2603.17063.

    Example:
        >>> base = KnowledgeBase(
        ...     (("person", ("ann", "bob")),),
        ...     (Concept("carrier", ("person",), 0.1), Concept("sick", ("person",))),
        ...     (Rule("sick(P)", ("carrier(P)",), 0.9), Rule("sick(P)", ("carrier(Q)",), 0.2)),
        ... )
        >>> base.gates[2].parents, base.gates[2].strengths
        (('carrier(ann)', 'carrier(bob)'), (0.9, 0.2))
    """

    entities: tuple[tuple[str, tuple[str, ...]], ...]
    """Entities of each type: ``(type, names)``."""
    concepts: tuple[Concept, ...]
    rules: tuple[Rule, ...]
    name: str = "knowledge base"

    def __post_init__(self) -> None:
        """Check everything by filling it in.

        Raises:
            TypeError: If entities are not pairs.
            ValueError: If names clash, a rule has unknown types, entities or concepts, rules go
                round in a circle, a statement has more causes than tables can hold, or neither
                a prior nor a rule.
        """
        for entry in self.entities:
            if not isinstance(entry, tuple) or len(entry) != 2 or isinstance(entry[1], str):
                raise TypeError(
                    "entities: expected pairs of a type and its names, such as "
                    f"(('person', ('ann', 'bob')),), got {entry!r} among them"
                )
        types = [kind for kind, _ in self.entities]
        everyone = [entity for _, names in self.entities for entity in names]
        _require_different("types", types)
        _require_different("entities", everyone)
        _require_different("concepts", [concept.name for concept in self.concepts])
        variables = [entity for entity in everyone if _is_variable(entity)]
        if variables:
            raise ValueError(f"entities: expected names without a capital, got {variables}")
        for concept in self.concepts:
            unknown = sorted(set(concept.types) - set(types))
            if unknown:
                raise ValueError(
                    f"types: expected some of {types} for {concept.name!r}, got {unknown}"
                )
        _ = self.gates

    @cached_property
    def statements(self) -> Mapping[str, float]:
        """Every concept about every choice of different entities, with its prior."""
        groups = dict(self.entities)
        return {
            _write(concept.name, terms): concept.prior
            for concept in self.concepts
            for terms in product(*(groups[kind] for kind in concept.types))
            if len(set(terms)) == len(terms)
        }

    @cached_property
    def gates(self) -> tuple[Gate, ...]:
        """A gate for each statement and each AND of several, causes before their effects."""
        causes = self._causes()
        nodes: dict[str, Gate] = {}
        for head, prior in self.statements.items():
            bodies = causes[head]
            (body, strength), *more = bodies or [((), 0.0)]
            if len(body) > 1 and not more and strength == 1.0:
                nodes[head] = Gate(head, body, (1.0,) * len(body), prior, "and")
                continue
            for body, _ in bodies:
                if len(body) > 1:
                    both = " and ".join(body)
                    nodes[both] = Gate(both, body, (1.0,) * len(body), kind="and")
            parents = tuple(" and ".join(body) for body, _ in bodies)
            nodes[head] = Gate(head, parents, tuple(strength for _, strength in bodies), prior)
        return tuple(nodes[name] for name in _sort({n: nodes[n].parents for n in nodes}))

    def _causes(self) -> dict[str, list[tuple[tuple[str, ...], float]]]:
        """Fill in all rules: bodies and strengths of each statement."""
        causes: dict[str, list[tuple[tuple[str, ...], float]]] = {s: [] for s in self.statements}
        for rule in self.rules:
            for head, body in self._instances(rule):
                if set(body) in (set(other) for other, _ in causes[head]):
                    raise ValueError(f"rules: expected one from {body} to {head!r}, got two")
                causes[head].append((body, rule.strength))
        for head, bodies in causes.items():
            most = max([len(bodies), *(len(body) for body, _ in bodies)])
            if most > MAX_CAUSES:
                raise ValueError(
                    f"rules: expected at most {MAX_CAUSES} causes of {head!r}, got {most}"
                )
            if not bodies and not 0.0 < self.statements[head] < 1.0:
                raise ValueError(
                    f"concepts: expected a prior between 0 and 1 for {head!r}, which no rule "
                    f"causes, got {self.statements[head]:g}"
                )
        return causes

    def _instances(self, rule: Rule) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Fill a rule in with every choice of different entities for its terms."""
        atoms = [_read(text) for text in (rule.head, *rule.body)]
        kinds = self._kinds_of_terms(rule, atoms)
        groups = dict(self.entities)
        choices = [groups[kind] if _is_variable(t) else (t,) for t, kind in kinds.items()]
        found: set[tuple[str, frozenset[str]]] = set()
        for chosen in product(*choices):
            meant = dict(zip(kinds, chosen, strict=True))
            head, *body = (_write(name, [meant[t] for t in terms]) for name, terms in atoms)
            # Two variables of one kind may trade places and say the same again.
            if len(set(chosen)) == len(chosen) and (head, frozenset(body)) not in found:
                found.add((head, frozenset(body)))
                yield head, tuple(body)

    def _kinds_of_terms(
        self, rule: Rule, atoms: list[tuple[str, tuple[str, ...]]]
    ) -> dict[str, str]:
        """Return the type of each term of a rule, as its concepts ask for."""
        signatures = {concept.name: concept.types for concept in self.concepts}
        groups = dict(self.entities)
        kinds: dict[str, str] = {}
        for name, terms in atoms:
            if len(signatures.get(name, (None,) * (len(terms) + 1))) != len(terms):
                known = [_write(n, types) for n, types in signatures.items()]
                raise ValueError(
                    f"rules: expected statements such as {known}, got {_write(name, terms)!r} "
                    f"in the rule for {rule.head!r}"
                )
            if len(set(terms)) < len(terms):
                raise ValueError(f"rules: expected different terms, got {_write(name, terms)!r}")
            for term, kind in zip(terms, signatures[name], strict=True):
                if kinds.setdefault(term, kind) != kind:
                    raise ValueError(
                        f"rules: expected {term!r} to be of one type in the rule for "
                        f"{rule.head!r}, got {kinds[term]!r} and {kind!r}"
                    )
                if not _is_variable(term) and term not in groups[kind]:
                    raise ValueError(
                        f"rules: expected a {kind} out of {groups[kind]} in the rule for "
                        f"{rule.head!r}, got {term!r}"
                    )
        return kinds


def _sort(parents: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Order names so that causes come before effects."""
    try:
        return tuple(TopologicalSorter(parents).static_order())
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        raise ValueError(f"rules: expected no circle of causes, got {circle}") from error


def _read(text: str) -> tuple[str, tuple[str, ...]]:
    """Split a statement into its concept and its terms."""
    name, bracket, rest = text.partition("(")
    inner, closed, after = rest.partition(")")
    terms = tuple(term.strip() for term in inner.split(",")) if bracket else ()
    if not name.strip() or after or bool(bracket) != bool(closed) or not all(terms):
        raise ValueError(f"rules: expected a statement such as 'fever(P)', got {text!r}")
    return name.strip(), terms


def _write(name: str, terms: tuple[str, ...] | list[str]) -> str:
    return f"{name}({', '.join(terms)})" if terms else name


def _is_variable(term: str) -> bool:
    return term[:1].isupper()


def _require_probability(argument: str, value: float, name: str) -> None:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{argument}: expected a probability for {name!r}, got {value}")


def _require_different(argument: str, names: list[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"{argument}: expected different names, got {repeated} twice")
