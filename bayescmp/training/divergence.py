"""Training that went wrong: when, where, and what to try."""

import numpy as np

from bayescmp.training.progress import Progress
from bayescmp.training.settings import Training


class TrainingDivergedError(RuntimeError):
    """The loss or a weight became infinite or NaN."""


def explain_divergence(run: Progress, training: Training, kept: int) -> str:
    """Say which seed went wrong first, at which step, and what to try.

    Args:
        run: A run of which a seed has diverged.
        training: Its settings.
        kept: Step of the checkpoint that is kept; 0 if there is none.

    Returns:
        One line.
    """
    steps = np.where(run.diverged, run.num_steps - 1, training.num_steps)
    seed, step = int(np.argmin(steps)), int(np.min(steps))
    loss = run.loss[seed, step]
    whose = f" for seed {seed + 1} of {len(steps)}" if len(steps) > 1 else ""
    what = "a weight is not finite after" if np.isfinite(loss) else f"the loss is {loss} at"
    file = f"; the checkpoint of step {kept} is kept" if kept else ""
    return (
        f"training diverged{whose}: {what} step {step}; try a lower learning_rate (it was "
        f"{training.optimiser.learning_rate:g}), a longer warmup, or a smaller clip{file}"
    )
