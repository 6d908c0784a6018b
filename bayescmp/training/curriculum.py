"""A loss horizon that grows: the first questions first, and the others one after the other."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Curriculum:
    """How many of a sequence's questions count at which step.

    ``start + floor((n - start) step / steps)`` of ``n`` questions, and all of them from step
    ``steps`` on.

    Example:
        >>> bc.training.Curriculum(start=1, steps=6).first_steps(4)
        (0, 2, 4, 6)
    """

    start: int
    """Questions that count at the first step."""
    steps: int
    """Steps after which all of them count."""

    def __post_init__(self) -> None:
        """Reject numbers out of range."""
        for name in ("start", "steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")

    def first_steps(self, num_questions: int) -> tuple[int, ...]:
        """Return the step from which each question counts.

        Args:
            num_questions: Questions that count in the end.

        Returns:
            One number for each question, from zero.

        Raises:
            ValueError: If there are fewer questions than count at first.
        """
        if self.start > num_questions:
            raise ValueError(
                f"curriculum: expected start of at most {num_questions}, the questions that count "
                f"in the end, got {self.start}"
            )
        later = range(1, num_questions - self.start + 1)
        return (0,) * self.start + tuple(-(-self.steps * k // len(later)) for k in later)
