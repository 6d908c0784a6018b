"""Which sites of a program are shown, and which one is asked."""

from dataclasses import dataclass

from bayescmp.row_coder import RowCoder


@dataclass(frozen=True)
class Questions:
    """Names of the sites that are shown and of the one that is asked."""

    outcome: str
    """Site that is asked, one element at each step."""
    given: tuple[str, ...] = ()
    """Sites shown whole in the prompt; everything is conditioned on them."""
    query: tuple[str, ...] = ()
    """Sites shown at each step before the question."""
    reveal: bool = True
    """Whether the answer is shown before the next step."""
    edges: tuple[float, ...] = ()
    """Inner edges of the bins of a continuous outcome; bin ``k`` ends with ``edges[k]``."""
    rows: RowCoder | None = None
    """How the given sites are written as rows, where each question is answered in its own."""
