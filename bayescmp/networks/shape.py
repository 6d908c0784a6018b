"""What a generative model fixes about any network that answers it."""

from dataclasses import dataclass

from bayescmp.generative import AbstractGenerativeModel


@dataclass(frozen=True)
class TaskShape:
    """The sizes of a network's inputs and answers, which its model fixes.

    Example:
        >>> from bayescmp.networks import TaskShape
        >>> TaskShape.of(bc.models.Bijection(size=4)).num_outcomes
        4
    """

    input_size: int
    """Size of the vocabulary, or of an input vector."""
    num_outcomes: int
    """Number of values that the asked site can take."""
    max_length: int
    """Number of input positions of a sequence."""
    outcome_token: int | None = None
    """Token of the first outcome; None where outcomes are never shown as tokens."""
    edges: tuple[float, ...] = ()
    """Where the bins of a continuous outcome meet; empty for a discrete one."""
    shows_all_first: bool = False
    """Whether all inputs stand there before the first question, so that a network may look at
    all of them for each answer."""

    @staticmethod
    def of(model: AbstractGenerativeModel) -> "TaskShape":
        """Read the shape off a model.

        Args:
            model: Generative model.

        Returns:
            Its shape.
        """
        layout = model.layout
        return TaskShape(
            input_size=layout.input_size,
            num_outcomes=layout.num_outcomes,
            max_length=layout.input_length,
            outcome_token=layout.outcome_token,
            edges=tuple(layout.edges),
            shows_all_first=layout.shows_all_first,
        )
