"""What a probe's score is held against: other features, other labels, other directions."""

from collections.abc import Sequence

import equinox as eqx
import numpy as np
import scipy.special
from jaxtyping import Float, Int, Num

from bayescmp._types import Key
from bayescmp.comparison.evaluation import ask
from bayescmp.inspection.recording import Recording
from bayescmp.predictors import AddAlphaCounts, OtherOracle, WindowPredictor, standard_ladder
from bayescmp.predictors.counts import why_not_countable
from bayescmp.predictors.predictor import AbstractPredictor

INITIAL = "random initialisation"
SUBSPACE = "random subspace"
SHUFFLED = "shuffled labels"
CONSTANT = "constant"
LAST_INPUTS = ("last input", "last 2 inputs", "last 3 inputs")
NEXT_OUTCOME = "next-outcome law"
WRONG_PRIOR = "wrong prior"

CONTROLS = (INITIAL, SUBSPACE, SHUFFLED, CONSTANT, *LAST_INPUTS, NEXT_OUTCOME, WRONG_PRIOR)
"""Every control, in the order of tables."""

LEAST_GAP = 1e-9
"""Divergence from exact, in nats, below which a rival is the exact law itself."""

WINDOWS = (1, 3)
"""Memory lengths of the default rivals where outcomes are not shown, in steps."""

LADDER_SEQUENCES = 256
"""Sequences for the means of a ladder of which only the windows are used."""


def last_inputs(recording: Recording, num: int) -> Num[np.ndarray, "row feature"]:
    """Return what a network has read last before each question.

    Args:
        recording: A network on held-out sequences.
        num: How many input positions.

    Returns:
        One-hot codes of the last tokens, the latest first and zeros for none; the vectors
        themselves where inputs are vectors.
    """
    layout = recording.evaluation.model.layout
    inputs = np.asarray(recording.evaluation.batch.inputs)
    codes = np.eye(layout.input_size, dtype=np.uint8)[inputs] if layout.uses_tokens else inputs
    padded = np.pad(codes, ((0, 0), (num - 1, 0), (0, 0)))
    places = layout.asked_positions + num - 1
    ages = [padded[:, places - age][recording.counts] for age in range(num)]
    return np.concatenate(ages, axis=1)


def next_outcome_law(recording: Recording) -> Float[np.ndarray, "row feature"]:
    """Return the exact law of the next outcome at each question.

    Args:
        recording: A network on held-out sequences.

    Returns:
        Its probabilities.
    """
    return np.exp(recording.rows(recording.evaluation.log_p))


def wrong_prior(
    recording: Recording, rungs: Sequence[AbstractPredictor]
) -> tuple[str, Float[np.ndarray, "row feature"]] | None:
    """Return what would be predicted under another prior.

    Args:
        recording: A network on held-out sequences.
        rungs: Rival explanations. Bayes under another model and add-one counts are preferred,
            windows of the exact law taken otherwise; of several, the nearest to exact that is
            not exact itself.

    Returns:
        Name of the rival, its probabilities with the belief of another model beside them; None
        where there is no such rival.
    """
    others = [rung for rung in rungs if isinstance(rung, OtherOracle | AddAlphaCounts)]
    windows = [rung for rung in rungs if isinstance(rung, WindowPredictor)]
    exact = next_outcome_law(recording)
    for group in (others, windows):
        laws = [np.exp(recording.rows(ask(rung, recording.evaluation))) for rung in group]
        gaps = [recording.row_weights @ scipy.special.rel_entr(exact, law).sum(-1) for law in laws]
        wrong = [index for index, gap in enumerate(gaps) if gap > LEAST_GAP]
        if wrong:
            best = min(wrong, key=lambda index: gaps[index])
            beliefs = _other_beliefs(group[best], recording)
            return group[best].name, np.concatenate([laws[best], *beliefs], axis=1)
    return None


def _other_beliefs(
    rung: AbstractPredictor, recording: Recording
) -> list[Float[np.ndarray, "row feature"]]:
    """Return what another model's oracle believes of each latent site; nothing for counts."""
    if not isinstance(rung, OtherOracle):
        return []
    batch = recording.evaluation.batch
    theirs = rung.oracle.model.batch_from_sites(rung.model.engine_sites(batch))
    theirs = eqx.tree_at(lambda b: b.supervised, theirs, batch.supervised)
    beliefs = rung.oracle(theirs).belief.values()
    values = (np.asarray(belief, np.float64) for belief in beliefs)
    return [recording.rows(x.reshape(*x.shape[:2], -1)) for x in values]


def default_rungs(recording: Recording, *, key: Key) -> tuple[AbstractPredictor, ...]:
    """Return rivals under another prior: counts where outcomes are shown, windows otherwise.

    Args:
        recording: A network on held-out sequences.
        key: Typed key of the ladder.

    Returns:
        The rivals.
    """
    model = recording.evaluation.model
    if why_not_countable(model) is None:
        return AddAlphaCounts(model, order=0), AddAlphaCounts(model, order=1)
    return standard_ladder(
        recording.oracle, key=key, num_sequences=LADDER_SEQUENCES, windows=WINDOWS
    )


def shuffle_rows(
    positions: Int[np.ndarray, " row"],
    weights: Float[np.ndarray, " row"],
    rng: np.random.Generator,
) -> Int[np.ndarray, " row"]:
    """Draw for each row another one at the same position, by weight.

    A probe of such labels can learn what the position tells, and nothing about the sequence.

    Args:
        positions: Position of each row.
        weights: Weight of each row.
        rng: Source of the draws.

    Returns:
        Number of the row whose labels each row gets.
    """
    drawn = np.empty(len(positions), int)
    for position in np.unique(positions):
        rows = np.flatnonzero(positions == position)
        share = weights[rows] / weights[rows].sum()
        drawn[rows] = rng.choice(rows, size=len(rows), p=share)
    return drawn


def random_basis(
    num_features: int, rank: int, rng: np.random.Generator
) -> Float[np.ndarray, "feature direction"]:
    """Draw a uniformly random subspace.

    Args:
        num_features: Size of the space.
        rank: Size of the subspace.
        rng: Source of the draw.

    Returns:
        An orthonormal basis, one direction in each column.
    """
    return np.linalg.qr(rng.normal(size=(num_features, rank)))[0]
