"""Change the residual stream at one place: remove directions, swap it, steer what it believes."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Float

from bayescmp._types import Key
from bayescmp.inspection.intervention_cases import Cases
from bayescmp.inspection.patch_rows import DIRECTIONS, STEERED, TURNS, Maps, Rows, displace
from bayescmp.inspection.telling_directions import Directions
from bayescmp.layers.interventions import divergences_after, shift_stream

Margins = Float[np.ndarray, "..."]


@dataclass(frozen=True)
class Removals:
    """Damage of putting the mean in the place of some directions, at all input positions."""

    damage: Float[np.ndarray, "direction stream"]
    """``KL(exact || changed) - KL(exact || network)`` in nats, mean over questions."""
    controls: Float[np.ndarray, "direction stream draw"]
    """The same for as many random directions."""


@dataclass(frozen=True)
class Swaps:
    """Answers after the donor's stream is put in where the question is asked.

    A margin is ``KL(own || answer) - KL(counterfactual || answer)`` in nats, where ``own`` is the
    exact predictive of the sequence and ``counterfactual`` that of the donor, at the same
    question: positive where the answer is nearer to what the donor's evidence implies.
    """

    before: Float[np.ndarray, " position"]
    """Margin of the network's own answer."""
    after: Float[np.ndarray, "stream position"]
    """Margin after the whole stream is swapped at one place."""
    donor: Float[np.ndarray, " position"]
    """Margin of the network's answer to the donor."""
    mean_before: float
    mean_after: Float[np.ndarray, " stream"]
    mean_donor: float
    subspace: Float[np.ndarray, " stream"]
    """Mean margin after the directions that tell the exact probabilities are swapped alone."""
    controls: Float[np.ndarray, "stream draw"]
    """Mean margin after as many random directions are swapped."""


@dataclass(frozen=True)
class Steerings:
    """Answers after the stream is moved as beliefs move it, towards the donor's belief.

    Part ``a`` of the way from ``p`` to ``q`` lies the belief whose exact predictive is
    ``(1 - a) p + a q``; all divergences are from it, in nats, mean over cases.
    """

    after: Float[np.ndarray, "stream steered"]
    controls: Float[np.ndarray, "stream steered"]
    """The same after a shift of the same length in a random direction, mean over draws."""
    before: Float[np.ndarray, " steered"]
    """The same for the network's own answer."""


def patch(
    cases: Cases, directions: Directions, num_controls: int, *, key: Key
) -> tuple[Removals, Swaps, Steerings]:
    """Change the residual stream at every place, in all ways, beside random changes.

    Args:
        cases: Sequences with their donors.
        directions: What tells the exact answers, fitted to other sequences.
        num_controls: Random subspaces of each rank.
        key: Typed key of the random directions.

    Returns:
        What the changes do.
    """
    maps = Maps.draw(directions, num_controls, key=key)
    rows = Rows.of(maps)
    log_p = jnp.asarray(np.stack([cases.log_p, cases.log_p[cases.donors]]), jnp.float32)
    context = displace(cases, directions, maps)
    arguments = (cases.network, cases.inputs, cases.asked, log_p, shift_stream)
    kl = np.asarray(divergences_after(*arguments, rows.items(), context), np.float64)
    first, second = 1 + len(rows.removals), 1 + len(rows.removals) + len(rows.swaps)
    own, donor = cases.at_question(kl[:, 0]), cases.at_question(kl[:, 1])
    damage = cases.over_questions(kl[1:first, 0] - kl[:1, 0])
    damage = damage.reshape(len(DIRECTIONS), maps.num_places, -1)
    return (
        Removals(damage[..., 0], damage[..., 1:]),
        _arrange_swaps(
            cases, (own - donor)[first:second].reshape(maps.num_places, -1, own.shape[1])
        ),
        _arrange_steerings(cases, (own[:1], donor[:1]), (own[second:], donor[second:])),
    )


def _arrange_swaps(
    cases: Cases, margins: Float[np.ndarray, "stream two_and_draws sequence"]
) -> Swaps:
    """Average margins, and add those of the network's own answers."""
    rows = np.arange(len(cases.weights))
    own = _margins(cases, cases.log_q[rows, cases.questions])
    donor = _margins(cases, cases.log_q[cases.donors, cases.questions])
    means = margins @ cases.weights
    return Swaps(
        before=cases.by_question(own),
        after=cases.by_question(margins[:, 0]),
        donor=cases.by_question(donor),
        mean_before=float(own @ cases.weights),
        mean_after=means[:, 0],
        mean_donor=float(donor @ cases.weights),
        subspace=means[:, 1],
        controls=means[:, 2:],
    )


def _margins(
    cases: Cases, log_q: Float[np.ndarray, "sequence outcome"]
) -> Float[np.ndarray, " sequence"]:
    """Return ``KL(own || q) - KL(counterfactual || q)`` at each sequence's question."""
    rows = np.arange(len(cases.weights))
    own, donor = (cases.log_p[each, cases.questions] for each in (rows, cases.donors))
    return _kl(own, log_q) - _kl(donor, log_q)


def _kl(log_p: np.ndarray, log_q: np.ndarray) -> np.ndarray:
    """Return ``KL(p || q)`` in nats over the last axis."""
    p = np.exp(log_p)
    gaps = np.where(p > 0.0, log_p, 0.0) - np.where(p > 0.0, log_q, 0.0)
    return np.sum(p * gaps, axis=-1)


def _arrange_steerings(
    cases: Cases, unmoved: tuple[Margins, Margins], moved: tuple[Margins, Margins]
) -> Steerings:
    """Turn divergences from both ends into those from the belief between them."""
    shares = np.array(STEERED) / 100
    shape = (-1, len(STEERED), 1 + TURNS, len(cases.weights))
    after = _from_mixture(cases, shares[:, None], *(kl.reshape(shape) for kl in moved))
    before = _from_mixture(cases, shares, *(np.repeat(kl, len(STEERED), 0) for kl in unmoved))
    return Steerings(
        after=after[..., 0],
        controls=after[..., 1:].mean(axis=-1),
        before=before,
    )


def _from_mixture(
    cases: Cases, share: np.ndarray, from_own: np.ndarray, from_donor: np.ndarray
) -> np.ndarray:
    """Return the mean of ``KL((1 - a) p + a q || answer)``.

    The cross entropy ``H(p) + KL(p || answer)`` is linear in ``p``, which gives it for the
    mixture; its own entropy is then taken away.
    """
    rows = np.arange(len(cases.weights))
    own, donor = (np.exp(cases.log_p[each, cases.questions]) for each in (rows, cases.donors))
    a = np.asarray(share)[..., None]
    entropies = [scipy.special.entr(law).sum(axis=-1) for law in (own, donor)]
    mixture = (1.0 - a[..., None]) * own + a[..., None] * donor
    crossed = (1.0 - a) * (from_own + entropies[0]) + a * (from_donor + entropies[1])
    return (crossed - scipy.special.entr(mixture).sum(axis=-1)) @ cases.weights
