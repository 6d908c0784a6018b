"""What a cell may use of a cluster."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SlurmResources:
    """What each cell asks Slurm for.

    Example:
        >>> SlurmResources(minutes=120, gpus=1).cpus
        1
    """

    partition: str | None = None
    """Partition of the cluster; Slurm's default unless given."""
    minutes: int = 60
    """Time limit of a cell; a cell cut off goes on from its checkpoint in the next sweep."""
    cpus: int = 1
    """CPU cores of a cell."""
    gpus: int = 0
    """Accelerators of a cell."""
    memory_gb: float | None = None
    """Memory of a cell in gigabytes; Slurm's default unless given."""

    def __post_init__(self) -> None:
        for name, least in {"minutes": 1, "cpus": 1, "gpus": 0}.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name}: expected at least {least}, got {getattr(self, name)}")
        if self.memory_gb is not None and self.memory_gb <= 0:
            raise ValueError(f"memory_gb: expected more than 0, got {self.memory_gb}")
