"""Judges that are dumber than what they judge: lists, loops and other people's libraries.

Nothing here imports bayescmp. Each takes one example in plain arrays and returns the exact
predictive at every position, and the log probability of all shown by the end of each step.
"""

from collections.abc import Callable
from itertools import pairwise, permutations, product

import numpy as np
from scipy import stats

Answer = tuple[np.ndarray, np.ndarray]
"""Predictives (position, outcome), and log evidences (position) in nats."""


def permutation_answer(size: int, keys: np.ndarray, values: np.ndarray) -> Answer:
    """List every permutation and every order of keys, and count those that agree."""
    mappings = list(permutations(range(size)))
    orders = list(permutations(range(size), len(keys)))
    law, evidence = np.zeros((len(keys), size)), np.zeros(len(keys))
    for step, key in enumerate(keys):
        past = list(zip(keys[:step], values[:step], strict=True))
        agreeing = [m for m in mappings if all(m[k] == v for k, v in past)]
        for mapping in agreeing:
            law[step, mapping[key]] += 1.0 / len(agreeing)
        count = sum(mapping[key] == values[step] for mapping in agreeing)
        num_orders = sum(order[: step + 1] == tuple(keys[: step + 1]) for order in orders)
        evidence[step] = count / len(mappings) * num_orders / len(orders)
    return law, np.log(evidence)


def hidden_state_answer(
    transition: np.ndarray,
    emission: np.ndarray,
    symbols: np.ndarray,
    *,
    window: int | None = None,
    restart: bool = False,
) -> Answer:
    """Add up the probabilities of all paths of states.

    With a window only the last symbols count; with a restart the path begins with them.
    """
    num_states, length = len(transition), len(symbols)
    law, total = np.zeros((length, num_states)), np.zeros(length)
    for step in range(length):
        first = 0 if window is None else max(step - window + 1, 0)
        start = first if restart else 0
        for path in product(range(num_states), repeat=step - start + 1):
            weight = 1.0 / num_states
            for before, after in pairwise(path):
                weight *= transition[before, after]
            for time, state in enumerate(path, start):
                weight *= emission[state, symbols[time]] if time >= first else 1.0
            law[step, path[-1]] += weight
        total[step] = law[step].sum()
    return law / total[:, None], np.log(total)


def beta_binomial_answer(heads: float, tails: float, tosses: np.ndarray) -> Answer:
    """Ask SciPy's beta-binomial law for one further toss after each."""
    law = np.zeros((len(tosses), 2))
    for step in range(len(tosses)):
        ones = int(np.sum(tosses[:step]))
        law[step] = stats.betabinom(1, heads + ones, tails + step - ones).pmf([0, 1])
    return law, np.cumsum(np.log(law[np.arange(len(tosses)), tosses]))


Step = Callable[[int, int], np.ndarray]
"""From a latent setting and a position to ``p(query shown, outcome = .)``, all outcomes."""


def weighed_answer(prior: np.ndarray, step: Step, outcomes: np.ndarray) -> Answer:
    """Weigh the settings of one latent by what was shown, one step after the other."""
    weights = np.array(prior, np.float64)
    law, total = [], []
    for position, outcome in enumerate(outcomes):
        joint = np.array([w * step(z, position) for z, w in enumerate(weights)])
        law.append(joint.sum(axis=0) / joint.sum())
        weights = joint[:, outcome]
        total.append(weights.sum())
    return np.array(law), np.log(total)
