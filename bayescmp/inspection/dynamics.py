"""The inside over the checkpoints of training: phases, and what settles before what."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np
import xarray as xr
from jaxtyping import Float

from bayescmp._types import Key
from bayescmp.comparison.evaluation import ask
from bayescmp.inspection.curves import Curves, trace_curves
from bayescmp.inspection.history import History, go_straight, read_history, take_few
from bayescmp.layers.phases import SHARE, Dissociation, Phase, dissociate, find_phases
from bayescmp.layers.streams import stream_names
from bayescmp.oracle import AbstractOracle
from bayescmp.predictors.ladder import standard_ladder
from bayescmp.predictors.predictor import AbstractPredictor
from bayescmp.results.tree import make_dataset

EXACT = "exact"
"""What the oracle is called among the explanations."""

LEVEL = 0.95
"""Confidence level of the ratio's interval."""


@dataclass(frozen=True)
class Dynamics:
    """One network over the checkpoints of its training; information in bits."""

    steps: tuple[int, ...]
    """Optimiser steps done at each checkpoint."""
    rungs: tuple[str, ...]
    """Names of the rival explanations."""
    kl: Float[np.ndarray, " checkpoint"]
    """Mean ``KL(exact || network)``."""
    rung_kl: Float[np.ndarray, "checkpoint rung"]
    """Mean ``KL(rung || network)``."""
    lens_kl: Float[np.ndarray, "checkpoint stream"]
    """Mean ``KL(exact || logit lens)`` at each place of the residual stream."""
    frame: Float[np.ndarray, " checkpoint"]
    """Distance of attention to that of the last checkpoint: the Jensen-Shannon divergence,
    mean over blocks, heads and input positions. Where nothing attends with probabilities,
    the squared distance of the mixers' output over its squared norm."""
    head_frame: Float[np.ndarray, "checkpoint block head"] | None
    """The divergence of each head; None where nothing attends with probabilities."""
    dissociation: Dissociation
    """When attention and output settle."""
    straight: Dissociation
    """The same for the control: weights that go straight from the first checkpoint to the
    last, and have covered as much of that way at each."""
    num_sequences: int

    @property
    def followed(self) -> str:
        """What ``frame`` is about: ``attention`` or ``mixer``."""
        return "mixer" if self.head_frame is None else "attention"

    @property
    def nearest(self) -> tuple[str, ...]:
        """Name of the explanation with the least divergence to the network, ``exact`` too."""
        names = (EXACT, *self.rungs)
        divergences = np.concatenate([self.kl[:, None], self.rung_kl], axis=1)
        return tuple(names[index] for index in np.argmin(divergences, axis=1))

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Stretches of training with the same nearest explanation."""
        return find_phases(self.steps, self.nearest)


def follow_training(
    history: History,
    oracle: AbstractOracle,
    *,
    key: Key,
    seed: int = 0,
    ladder: Sequence[AbstractPredictor] | None = None,
    num_sequences: int | None = None,
) -> Dynamics:
    """Follow a network from checkpoint to checkpoint, always on the same sequences.

    A curve has settled at the step by which it has covered nine tenths of its change for
    good. The ratio of the output's step to attention's is the frame-precision dissociation.

    Args:
        history: Snapshots of a run, or networks by the number of steps done; at least two.
        oracle: Oracle of the model.
        key: Typed key of the sequences, the ladder and the resamples.
        seed: Which of the networks that were trained together, with snapshots.
        ladder: Rivals; ``standard_ladder`` by default.
        num_sequences: How many sequences are drawn, at least four; by default 512, or every
            sequence where there are few.

    Returns:
        The record.

    Raises:
        TypeError: If a network cannot be traced.
        ValueError: If there are fewer than two checkpoints or four sequences, or an answer
            is not finite.

    Example:
        >>> model = bc.models.beta_bernoulli(length=4)
        >>> ends = [bc.Transformer.for_model(model, key=jax.random.key(k)) for k in (0, 1)]
        >>> found = follow_training(dict(zip([0, 9], ends)), bc.derive_oracle(model),
        ...                         key=jax.random.key(2))
        >>> found.followed, float(found.frame[-1]), found.lens_kl.shape
        ('attention', 0.0, (2, 7))
    """
    networks = read_history(history, seed)
    steps, checkpoints = tuple(networks), tuple(networks.values())
    key_data, key_ladder, key_resamples = jax.random.split(key, 3)
    evaluation = take_few(oracle, num_sequences, key=key_data)
    rivals = standard_ladder(oracle, key=key_ladder) if ladder is None else ladder
    laws = {rung.name: ask(rung, evaluation) for rung in rivals}
    curves = trace_curves(checkpoints, evaluation, laws)
    straight = trace_curves(go_straight(checkpoints), evaluation, {})
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key_resamples)))

    def settle(curves: Curves) -> Dissociation:
        frame, output = curves.frame.T, curves.kl.T
        return dissociate(steps, frame, output, evaluation.weights, rng=rng, level=LEVEL)

    return Dynamics(
        steps=steps,
        rungs=tuple(laws),
        kl=curves.mean(curves.kl),
        rung_kl=curves.mean(curves.rung_kl),
        lens_kl=curves.mean(curves.lens_kl),
        frame=curves.mean(curves.frame),
        head_frame=None if curves.head_frame is None else curves.mean(curves.head_frame),
        dissociation=settle(curves),
        straight=settle(straight),
        num_sequences=evaluation.log_p.shape[0],
    )


def dynamics_group(results: Sequence[Dynamics]) -> xr.Dataset:
    """Lay the dynamics of several seeds out as the group ``/dynamics``.

    Args:
        results: One for each seed, with the same checkpoints.

    Returns:
        The group.

    Raises:
        ValueError: If there is none, or they differ in checkpoints, rungs or blocks.
    """
    kinds = {(each.steps, each.rungs, each.lens_kl.shape, each.followed) for each in results}
    if len(kinds) != 1:
        raise ValueError(
            "results: expected at least one, all with the same checkpoints, rungs and blocks, "
            f"got {len(results)} of {len(kinds)} kinds"
        )
    first = results[0]
    arrays: dict[str, object] = {
        "kl": [each.kl for each in results],
        "rung_kl": [each.rung_kl for each in results],
        "lens_kl": [each.lens_kl for each in results],
        f"{first.followed}_change": [each.frame for each in results],
        "frame_step": [each.dissociation.frame_step for each in results],
        "output_step": [each.dissociation.output_step for each in results],
        "ratio": [each.dissociation.ratio for each in results],
        "ratio_low": [each.dissociation.low for each in results],
        "ratio_high": [each.dissociation.high for each in results],
        "straight_ratio": [each.straight.ratio for each in results],
    }
    if first.head_frame is not None:
        arrays["head_change"] = [each.head_frame for each in results]
    coords = {
        "checkpoint": list(first.steps),
        "rung": list(first.rungs),
        "stream": list(stream_names(first.lens_kl.shape[1] // 2)),
    }
    attrs = {
        "followed": first.followed,
        "share": SHARE,
        "level": LEVEL,
        "num_sequences": first.num_sequences,
    }
    return make_dataset("/dynamics", arrays, coords, attrs)
