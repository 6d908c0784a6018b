"""The interface of exact inference: from one example's sites to a reference."""

import abc

import equinox as eqx
from jaxtyping import Array, Float

from bayescmp.records import Reference


class AbstractEngine(eqx.Module):
    """A way to answer a program's questions exactly.

    Laws that every engine meets: predictives normalise; where nothing but outcomes is
    shown, the log evidence is the running sum of the log predictives of what happened; a
    window as long as the sequence changes nothing; what comes later never changes an answer.
    """

    @abc.abstractmethod
    def __call__(self, sites: dict[str, Array]) -> Reference:
        """Answer every question of one example.

        Args:
            sites: Values of all given, query and outcome sites, by name.

        Returns:
            The reference of one example, without batch axes.
        """

    @abc.abstractmethod
    def windowed(self, sites: dict[str, Array], window: int) -> Float[Array, "position outcome"]:
        """Answer as if only the last steps had been shown.

        Remembered are the prompt, the current query and, where outcomes are revealed, the
        last ``window`` revealed outcomes with their queries; where nothing is revealed,
        the last ``window`` queries, the current one among them. The position is known: what
        stands before the window is summed out, as if it had not been seen.

        Args:
            sites: Values of all given, query and outcome sites, by name.
            window: Number of last steps that are remembered.

        Returns:
            Log probabilities in nats.
        """

    @abc.abstractmethod
    def treatment(self) -> dict[str, str]:
        """Say for each site how it was dealt with, in a word or two."""

    @abc.abstractmethod
    def reason(self) -> str:
        """Say in one sentence why the answer is exact, or how far it is from it."""
