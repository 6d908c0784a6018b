"""What a user can set about a training run."""

from dataclasses import dataclass, field
from typing import Literal

from bayescmp.oracle import AbstractOracle
from bayescmp.training.objectives import ObjectiveName
from bayescmp.training.optimisers import Muon, Optimiser


@dataclass(frozen=True)
class Training:
    """How a network is trained."""

    num_steps: int = 2_000
    batch_size: int = 64
    optimiser: Optimiser = field(default_factory=Muon)
    objective: Literal["auto", "rao_blackwell", "sampled"] = "auto"
    """``auto`` is ``rao_blackwell`` where there is an oracle that can be compiled."""
    chunk_size: int = 50
    """Steps in one compiled scan; progress is shown between chunks."""
    checkpoint_every: int = 250
    """Steps between checkpoints; rounded up to whole chunks."""

    def __post_init__(self) -> None:
        """Reject settings out of range."""
        for name in ("num_steps", "batch_size", "chunk_size", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if self.objective not in ("auto", "rao_blackwell", "sampled"):
            raise ValueError(
                f"objective: expected 'auto', 'rao_blackwell' or 'sampled', got {self.objective!r}"
            )


def choose_objective(training: Training, oracle: AbstractOracle | None) -> ObjectiveName:
    """Return the objective that settings ask for.

    Args:
        training: Settings.
        oracle: Oracle of the model, if there is one.

    Returns:
        ``auto`` resolved to one of the two objectives.

    Raises:
        ValueError: If ``rao_blackwell`` is asked for without an oracle that can be compiled.
    """
    usable = oracle is not None and oracle.certificate.jittable
    if training.objective == "auto":
        return "rao_blackwell" if usable else "sampled"
    if training.objective == "rao_blackwell" and not usable:
        got = "none" if oracle is None else f"{oracle.certificate.engine!r}, which cannot"
        raise ValueError(
            f"objective: expected an oracle that can be compiled for 'rao_blackwell', got {got}"
        )
    return training.objective
