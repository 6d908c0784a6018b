"""Where a network that passes messages keeps what in its residual stream.

The stream of a variable holds what its row of the input says, and what its factors have told it.
Laws over values are log-odds against the first value, one number for each of the others.
"""

from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from jaxtyping import Float, Int

from bayescmp.exact.graphs.graph_shape import GraphShape


@dataclass(frozen=True)
class StreamLayout:
    """The allotment of the residual stream: for each meaning, the features that hold it.

    Example:
        >>> from bayescmp.exact.graphs.graph_shape import GraphShape
        >>> layout = StreamLayout(GraphShape(num_variables=4, num_values=2, num_slots=3))
        >>> layout.width, layout.messages.tolist()
        (45, [[39], [40], [41]])
    """

    shape: GraphShape
    """Bounds on the graphs."""

    @property
    def block_sizes(self) -> dict[str, int]:
        """Number of features of each block, in their order."""
        shape, free = self.shape, self.shape.num_values - 1
        ties = shape.num_slots * shape.num_others
        return shape.block_sizes | {
            "evidence": free,
            "messages": shape.num_slots * free,
            "cavities": ties * free,
        }

    @property
    def width(self) -> int:
        """Number of features of the stream."""
        return sum(self.block_sizes.values())

    @property
    def start(self) -> int:
        """Feature that is one at the row before all variables, and zero at theirs."""
        return int(self._block("start")[0])

    @property
    def own(self) -> Int[np.ndarray, " variable"]:
        """One-hot number of the variable."""
        return self._block("own")

    @property
    def evidence(self) -> Int[np.ndarray, " value"]:
        """Log-odds of each value but the first by the evidence alone."""
        return self._block("evidence")

    @property
    def address(self) -> Int[np.ndarray, "slot other variable"]:
        """One-hot number of each other variable of the factor in a slot."""
        return self._block("address").reshape(*self._ties, self.shape.num_variables)

    @property
    def back(self) -> Int[np.ndarray, "slot other back"]:
        """One-hot slot in which the other variable has the same factor."""
        return self._block("back").reshape(*self._ties, self.shape.num_slots)

    @property
    def table(self) -> Int[np.ndarray, "slot own *others"]:
        """Log table of the factor in a slot: the own value first, then those of the others."""
        return self._block("table").reshape(self.shape.num_slots, *self.shape.table_shape)

    @property
    def messages(self) -> Int[np.ndarray, "slot value"]:
        """Log-odds of the last message of the factor in a slot, for each value but the first."""
        return self._block("messages").reshape(self.shape.num_slots, -1)

    @property
    def cavities(self) -> Int[np.ndarray, "slot other value"]:
        """Log-odds of what another variable of the factor in a slot last told this factor."""
        return self._block("cavities").reshape(*self._ties, -1)

    def embedding(self) -> Float[np.ndarray, "input_feature feature"]:
        """Return the map from a row of the input to the stream.

        Everything is copied, and evidence becomes log-odds.

        Returns:
            A matrix of zeros, ones and minus ones.
        """
        matrix = np.zeros((self.shape.num_features, self.width))
        for name in ("start", "own", "address", "back", "table"):
            matrix[_numbers(self.shape.block(name)), self._block(name)] = 1.0
        first, *others = _numbers(self.shape.block("evidence"))
        matrix[others, self.evidence] = 1.0
        matrix[first, self.evidence] = -1.0
        return matrix

    def read_out(self) -> Float[np.ndarray, "feature value"]:
        """Return the map from the stream to a belief's log-odds: evidence and all messages.

        Returns:
            A matrix of zeros and ones, whose first column is zero.
        """
        matrix = np.zeros((self.width, self.shape.num_values))
        for features in [self.evidence, *self.messages]:
            matrix[features, np.arange(1, self.shape.num_values)] = 1.0
        return matrix

    @property
    def _ties(self) -> tuple[int, int]:
        return self.shape.num_slots, self.shape.num_others

    def _block(self, name: str) -> Int[np.ndarray, " feature"]:
        sizes = self.block_sizes
        end = dict(zip(sizes, accumulate(sizes.values()), strict=True))[name]
        return np.arange(end - sizes[name], end)


def _numbers(block: slice) -> Int[np.ndarray, " feature"]:
    return np.arange(block.start, block.stop)
