"""Interventions: what a network's answers lose or gain when something inside it is changed."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np
import xarray as xr

from bayescmp._types import Key
from bayescmp.comparison.tally import BITS
from bayescmp.inspection.ablation import Ablations, ablate
from bayescmp.inspection.ablation_rows import PARTS, TESTED
from bayescmp.inspection.ablation_runs import WAYS
from bayescmp.inspection.effect import LEVEL, Effect, select
from bayescmp.inspection.evidence_edits import edit_evidence
from bayescmp.inspection.intervention_cases import Cases, choose_cases
from bayescmp.inspection.patch_effects import list_candidates, patch_untrained
from bayescmp.inspection.patch_rows import DIRECTIONS, STEERED
from bayescmp.inspection.patching import Edited, Patches, Removals, Steerings, Swaps, patch
from bayescmp.inspection.recording import Recording
from bayescmp.inspection.subset import make_generator
from bayescmp.inspection.telling_directions import fit_directions
from bayescmp.results.tree import make_dataset

NUM_SEQUENCES = 128
"""Sequences that interventions are made on."""

NUM_CONTROLS = 16
"""Random ablations that each head is held against, in every way; all else has a quarter."""


@dataclass(frozen=True)
class Intervened:
    """What interventions do to one network's answers."""

    ablations: Ablations
    patches: Patches
    """What changes of the residual stream do."""
    untrained: tuple[Patches, ...]
    """The same in networks with initial weights."""
    stream_names: tuple[str, ...]
    rank: int
    """Number of directions that tell the exact probabilities."""
    num_sequences: int
    num_controls: int
    matched_share: float
    """Share of donors that read the same where the question is asked."""
    is_informed: bool
    """Whether the network's answers are nearer to exact than the exact predictive's own mean."""

    def effects(self, level: float = LEVEL) -> tuple[Effect, ...]:
        """Return the heads and places where a change does more than random ones of its size.

        Where nothing attends, mixers stand in for heads. The mean is in their place, which
        takes away what depends on the sequence and nothing else: zeros also change constants,
        another sequence puts in what that one tells. To look at all three would cost power.
        Removals, swaps and steering of the stream must also do more than they do at the same
        place of untrained networks; and nothing of the stream is named in a network whose answers
        are further from exact than the exact predictive's own mean, for it knows nothing to lose.

        Args:
            level: Chance that any is named where all are like random changes.

        Returns:
            The effects, the clearest first; values in nats.
        """
        untrained = self.untrained if self.is_informed else ()
        places = list_candidates(self.patches, untrained, self.stream_names)
        return select([*self.ablations.candidates(), *places], level)

    @property
    def removals(self) -> Removals:
        """What removed directions cost."""
        return self.patches.removals

    @property
    def swaps(self) -> Swaps:
        """What the stream of a donor does."""
        return self.patches.swaps

    @property
    def edited(self) -> Edited:
        """What another token of evidence does."""
        return self.patches.edited

    @property
    def steerings(self) -> Steerings:
        """What moving the stream as beliefs move it does."""
        return self.patches.steerings


def intervene(
    recording: Recording,
    *,
    key: Key,
    num_sequences: int = NUM_SEQUENCES,
    num_controls: int = NUM_CONTROLS,
) -> Intervened:
    """Ablate every part of a network, and remove, swap and steer what its stream says.

    Everything is held against random changes of the same size, and scored against the exact
    predictive: of the sequence itself, or of the counterfactual that a swap stands for.

    Args:
        recording: A network on held-out sequences.
        key: Typed key of questions, donors and random directions.
        num_sequences: Sequences to intervene on, at most.
        num_controls: Random ablations beside each head, at least three; all else is held against
            a quarter as many, and at least three.

    Returns:
        What was found.

    Raises:
        TypeError: If nothing can be changed inside the network.
        ValueError: If there are too few sequences or controls.

    Example:
        >>> oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=3))
        >>> network = bc.Transformer.for_model(oracle.model, key=jax.random.key(0))
        >>> seen = bc.inspection.record(network, oracle, key=jax.random.key(1))
        >>> found = intervene(seen, key=jax.random.key(2), num_controls=3)
        >>> found.ablations.heads.shape, found.swaps.after.shape  # way, layer, head; place, t
        ((3, 3, 4), (7, 3))
    """
    if num_controls < 3:
        raise ValueError(f"num_controls: expected at least 3, got {num_controls}")
    key_cases, key_parts, key_streams, key_untrained = jax.random.split(key, 4)
    half, few = max(3, num_controls // 2), recording.split()[0]
    cases = choose_cases(recording, num_sequences, key=key_cases, num_strangers=half)
    edits = edit_evidence(cases, make_generator(jax.random.fold_in(key_cases, 1)))
    directions = fit_directions(few, key=jax.random.fold_in(key_streams, 1))
    patches = patch(cases, edits, directions, half, key=key_streams)
    return Intervened(
        ablations=ablate(cases, num_controls, key=key_parts),
        patches=patches,
        untrained=patch_untrained(recording, max(4, len(cases.weights) // 4), key=key_untrained),
        stream_names=recording.stream_names,
        rank=directions.predictive.shape[-1],
        num_sequences=len(cases.weights),
        num_controls=num_controls,
        matched_share=float(cases.matched.mean()),
        is_informed=_is_informed(cases),
    )


def _is_informed(cases: Cases) -> bool:
    """Hold a network's answers, and the exact predictive's own mean, against exact."""
    p = np.exp(cases.log_p)
    mean = cases.over_questions(np.moveaxis(p, -1, 0))
    with np.errstate(divide="ignore"):  # what is never possible
        log_mean = np.broadcast_to(np.log(mean), p.shape)

    laws = np.stack([cases.log_q, log_mean])
    gaps = np.where(p > 0.0, cases.log_p, 0.0) - np.where(p > 0.0, laws, 0.0)
    own, constant = cases.over_questions(np.sum(p * gaps, axis=-1))
    return bool(own < constant)


def interventions_group(results: Sequence[Intervened]) -> xr.Dataset:
    """Stack what was found in several networks.

    Args:
        results: One for each seed, of networks of one shape.

    Returns:
        The group ``/interventions``, in bits.

    Raises:
        ValueError: If there is no network, or their shapes differ.
    """
    if not results:
        raise ValueError("results: expected one for each network, got none")
    shapes = {(one.stream_names, one.ablations.heads is None) for one in results}
    if len(shapes) > 1:
        raise ValueError("results: expected networks of one shape, got several")
    first = results[0]
    rows = [_ablation_arrays(one.ablations) | _stream_arrays(one) for one in results]
    arrays = {name: np.stack([row[name] for row in rows]) * _unit(name) for name in rows[0]}
    coords = {
        "stream": first.stream_names,
        "way": WAYS,
        "part": PARTS,
        "direction": DIRECTIONS,
        "steered": STEERED,
    }
    attrs = {
        "rank": first.rank,
        "num_sequences": first.num_sequences,
        "num_controls": first.num_controls,
        "matched_share": first.matched_share,
        "edited_share": first.edited.share,
    }
    return make_dataset("/interventions", arrays, coords, attrs)


def _unit(name: str) -> float:
    """Return the factor from nats to the unit of the tree."""
    return 1.0 if name.endswith("p_value") else BITS


def _ablation_arrays(found: Ablations) -> dict[str, np.ndarray]:
    """Name the arrays of the ablations."""
    arrays = {
        "part_damage": found.parts,
        "part_control": found.part_controls.mean(axis=-1),
    }
    if found.heads is None or found.heads_by_position is None:
        return arrays
    p_values = [effect.p_value for effect in found.candidates()]
    return arrays | {
        "head_damage": found.heads,
        "head_damage_by_position": found.heads_by_position,
        "head_control": found.head_controls.mean(axis=-1),
        "head_control_highest": found.head_controls.max(axis=-1),
        "head_p_value": np.reshape(p_values, found.heads[TESTED].shape),
    }


def _stream_arrays(found: Intervened) -> dict[str, np.ndarray]:
    """Name the arrays of what was changed in the stream."""
    swaps, edited, steerings = found.swaps, found.edited, found.steerings
    return {
        "removal_damage": found.removals.damage,
        "removal_control": found.removals.controls.mean(axis=-1),
        "removal_p_value": found.removals.p_values(),
        "swap_margin": swaps.after,
        "swap_margin_before": swaps.before,
        "swap_margin_donor": swaps.donor,
        "swap_mean": swaps.mean_after,
        "swap_mean_before": np.array(swaps.mean_before),
        "swap_mean_donor": np.array(swaps.mean_donor),
        "swap_subspace": swaps.subspace,
        "swap_control": swaps.controls.mean(axis=-1),
        "swap_stranger": swaps.strangers.mean(axis=-1),
        "swap_p_value": swaps.p_values(),
        "edit_margin": edited.after,
        "edit_margin_before": edited.before,
        "edit_mean": edited.mean_after,
        "edit_mean_before": np.array(edited.mean_before),
        "steering_kl": steerings.after,
        "steering_control": steerings.controls,
        "steering_kl_before": steerings.before,
        "steering_p_value": steerings.p_values(),
    }
