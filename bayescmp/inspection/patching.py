"""Change the residual stream at one place: remove directions, swap it, steer what it believes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Float

from bayescmp._types import Key
from bayescmp.inspection.effect import exceedance
from bayescmp.inspection.evidence_edits import Edits
from bayescmp.inspection.intervention_cases import Cases
from bayescmp.inspection.patch_rows import DIRECTIONS, STEERED, Maps, Rows, displace
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

    def p_values(self) -> Float[np.ndarray, "direction stream"]:
        """Return the chance of as much damage if the directions were random ones; NaN for none."""
        return _exceed(self.damage, self.controls)


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
    strangers: Float[np.ndarray, "stream stranger"]
    """Mean margin after the stream of a stranger is put in: drawn as the donor is, but with other
    evidence than the counterfactual's."""

    def p_values(self) -> Float[np.ndarray, " stream"]:
        """Return the chance of as high a margin if the donor were one more stranger.

        Where the stream says nothing of the evidence that led to it, both are draws of one law.
        """
        return _exceed(self.mean_after, self.strangers)


@dataclass(frozen=True)
class Edited:
    """Answers after one token of evidence is another one, as far as the stream goes.

    The stream of the prompt with that token is put in where the token stands, at one place. Margins
    are those of :class:`Swaps`, with the exact predictive of the changed prompt as counterfactual.
    At the embedding the prompt itself is changed; from the place on after which nobody reads the
    token, the answer stays what it was.
    """

    before: Float[np.ndarray, " position"]
    """Margin of the network's own answer; NaN where no token could be changed."""
    after: Float[np.ndarray, "stream position"]
    mean_before: float
    mean_after: Float[np.ndarray, " stream"]
    share: float
    """Share of cases, by weight, in which a token could be changed."""


@dataclass(frozen=True)
class Steerings:
    """Answers after the stream is moved as beliefs move it, towards the donor's belief.

    Part ``a`` of the way from ``p`` to ``q`` lies the belief whose exact predictive is
    ``(1 - a) p + a q``; all divergences are from it, in nats, mean over cases.
    """

    after: Float[np.ndarray, "stream steered"]
    controls: Float[np.ndarray, "stream steered"]
    """The same after a shift of the same length in a random direction."""
    before: Float[np.ndarray, " steered"]
    """The same for the network's own answer."""
    turned: Float[np.ndarray, "stream draw"]
    """After shifts all the way in random directions, one after the other."""

    def p_values(self) -> Float[np.ndarray, " stream"]:
        """Return the chance of coming as near, all the way, by a shift in a random direction."""
        return _exceed(-self.after[:, -1], -self.turned)


def _exceed(
    values: Float[np.ndarray, "*place"], draws: Float[np.ndarray, "*place draw"]
) -> Float[np.ndarray, "*place"]:
    """Return the chance that one more draw exceeds each value; NaN where there is no value."""
    found = np.full(values.shape, np.nan)
    for place in np.ndindex(values.shape):
        if np.isfinite(values[place]) and draws.shape[-1] > 2:
            found[place] = exceedance(float(values[place]), draws[place])
    return found


@dataclass(frozen=True)
class Patches:
    """All that was done to the residual stream."""

    removals: Removals
    swaps: Swaps
    edited: Edited
    steerings: Steerings


def patch(
    cases: Cases, edits: Edits, directions: Directions, num_controls: int, *, key: Key
) -> Patches:
    """Change the residual stream at every place, in all ways, beside random changes.

    Args:
        cases: Sequences with their donors and strangers.
        edits: The prompts with another token.
        directions: What tells the exact answers, fitted to other sequences.
        num_controls: Random subspaces of each rank, and random directions of steering.
        key: Typed key of the random directions.

    Returns:
        What the changes do.
    """
    maps = Maps.draw(directions, num_controls, key=key)
    rows = Rows.of(maps, len(cases.strangers))
    context = displace(cases, edits, directions, maps)
    log_p = jnp.asarray(_laws(cases, edits), jnp.float32)
    arguments = (cases.network, cases.inputs, cases.asked, log_p, shift_stream)
    kl = np.asarray(divergences_after(*arguments, rows.items(), context), np.float64)
    damage = rows.split(cases.over_questions(kl[1:, 0] - kl[:1, 0]))[0]
    own, donor, edited = np.moveaxis(cases.at_question(kl), 1, 0)
    _, swaps, strangers, _, *_ = rows.split((own - donor)[1:])
    _, _, _, changed, *_ = rows.split((own - edited)[1:])
    steered = [rows.split(each[1:])[-2:] for each in (own, donor)]
    num, size = maps.num_places, len(cases.weights)
    margins = (each.reshape(num, -1, size) for each in (swaps, strangers))
    return Patches(
        _arrange_removals(directions, damage.reshape(num, -1)),
        _arrange_swaps(cases, *margins),
        _arrange_edits(cases, edits, (own - edited)[0], changed),
        _arrange_steerings(cases, (own[:1], donor[:1]), steered),
    )


def _laws(cases: Cases, edits: Edits) -> Float[np.ndarray, "law sequence position outcome"]:
    """Stack what answers are held against: own, the donor's, and that of the changed prompt."""
    edited, rows = cases.log_p.copy(), np.arange(len(cases.weights))
    edited[rows, cases.questions] = edits.log_p
    return np.stack([cases.log_p, cases.log_p[cases.donors], edited])


def _arrange_removals(directions: Directions, damage: Float[np.ndarray, "stream row"]) -> Removals:
    """Put every direction beside the random ones of its rank; no block's keys cost nothing."""
    own, drawn = np.split(damage, [len(DIRECTIONS)], axis=1)
    single, several = np.split(drawn, 2, axis=1)
    own[[basis is None for basis in directions.frame], DIRECTIONS.index("key frame")] = np.nan
    return Removals(own.T, np.stack([single, several, several]))


def _arrange_swaps(
    cases: Cases,
    margins: Float[np.ndarray, "stream two_and_draws sequence"],
    strangers: Float[np.ndarray, "stream stranger sequence"],
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
        strangers=strangers @ cases.weights,
    )


def _arrange_edits(
    cases: Cases,
    edits: Edits,
    before: Float[np.ndarray, " sequence"],
    after: Float[np.ndarray, "stream sequence"],
) -> Edited:
    """Average margins over the cases in which a token could be changed."""
    weights = cases.weights * edits.there
    share = float(weights.sum())
    some = replace(cases, weights=weights / share if share > 0.0 else weights)
    nothing = np.nan if share == 0.0 else 1.0
    return Edited(
        before=some.by_question(before),
        after=some.by_question(after),
        mean_before=nothing * float(before @ some.weights),
        mean_after=nothing * (after @ some.weights),
        share=share,
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
    cases: Cases, unmoved: tuple[Margins, Margins], moved: Sequence[Sequence[Margins]]
) -> Steerings:
    """Turn divergences from both ends into those from the belief between them."""
    shares, size = np.array(STEERED) / 100, len(cases.weights)
    shape = (-1, len(STEERED), 2, size)
    after = _from_mixture(cases, shares[:, None], *(kl.reshape(shape) for kl, _ in moved))
    turned = moved[1][1].reshape(len(after), -1, size) @ cases.weights
    before = _from_mixture(cases, shares, *(np.repeat(kl, len(STEERED), 0) for kl in unmoved))
    return Steerings(
        after=after[..., 0],
        controls=after[..., 1],
        before=before,
        turned=np.concatenate([after[:, -1, 1:], turned], axis=1),
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
