"""How far a run has come, as a value: a chunk of steps makes a new one from an old one."""

import math
import time
from dataclasses import dataclass, field, replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from bayescmp._types import Key
from bayescmp.training.steps import CompiledChunk, TrainState


@dataclass(frozen=True)
class Progress:
    """State and history of a run after some of its steps."""

    state: TrainState
    """What the next chunk starts from; it reuses the buffers, so an old state is gone."""
    loss: Float[np.ndarray, " step"] = field(default_factory=lambda: np.zeros(0, np.float32))
    """Training loss of each step so far, in nats."""
    excess: Float[np.ndarray, " step"] = field(default_factory=lambda: np.zeros(0, np.float32))
    """Loss above the entropy floor of each step so far, in nats."""
    seconds: float = 0.0
    """Wall time spent in steps."""
    flops: float = math.nan
    """Floating-point operations of one step, by XLA's count."""
    diverged_at: int | None = None
    """First step, from zero, after which the loss or a weight is not finite."""

    @property
    def step(self) -> int:
        """Number of steps done, which is also the number of the next one."""
        return self.loss.size

    @property
    def diverged(self) -> bool:
        """Whether a loss or a weight is no longer finite."""
        return self.diverged_at is not None


def advance(progress: Progress, chunk: CompiledChunk, *, key: Key) -> Progress:
    """Run one chunk of steps.

    Args:
        progress: Where the run stands; its state is used up.
        chunk: Compiled steps.
        key: Typed key of the data.

    Returns:
        Where the run stands afterwards.
    """
    clock = time.perf_counter()
    state, record = chunk.run(progress.state, jnp.asarray(progress.step, jnp.int32), key)
    record = jax.device_get(record)
    seconds = time.perf_counter() - clock
    broken = np.flatnonzero(~record.finite)
    return replace(
        progress,
        state=state,
        loss=np.append(progress.loss, np.asarray(record.loss, np.float32)),
        excess=np.append(progress.excess, np.asarray(record.excess, np.float32)),
        seconds=progress.seconds + seconds,
        flops=chunk.flops_per_step,
        diverged_at=progress.step + int(broken[0]) if broken.size else None,
    )


def recent_loss(progress: Progress, num_steps: int) -> str:
    """Describe the last losses in bits, above the entropy floor where it is known.

    Args:
        progress: Where the run stands.
        num_steps: How many of the last steps are averaged.

    Returns:
        A few words for a progress bar.
    """
    excess = float(np.mean(progress.excess[-num_steps:])) / math.log(2.0)
    if math.isfinite(excess):
        return f"{excess:.5f} bits above the entropy floor"
    return f"loss {float(np.mean(progress.loss[-num_steps:])) / math.log(2.0):.4f} bits"
