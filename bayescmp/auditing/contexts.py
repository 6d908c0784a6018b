"""Contexts: what a predictor had been shown, as groups of questions and as numbers."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from bayescmp.auditing.judged import Judged
from bayescmp.auditing.questions import entropy_levels

MOST_GROUPS = 24
"""Groups of one kind, at most: positions are put together beyond, tokens are left out."""

NUM_ENTROPY_LEVELS = 5
"""Equal parts of the range of the entropy."""

MOST_SHOWN = 64
"""Columns that describe what was shown; more are projected onto as many as this at random."""

PROJECTION_SEED = 0
"""Seed of that projection: the same for every predictor."""


@dataclass(frozen=True)
class Groups:
    """Named groups of questions; a question may be in several."""

    names: tuple[str, ...]
    """What the questions have in common."""
    members: Bool[np.ndarray, "sequence position group"]
    """Which questions that count are in which group."""


def group_contexts(judged: Judged) -> Groups:
    """Group questions by position, by entropy, own and exact, and by the last token.

    Args:
        judged: A predictor on drawn sequences.

    Returns:
        All questions first, then the groups. Levels of exact entropy rise, and are left out
        where it never differs; groups by token where inputs are vectors or there are more than
        24 tokens.

    Example:
        >>> from bayescmp.auditing.contexts import group_contexts
        >>> oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=2))
        >>> judged = bc.auditing.judge(oracle, oracle, key=jax.random.key(0), num_sequences=8)
        >>> group_contexts(judged).names[:3]
        ('all questions', 'position 0', 'position 1')
    """
    counts = judged.counts
    named = {"all questions": np.ones_like(counts)}
    named |= _by_position(counts.shape) | _by_entropy(judged) | _by_exact_entropy(judged)
    named |= _by_token(judged)
    members = np.stack(list(named.values()), axis=-1) & counts[..., None]
    return Groups(tuple(named), members)


def describe_contexts(judged: Judged) -> Float[np.ndarray, "sequence position feature"]:
    """Describe every context by numbers that a predictor could have known.

    Args:
        judged: A predictor on drawn sequences.

    Returns:
        A constant, the predictor's own law and entropy, the position, the share of each
        token (or the mean of each component) among what was shown, and the last that was shown;
        centred and of unit variance but for the constant.

    Example:
        >>> from bayescmp.auditing.contexts import describe_contexts
        >>> oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=2))
        >>> judged = bc.auditing.judge(oracle, oracle, key=jax.random.key(0), num_sequences=8)
        >>> describe_contexts(judged).shape[:2]
        (8, 2)
    """
    laws = np.exp(judged.log_q)
    positions = np.broadcast_to(np.arange(laws.shape[1])[None, :, None], (*laws.shape[:2], 1))
    parts = [laws, own_entropy(judged)[..., None], positions, *_shown(judged)]
    features = np.where(judged.counts[..., None], np.concatenate(parts, axis=-1), 0.0)
    rows = features[judged.counts]
    deviation = rows.std(axis=0)
    varies = deviation > 1e-9
    scaled = (features - rows.mean(axis=0))[..., varies] / deviation[varies]
    return np.concatenate([np.ones((*laws.shape[:2], 1)), scaled], axis=-1)


def own_entropy(judged: Judged) -> Float[np.ndarray, "sequence position"]:
    """Compute the entropy of the predictor's own laws.

    Args:
        judged: A predictor on drawn sequences.

    Returns:
        Entropy in bits; zero where the law is not one, as where a question does not count.
    """
    from scipy.special import entr

    return np.nansum(entr(np.exp(judged.log_q)), axis=-1) / np.log(2.0)


def _by_position(shape: tuple[int, ...]) -> dict[str, Bool[np.ndarray, "sequence position"]]:
    """Group by position, neighbours together where there are many."""
    groups = np.array_split(np.arange(shape[1]), min(shape[1], MOST_GROUPS))
    named = {}
    for group in groups:
        name = f"position {group[0]}" + (f"–{group[-1]}" if len(group) > 1 else "")
        named[name] = np.broadcast_to(np.isin(np.arange(shape[1]), group), shape)
    return named


def _by_entropy(judged: Judged) -> dict[str, Bool[np.ndarray, "sequence position"]]:
    """Group by the entropy of the predictor's own law."""
    entropy, most = own_entropy(judged), np.log2(judged.log_q.shape[-1])
    edges = np.linspace(0.0, most, NUM_ENTROPY_LEVELS + 1)
    level = np.clip(np.searchsorted(edges, entropy, side="right") - 1, 0, NUM_ENTROPY_LEVELS - 1)
    return {
        f"entropy {edges[k]:.1f}–{edges[k + 1]:.1f} bit": level == k
        for k in range(NUM_ENTROPY_LEVELS)
    }


def _by_exact_entropy(judged: Judged) -> dict[str, Bool[np.ndarray, "sequence position"]]:
    """Group by the entropy of the exact law, in levels of the same width."""
    levels = entropy_levels(judged)
    if np.ptp(levels.edges) < 1e-9:
        return {}
    num = levels.edges.size - 1
    return {f"exact entropy level {k}": levels.level == k for k in range(num)}


def _by_token(judged: Judged) -> dict[str, Bool[np.ndarray, "sequence position"]]:
    """Group by the token at which the question is answered."""
    model = judged.evaluation.model
    num = model.layout.input_size
    if not model.layout.uses_tokens or num > MOST_GROUPS:
        return {}
    last = np.asarray(judged.evaluation.batch.inputs)[:, model.asked_positions]
    return {f"last token {k}": last == k for k in range(num) if (last == k).any()}


def _shown(judged: Judged) -> tuple[Float[np.ndarray, "sequence position column"], ...]:
    """Return the mean of all inputs up to each question, and the last of them."""
    model, inputs = judged.evaluation.model, np.asarray(judged.evaluation.batch.inputs)
    if model.layout.uses_tokens:
        inputs = (inputs[..., None] == np.arange(model.layout.input_size)).astype(np.float64)
    if inputs.shape[-1] > MOST_SHOWN:
        rng = np.random.default_rng(PROJECTION_SEED)
        inputs = inputs @ rng.normal(size=(inputs.shape[-1], MOST_SHOWN))
    asked = model.asked_positions
    total = np.cumsum(inputs, axis=1)[:, asked]
    return total / (asked[None, :, None] + 1.0), inputs[:, asked]
