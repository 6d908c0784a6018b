"""Kinds of question to a knowledge base: with an answer, with none, and never seen before."""

import numpy as np
from jaxtyping import Bool, Int

from bayescmp.models.grounded_queries import GroundedQueries
from bayescmp.records import Batch

KINDS = (
    "all findings told",
    "facts missing",
    "held-out combination",
    "told yes and no",
    "against the rules",
    "told yes and no, unseen",
    "against the rules, unseen",
    "without grounding",
)
"""Kinds of question; the first three have a posterior."""


def question_kinds(seen: GroundedQueries, batch: Batch) -> Int[np.ndarray, "sequence position"]:
    """Say of what kind each question is, as an index into ``KINDS``.

    Combinations count as held out, and contradictions as unseen, where the given model leaves
    them out; the batch may come from one that does not. Of several contradictions among the facts
    one that was seen decides.

    Args:
        seen: What was seen.
        batch: Sequences with one leading axis, of a model with the same base and words.

    Returns:
        The kinds.

    Example:
        >>> from bayescmp.models.query_kinds import KINDS, question_kinds
        >>> model = bc.models.GroundedQueries(bc.models.WARD, bc.models.WARD_FINDINGS)
        >>> sites = {"fact": [[2, 1, 0, 0, 0, 0, 0, 0]], "asked": [[5] * 4], "answer": [[3] * 4]}
        >>> batch = model.batch_from_sites({name: jnp.array(x) for name, x in sites.items()})
        >>> KINDS[question_kinds(model, batch)[0, 0]]
        'told yes and no'
    """
    asked, num = np.asarray(batch.shown["asked"]), len(seen.findings)
    shown = np.eye(2 * num + 1, dtype=bool)[np.asarray(batch.shown["fact"])].any(axis=1)
    told = shown[:, 1:].reshape(-1, num, 2)
    kinds = np.where(told.any(axis=2).all(axis=1), 0, 1)[:, None] + np.zeros_like(asked)
    for finding, statement in seen.engine.held_out:
        kinds[told[:, finding].any(axis=1)[:, None] & (asked == statement)] = 2
    contradiction = _which_contradiction(seen, told)[:, None]
    kinds = np.where(contradiction > 0, contradiction, kinds)
    return np.where(asked >= len(seen.base.gates), len(KINDS) - 1, kinds)


def _which_contradiction(
    seen: GroundedQueries, told: Bool[np.ndarray, "sequence finding value"]
) -> Int[np.ndarray, " sequence"]:
    """Return the kind of contradiction among facts, 0 for none."""
    index = {name: number for number, name in enumerate(seen.findings)}
    chances = seen.trouble_law[1:]
    which = np.zeros(len(told), int)
    for number, each in reversed(list(enumerate(seen.contradictions))):
        there = np.all([told[:, index[name], int(value)] for name, value in each], axis=0)
        came = chances[number] > 0.0
        kind = (3 if number < len(index) else 4) + (0 if came else 2)
        which[there & (came | (which == 0))] = kind
    return which
