"""What a training run asks of a logger."""

import abc
from collections.abc import Mapping
from types import TracebackType


class AbstractLogger(abc.ABC):
    """A place for named numbers by step.

    Whoever opens a logger closes it, most simply by ``with``: a logger may serve several runs,
    one after the other. A number that is not finite is handed on as it is.
    """

    @abc.abstractmethod
    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Take numbers down.

        Args:
            step: Steps of training so far.
            values: Numbers by name.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Hand on what is left, and let go of files."""

    def __enter__(self) -> "AbstractLogger":
        """Return the logger, which is open already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the logger, and let errors pass."""
        self.close()
