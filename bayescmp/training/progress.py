"""How far a run has come, as a value: a chunk of steps makes a new one from an old one."""

import math
import time
from dataclasses import dataclass, field, replace
from functools import cached_property

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from bayescmp.training.costs.energy import NO_METER, EnergyMeter
from bayescmp.training.problem import Keys, Problem, place
from bayescmp.training.settings import Training
from bayescmp.training.steps import DIVERGED, GOES_ON, STOPPED_EARLY, CompiledChunk, TrainState


@dataclass(frozen=True)
class Progress:
    """State and history of a run after some of its steps, for each of its seeds."""

    state: TrainState
    """What the next chunk starts from; it reuses the buffers, so an old state is gone."""
    loss: Float[np.ndarray, "seed step"]
    """Training loss of each step so far, in nats; NaN once a seed does not go on."""
    excess: Float[np.ndarray, "seed step"]
    """Loss above the entropy floor of each step so far, in nats."""
    seconds: float = 0.0
    """Wall time spent in steps, of all seeds together."""
    joules: float = 0.0
    """Energy of these steps, of everything that ran on the machine; NaN where it is not told."""
    flops: float = math.nan
    """Floating-point operations of one step of one seed, by XLA's count."""
    clock: Float[np.ndarray, "chunk 3"] = field(default_factory=lambda: np.zeros((0, 3)))
    """Steps done, and seconds and joules spent, by the end of each chunk."""

    @property
    def step(self) -> int:
        """Number of steps done, which is also the number of the next one."""
        return self.loss.shape[1]

    @cached_property
    def fate(self) -> Int[np.ndarray, " seed"]:
        """What has become of each seed."""
        return np.asarray(self.state.fate)

    @cached_property
    def num_steps(self) -> Int[np.ndarray, " seed"]:
        """Steps that each seed has done."""
        return np.asarray(self.state.num_steps)

    @property
    def diverged(self) -> Bool[np.ndarray, " seed"]:
        """Which seeds have a loss or a weight that is no longer finite."""
        return self.fate == DIVERGED

    @property
    def goes_on(self) -> Bool[np.ndarray, " seed"]:
        """Which seeds have neither stopped nor diverged."""
        return self.fate == GOES_ON


def begin(state: TrainState) -> Progress:
    """Return a run before its first step.

    Args:
        state: Where it starts from.

    Returns:
        The run, with empty histories.
    """
    nothing = np.zeros((len(state.fate), 0), np.float32)
    return Progress(state, nothing, nothing)


def advance(
    progress: Progress,
    chunk: CompiledChunk,
    num_steps: int,
    *,
    keys: Keys,
    meter: EnergyMeter = NO_METER,
) -> Progress:
    """Run one chunk of steps.

    Args:
        progress: Where the run stands; its state is used up.
        chunk: Compiled steps.
        num_steps: How many steps to do, at most as many as the chunk has room for.
        keys: Root keys of the data.
        meter: Counts the energy.

    Returns:
        Where the run stands afterwards.
    """
    counters, clock = meter.read(), time.perf_counter()
    first, count = np.int32(progress.step), np.int32(num_steps)
    state, record = chunk.run(progress.state, first, count, keys)
    record = jax.device_get(record)
    seconds = progress.seconds + time.perf_counter() - clock
    joules = progress.joules + meter.joules_between(counters, meter.read())
    return replace(
        progress,
        state=state,
        loss=np.append(progress.loss, record.loss[:, :num_steps], axis=1),
        excess=np.append(progress.excess, record.excess[:, :num_steps], axis=1),
        seconds=seconds,
        joules=joules,
        flops=chunk.flops_per_step,
        clock=np.append(progress.clock, [[progress.step + num_steps, seconds, joules]], axis=0),
    )


def stop_early(progress: Progress, problem: Problem, training: Training) -> Progress:
    """Stop the seeds that have come close enough to the entropy floor.

    They are looked at after whole chunks, wherever a run was interrupted in between, so
    that a resumed run stops where an uninterrupted one does.

    Args:
        progress: Where the run stands.
        problem: What is trained, and on what.
        training: Settings.

    Returns:
        The same, with the seeds marked that stop here.
    """
    size, last = training.chunk_size, progress.step == training.num_steps
    if training.stop_below is None or last or not progress.step or progress.step % size:
        return progress
    if training.curriculum is not None and progress.step - size < training.curriculum.steps:
        return progress  # the excess of the first questions alone says little
    recent = np.mean(progress.excess[:, -size:], axis=1)
    stops = progress.goes_on & (recent < training.stop_below)
    fate = place(problem, np.where(stops, np.int32(STOPPED_EARLY), progress.fate))
    return replace(progress, state=eqx.tree_at(lambda state: state.fate, progress.state, fate))


def mean_recent(progress: Progress, num_steps: int) -> dict[str, float]:
    """Return means over the last steps, by the names that a log uses.

    Args:
        progress: Where the run stands.
        num_steps: How many of the last steps are averaged.

    Returns:
        ``loss`` in nats and, where it is known, ``excess``; with several seeds those of
        each that goes on, for instance ``loss/seed_0``.
    """
    several = len(progress.fate) > 1
    means = {}
    for name in ("loss", "excess"):
        recent = np.mean(getattr(progress, name)[:, -num_steps:], axis=1, dtype=np.float64)
        for seed, mean in enumerate(recent):
            if not math.isnan(mean):
                means[f"{name}/seed_{seed}" if several else name] = float(mean)
    return means


def recent_loss(progress: Progress, num_steps: int) -> str:
    """Describe the last losses in bits, above the entropy floor where it is known.

    Args:
        progress: Where the run stands.
        num_steps: How many of the last steps are averaged, over the seeds that go on.

    Returns:
        A few words for a progress bar.
    """
    chosen = progress.goes_on if progress.goes_on.any() else np.ones_like(progress.goes_on)
    loss, excess = (
        float(np.mean(history[chosen, -num_steps:], dtype=np.float64)) / math.log(2.0)
        for history in (progress.loss, progress.excess)
    )
    if math.isfinite(excess):
        return f"{excess:.5f} bits above the entropy floor"
    return f"loss {loss:.4f} bits"
