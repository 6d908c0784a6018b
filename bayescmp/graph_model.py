"""Models whose task is a factor graph: the marginal of every variable, given all evidence."""

import abc

from jaxtyping import Array

from bayescmp.exact.graphs.graph_rows import GraphRows
from bayescmp.exact.graphs.graph_shape import GraphShape
from bayescmp.generative import AbstractGenerativeModel


class AbstractGraphModel(AbstractGenerativeModel):
    """Factor graphs with evidence, each shown whole; asked is every variable that is not seen.

    The question about a variable is answered at its row, and the inputs are rows of
    :class:`bayescmp.exact.graphs.graph_rows.GraphRows`, or their blocks of evidence alone.
    """

    @property
    @abc.abstractmethod
    def graph_shape(self) -> GraphShape:
        """Bounds that the graphs of all sequences keep."""

    @property
    @abc.abstractmethod
    def num_rounds(self) -> int:
        """Rounds of messages after which every variable has heard of all factors: the diameter."""

    @property
    @abc.abstractmethod
    def is_tree(self) -> bool:
        """Whether no sequence has a graph with a loop, so that messages end up exact."""

    @abc.abstractmethod
    def rows(self, sites: dict[str, Array]) -> GraphRows:
        """Return the graph, the tables and the evidence of one example.

        Args:
            sites: Values of the given sites, by name, as ``engine_sites`` has them; under
                ``jax.vmap`` those of a batch.

        Returns:
            The rows, in the order of the questions.
        """
