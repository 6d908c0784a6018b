"""More judges for the models: every path, every tree, every urn, one after the other.

As in ``oracles.py`` nothing here imports bayescmp, and each judge takes one example in plain
arrays and returns predictives (position, outcome) and log evidences (position) in nats.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise, permutations, product

import numpy as np
from oracles import Answer
from scipy import special, stats

Sites = dict[str, np.ndarray]

Weigh = Callable[[tuple[int, ...]], float]
"""From the outcomes up to some step to the probability of all that was shown with them."""


def running_answer(
    weigh: Callable[[tuple[int, ...]], float], size: int, seen: np.ndarray
) -> Answer:
    """Compare the probabilities of every continuation, from one function of prefixes."""
    law = np.zeros((len(seen), size))
    evidence = np.zeros(len(seen))
    for step in range(len(seen)):
        past = tuple(int(x) for x in seen[:step])
        law[step] = [weigh((*past, value)) for value in range(size)]
        evidence[step] = law[step, seen[step]]
        law[step] /= law[step].sum()
    return law, np.log(evidence)


def symbol_answer(transitions: np.ndarray, emission: np.ndarray, symbols: np.ndarray) -> Answer:
    """Add up all paths of states in every chain of a uniform pool; next symbol asked."""
    num_chains, num_states = transitions.shape[:2]

    def weigh(prefix: tuple[int, ...]) -> float:
        total = 0.0
        for transition in transitions:
            for path in product(range(num_states), repeat=len(prefix)):
                weight = 1.0 / num_chains / num_states
                for before, after in pairwise(path):
                    weight *= transition[before, after]
                for state, symbol in zip(path, prefix, strict=True):
                    weight *= emission[state, symbol]
                total += weight
        return total

    return running_answer(weigh, emission.shape[1], symbols)


def labelled_answer(labelled: np.ndarray, tokens: np.ndarray) -> Answer:
    """Add up all paths between states, from the law that a long walk ends with."""
    num_states = labelled.shape[1]
    walk = np.linalg.matrix_power(labelled.sum(axis=0) / 2.0 + np.eye(num_states) / 2.0, 2**14)

    def weigh(prefix: tuple[int, ...]) -> float:
        total = 0.0
        for path in product(range(num_states), repeat=len(prefix) + 1):
            weight = walk[0, path[0]]
            for token, (before, after) in zip(prefix, pairwise(path), strict=True):
                weight *= labelled[token, before, after]
            total += weight
        return total

    return running_answer(weigh, labelled.shape[0], tokens)


def dirichlet_answer(
    priors: Sequence[np.ndarray], rows: Sequence[int | None], tokens: np.ndarray
) -> Answer:
    """Ask SciPy's Dirichlet-multinomial law for one further draw of the row in use.

    Every prior is equally likely and holds for all rows; a row of None is uniform.
    """
    size = len(priors[0])

    def weigh(prefix: tuple[int, ...]) -> float:
        total = 0.0
        for prior in priors:
            counts: dict[int, np.ndarray] = {}
            weight = 1.0 / len(priors)
            for row, token in zip(rows, prefix, strict=False):
                if row is None:
                    weight /= size
                    continue
                seen = counts.setdefault(row, np.zeros(size))
                draw = np.eye(size, dtype=int)[token]
                weight *= float(stats.dirichlet_multinomial(prior + seen, 1).pmf(draw))
                seen[token] += 1.0
            total += weight
        return total

    return running_answer(weigh, size, tokens)


def chain_answer(size: int, order: int, concentration: float, tokens: np.ndarray) -> Answer:
    """Give each context of the last tokens a Dirichlet row; the first tokens have none."""
    rows = [
        None if step < order else hash(tuple(tokens[step - order : step].tolist()))
        for step in range(len(tokens))
    ]
    return dirichlet_answer([np.full(size, concentration)], rows, tokens)


def urn_answer(contents: Sequence[Sequence[int]], replace: bool, balls: np.ndarray) -> Answer:
    """List the orders in which numbered balls can come out of each urn."""

    def weigh(prefix: tuple[int, ...]) -> float:
        total = 0.0
        for urn in contents:
            numbered = [colour for colour, count in enumerate(urn) for _ in range(count)]
            orders = list(
                product(numbered, repeat=len(prefix))
                if replace
                else permutations(numbered, len(prefix))
            )
            total += sum(order == prefix for order in orders) / len(orders) / len(contents)
        return total

    return running_answer(weigh, len(contents[0]), balls)


def change_answer(regimes: Sequence[Sequence[float]], tokens: np.ndarray) -> Answer:
    """List every position of the change and every pair of regimes."""
    length, num_regimes = len(tokens), len(regimes)
    settings = [
        (change, before, after)
        for change in range(1, length + 1)
        for before, after in permutations(range(num_regimes), 2)
    ]

    def weigh(prefix: tuple[int, ...]) -> float:
        total = 0.0
        for change, before, after in settings:
            weight = 1.0 / len(settings)
            for step, token in enumerate(prefix):
                weight *= regimes[before if step < change else after][token]
            total += weight
        return total

    return running_answer(weigh, len(regimes[0]), tokens)


def recall_answer(
    num_keys: int, num_values: int, num_pairs: int, keys: np.ndarray, values: np.ndarray
) -> Answer:
    """List every map from keys to values, and every order of keys that is allowed."""
    orders = [
        order
        for order in product(range(num_keys), repeat=len(keys))
        if len(set(order[:num_pairs])) == num_pairs and set(order) == set(order[:num_pairs])
    ]
    mappings = list(product(range(num_values), repeat=num_keys))

    def weigh(prefix: tuple[int, ...]) -> float:
        now = len(prefix)
        matching = sum(order[:now] == tuple(keys[:now]) for order in orders)
        agreeing = sum(
            all(mapping[key] == value for key, value in zip(keys, prefix, strict=False))
            for mapping in mappings
        )
        return matching / len(orders) * agreeing / len(mappings)

    return running_answer(weigh, num_values, values)


def label_answer(num_answers: int, reliabilities: np.ndarray, sites: Sites) -> Answer:
    """Multiply the evidence of the labels shown, which never includes the verdict."""
    labels = sites["label"]
    sources = sites.get("source", np.zeros(len(labels), int))
    weights = np.full(num_answers, 1.0 / num_answers)
    law, total = [], []
    for source, label in zip(sources, labels, strict=True):
        hit = reliabilities[source]
        for answer in range(num_answers):
            weights[answer] *= hit if answer == label else (1.0 - hit) / (num_answers - 1)
        weights /= len(reliabilities)
        law.append(weights / weights.sum())
        total.append(weights.sum())
    return np.array(law), np.log(total)


Rule = tuple[str, tuple[tuple[str, float], ...], float]
"""Kind of a gate, its parents with their strengths, and its leak."""


def gate_answer(gates: dict[str, Rule], asked: Sequence[str], answers: np.ndarray) -> Answer:
    """Add up the probabilities of all truth tables of a network of gates."""
    names = list(gates)

    def chance(name: str, world: dict[str, int]) -> float:
        kind, parents, leak = gates[name]
        causes = [1.0 - s for p, s in parents if world[p] == (1 if kind == "or" else 0)]
        failing = float(np.prod(causes))
        true = 1.0 - (1.0 - leak) * failing if kind == "or" else leak + (1.0 - leak) * failing
        return true if world[name] else 1.0 - true

    worlds = [dict(zip(names, row, strict=True)) for row in product((0, 1), repeat=len(names))]
    weights = [float(np.prod([chance(name, world) for name in names])) for world in worlds]

    def weigh(prefix: tuple[int, ...]) -> float:
        return sum(
            weight
            for weight, world in zip(weights, worlds, strict=True)
            if all(world[name] == value for name, value in zip(asked, prefix, strict=False))
        )

    return running_answer(weigh, 2, answers)


def tree_answer(depth: int, bits: np.ndarray) -> Answer:
    """List every context tree with its prior, and estimate each leaf by itself."""
    trees = _context_trees("", depth)
    np.testing.assert_allclose(sum(weight for weight, _ in trees), 1.0, rtol=1e-12)

    def weigh(prefix: tuple[int, ...]) -> float:
        total = 0.0
        for weight, leaves in trees:
            counts = {leaf: [0.5, 0.5] for leaf in leaves}
            past = "0" * depth
            for bit in prefix:
                own = next(counts[leaf] for leaf in leaves if past.endswith(leaf))
                weight *= own[bit] / sum(own)
                own[bit] += 1.0
                past += str(bit)
            total += weight
        return total

    return running_answer(weigh, 2, bits)


def _context_trees(context: str, depth: int) -> list[tuple[float, tuple[str, ...]]]:
    """Return each tree below a context with its prior; its leaves end the past."""
    if depth == 0:
        return [(1.0, (context,))]
    below = [_context_trees(bit + context, depth - 1) for bit in "01"]
    split = [(0.5 * p * q, (*left, *right)) for p, left in below[0] for q, right in below[1]]
    return [(0.5, (context,)), *split]


def normal_answer(
    covariance: np.ndarray,
    noise: float,
    edges: np.ndarray,
    log_query: np.ndarray,
    values: np.ndarray,
) -> Answer:
    """Condition the joint normal law of all outcomes on those shown, one more each time."""
    total = covariance + noise**2 * np.eye(len(values))
    law, log_evidence = [], []
    for step, value in enumerate(values):
        gain = np.linalg.solve(total[:step, :step], total[:step, step]) if step else np.zeros(0)
        mean = gain @ values[:step]
        scale = np.sqrt(total[step, step] - gain @ total[:step, step])
        below = stats.norm.cdf(np.array([-np.inf, *edges, np.inf]), mean, scale)
        law.append(np.diff(below))
        log_evidence.append(stats.norm.logpdf(value, mean, scale) + log_query[step])
    return np.array(law), np.cumsum(log_evidence)


def pool_answer(
    pool: np.ndarray, noise: float, edges: np.ndarray, x: np.ndarray, y: np.ndarray
) -> Answer:
    """Weigh the tasks of a pool by the densities of what they would have given."""
    weights = np.full(len(pool), 1.0 / len(pool))
    ends = np.array([-np.inf, *edges, np.inf])
    law, total = [], []
    for row, value in zip(x, y, strict=True):
        means = pool @ row
        bins = np.array([np.diff(stats.norm.cdf(ends, mean, noise)) for mean in means])
        law.append(weights @ bins / weights.sum())
        density = stats.norm.pdf(value, means, noise) * np.prod(stats.norm.pdf(row))
        weights = weights * density
        total.append(weights.sum())
    return np.array(law), np.log(total)


def unknown_chain_answer(
    num_states: int, num_symbols: int, concentration: float, symbols: np.ndarray
) -> Answer:
    """Add up all paths of states, each with Dirichlet rows that count along it."""

    def weigh(prefix: tuple[int, ...]) -> float:
        total = 0.0
        for path in product(range(num_states), repeat=len(prefix)):
            weight = 1.0 / num_states
            moves = np.full((num_states, num_states), concentration)
            signs = np.full((num_states, num_symbols), concentration)
            for before, after in pairwise(path):
                weight *= moves[before, after] / moves[before].sum()
                moves[before, after] += 1.0
            for state, symbol in zip(path, prefix, strict=True):
                weight *= signs[state, symbol] / signs[state].sum()
                signs[state, symbol] += 1.0
            total += weight
        return total

    return running_answer(weigh, num_symbols, symbols)


def logistic_answer(scale: float, x: np.ndarray, labels: np.ndarray) -> Answer:
    """Integrate over the one weight on a fine grid, far into both tails."""
    weight = np.linspace(-12.0 * scale, 12.0 * scale, 200_001)
    density = stats.norm.pdf(weight, scale=scale)
    law, total = [], []
    for value, label in zip(x, labels, strict=True):
        one = special.expit(weight * value)
        joint = np.array([np.trapezoid(density * p, weight) for p in (1.0 - one, one)])
        law.append(joint / joint.sum())
        density = density * (one if label else 1.0 - one) * stats.norm.pdf(value)
        total.append(np.trapezoid(density, weight))
    return np.array(law), np.log(total)
