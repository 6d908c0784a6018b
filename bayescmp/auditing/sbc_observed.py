"""Replicates that begin like an observation: what posterior calibration checks are made on."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from bayescmp._types import Key
from bayescmp.model import AbstractGenerativeModel
from bayescmp.records import Batch

ROUND = 16_384
"""Sequences drawn at a time."""

MOST_ROUNDS = 64
"""Rounds after which an observation counts as too rare."""


def draw_beginning_with(
    model: AbstractGenerativeModel, observed: Batch, num_replicates: int, *, key: Key
) -> Batch:
    """Draw latents and sequences given how the sequences begin.

    Sequences are drawn from the model, and those kept that begin as observed: exact draws from
    ``p(theta, y | observed)``, for every model whose shown values are discrete.

    Args:
        model: Generative model.
        observed: One sequence; its questions that count are the ones observed.
        num_replicates: Sequences to draw.
        key: Typed key.

    Returns:
        The replicates.

    Raises:
        ValueError: If the observation is not one sequence that begins with questions that count,
            shows continuous values, or is too rare.
    """
    length = require_beginning(model, observed)
    numbers = [site.name for site in model.layout.shown_sites if site.num_values is None]
    if numbers:
        raise ValueError(f"observed: expected discrete values, got the continuous {numbers}")
    kept, found = [], 0
    for number in range(MOST_ROUNDS):
        batch = model.sample(ROUND, key=jax.random.fold_in(key, number))
        rows = np.flatnonzero(np.asarray(_agrees(model, batch, observed, length)))
        kept.append(jax.tree.map(lambda x, rows=rows: x[rows], batch))
        found += len(rows)
        if found >= num_replicates:
            joined = jax.tree.map(lambda *x: jnp.concatenate(x)[:num_replicates], *kept)
            return joined
    raise ValueError(
        f"observed: expected a beginning of which {num_replicates:,} come up among "
        f"{ROUND * MOST_ROUNDS:,} sequences, got one that came up {found:,} times; observe fewer "
        "questions"
    )


def observed_steps(observed: Batch) -> int:
    """Count the questions of an observation.

    Args:
        observed: One sequence.

    Returns:
        How many of its questions count.
    """
    return int(np.sum(observed.supervised))


def require_beginning(model: AbstractGenerativeModel, observed: Batch) -> int:
    """Check that an observation is one sequence that begins with questions that count.

    Args:
        model: Generative model.
        observed: One sequence.

    Returns:
        How many of its questions count.

    Raises:
        TypeError: If it is no batch.
        ValueError: If it is not.
    """
    if not isinstance(observed, Batch):
        raise TypeError(
            f"observed: expected what batch_from_sites returns, got {type(observed).__name__}"
        )
    layout, count = model.layout, observed_steps(observed)
    if observed.outcomes.shape != (layout.length,):
        raise ValueError(
            f"observed: expected one sequence of shape {(layout.length,)}, got "
            f"{observed.outcomes.shape}"
        )
    if not count or count >= layout.length or not np.all(observed.supervised[:count]):
        raise ValueError(
            f"observed: expected from 1 to {layout.length - 1} questions that count, at the "
            f"start, got {count}"
        )
    return count


def _agrees(
    model: AbstractGenerativeModel, batch: Batch, observed: Batch, length: int
) -> Bool[Array, " sequence"]:
    """Mark sequences whose prompt and first steps are the observed ones."""
    layout = model.layout
    given = {site.name for site in layout.given}
    same = jnp.ones(batch.outcomes.shape[0], bool)
    if layout.reveal:
        same &= jnp.all(batch.outcomes[:, :length] == observed.outcomes[:length], axis=1)
    for name, values in batch.shown.items():
        mine, seen = values, observed.shown[name]
        if name not in given:
            mine, seen = mine[:, :length], seen[:length]
        same &= jnp.all((mine == seen).reshape(len(same), -1), axis=1)
    return same
