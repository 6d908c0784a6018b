"""How a model writes what it shows as rows of numbers, one for each question."""

import abc
from dataclasses import dataclass

import numpy as np
from jaxtyping import Array, Bool, Float


@dataclass(frozen=True)
class RowCoder(abc.ABC):
    """From what the prompt gives to a start row and one row for each question.

    A frozen dataclass of plain numbers, so that two equal models have equal coders.
    """

    @property
    @abc.abstractmethod
    def num_features(self) -> int:
        """Number of features of a row."""

    @abc.abstractmethod
    def __call__(self, sites: dict[str, Array]) -> Float[Array, "row feature"]:
        """Write one example.

        Args:
            sites: Value of every given site, by name.

        Returns:
            The start row, then the row at which each question is answered.
        """

    @abc.abstractmethod
    def supervised(self, sites: dict[str, Array]) -> Bool[Array, " position"]:
        """Say which questions of one example count.

        Args:
            sites: Value of every given site, by name.

        Returns:
            False for padding, and where the prompt already tells the answer.
        """

    @abc.abstractmethod
    def describe(self, sites: dict[str, np.ndarray]) -> list[str]:
        """Name what each row of one example says, for people.

        Args:
            sites: Value of every given site, by name.

        Returns:
            One short text for each row.
        """

    @abc.abstractmethod
    def reject(self, sites: dict[str, np.ndarray]) -> None:
        """Check values that somebody supplies, beyond what each site can take by itself.

        Args:
            sites: Values of given sites by name, any number of batch axes in front.

        Raises:
            ValueError: If they are not those of any example.
        """
