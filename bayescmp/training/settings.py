"""What a user can set about a training run."""

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from bayescmp.oracle import AbstractOracle
from bayescmp.training.curriculum import Curriculum
from bayescmp.training.objectives import ObjectiveName
from bayescmp.training.optimisers import Muon, Optimiser
from bayescmp.training.places import RandomPlaces
from bayescmp.training.precision import PrecisionName

_COUNTS = (
    "num_steps",
    "batch_size",
    "accumulate",
    "chunk_size",
    "checkpoint_every",
    "horizon",
    "seeds_at_once",
    "num_devices",
)
"""Settings that are whole numbers of at least one, where they are set at all."""


@dataclass(frozen=True)
class Training:
    """How a network is trained.

    Example:
        >>> training = bc.Training(num_steps=400, batch_size=32, horizon=10, average=0.99)
        >>> training.optimiser.learning_rate, training.objective
        (0.01, 'auto')
    """

    num_steps: int = 2_000
    """Steps of the optimiser, each on sequences of its own."""
    batch_size: int = 64
    """Sequences in a step."""
    optimiser: Optimiser = field(default_factory=Muon)
    """How a gradient becomes a step."""
    objective: Literal["auto", "rao_blackwell", "sampled"] = "auto"
    """``auto`` is ``rao_blackwell`` where there is an oracle that can be compiled."""
    horizon: int | None = None
    """Only the first so many questions of a sequence are trained on; None takes all."""
    position_weights: tuple[float, ...] | None = None
    """How much each question counts in the mean loss, one number for each question (below
    the horizon, if there is one); zero leaves it out. None weighs all alike."""
    curriculum: Curriculum | None = None
    """How the number of questions that are trained on grows, up to the horizon or to all of
    them; None asks as many at each step."""
    places: RandomPlaces | None = None
    """Where inputs stand for the network's positions, in training only; None puts one after
    the other."""
    accumulate: int = 1
    """Parts into which a batch is cut, one after the other, to need less memory. The step
    is the same up to rounding."""
    precision: PrecisionName = "auto"
    """``mixed`` computes the network in bfloat16, and keeps weights, loss and optimiser in
    float32; ``float32`` leaves every type as it is. ``auto`` is ``mixed`` on an accelerator."""
    average: float | None = None
    """Decay of a moving average of the weights at each step, between 0 and 1, which
    ``Fit.averaged`` holds; None keeps none."""
    stop_below: float | None = None
    """A seed stops early once its excess, averaged over the last chunk, is below this many
    nats; None goes on to the end. Needs an oracle."""
    seeds_at_once: int | None = None
    """How many seeds of a comparison are trained as one batch; None takes all of them."""
    num_devices: int | None = None
    """Devices to use, exactly; None takes as many as can share the work evenly."""
    chunk_size: int = 50
    """Steps in one call of the compiled loop; progress is shown between calls."""
    checkpoint_every: int = 250
    """Steps between checkpoints; rounded up to whole chunks."""
    num_snapshots: int = 0
    """Checkpoints kept for good, at log-spaced steps from the start to the end."""

    def __post_init__(self) -> None:
        """Reject settings out of range, and settings that exclude each other."""
        for name in _COUNTS:
            count = getattr(self, name)
            if count is not None and count < 1:
                raise ValueError(f"{name}: expected at least 1, got {count}")
        if self.curriculum is not None and self.curriculum.steps > self.num_steps:
            raise ValueError(
                f"curriculum: expected at most num_steps={self.num_steps} steps, got "
                f"{self.curriculum.steps}"
            )
        if self.num_snapshots < 0:
            raise ValueError(f"num_snapshots: expected at least 0, got {self.num_snapshots}")
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"accumulate: expected a number that divides batch_size={self.batch_size}, "
                f"got {self.accumulate}"
            )
        if self.objective not in ("auto", "rao_blackwell", "sampled"):
            raise ValueError(
                f"objective: expected 'auto', 'rao_blackwell' or 'sampled', got {self.objective!r}"
            )
        if self.precision not in get_args(PrecisionName):
            raise ValueError(
                f"precision: expected 'auto', 'float32' or 'mixed', got {self.precision!r}"
            )
        if self.average is not None and not 0 < self.average < 1:
            raise ValueError(f"average: expected a decay between 0 and 1, got {self.average}")
        if self.stop_below is not None and not 0 < self.stop_below < math.inf:
            raise ValueError(f"stop_below: expected a positive number, got {self.stop_below}")
        _check_weights(self)


def choose_objective(training: Training, oracle: AbstractOracle | None) -> ObjectiveName:
    """Return the objective that settings ask for.

    Args:
        training: Settings.
        oracle: Oracle of the model, if there is one.

    Returns:
        ``auto`` resolved to one of the two objectives.

    Raises:
        ValueError: If ``rao_blackwell`` or an early stop is asked for without an oracle that
            can be compiled.
    """
    usable = oracle is not None and oracle.certificate.jittable
    got = "none" if oracle is None else f"{oracle.certificate.engine!r}, which cannot"
    if training.stop_below is not None and not usable:
        raise ValueError(
            f"stop_below: expected an oracle that can be compiled, to know the excess, got {got}"
        )
    if training.objective == "auto":
        return "rao_blackwell" if usable else "sampled"
    if training.objective == "rao_blackwell" and not usable:
        raise ValueError(
            f"objective: expected an oracle that can be compiled for 'rao_blackwell', got {got}"
        )
    return training.objective


def question_weights(training: Training, num_questions: int) -> tuple[float, ...] | None:
    """Return how much each question of a sequence counts.

    Args:
        training: Settings.
        num_questions: Questions in a sequence of the model.

    Returns:
        One number for each question; None where all count alike.

    Raises:
        ValueError: If the horizon lies beyond the sequence, or there are more or fewer
            weights than questions.

    Example:
        >>> question_weights(bc.Training(horizon=2), num_questions=4)
        (1.0, 1.0, 0.0, 0.0)
    """
    horizon, weights = training.horizon, training.position_weights
    if horizon is not None and horizon > num_questions:
        raise ValueError(
            f"horizon: expected at most {num_questions}, the questions of a sequence, got {horizon}"
        )
    if horizon is None and weights is None:
        return None
    known = (1.0,) * (horizon or 0) if weights is None else tuple(map(float, weights))
    if horizon is None and len(known) != num_questions:
        raise ValueError(
            f"position_weights: expected {num_questions} numbers, one for each question of a "
            f"sequence, got {len(known)}"
        )
    return known + (0.0,) * (num_questions - len(known))


def first_steps(training: Training, num_questions: int) -> tuple[int, ...] | None:
    """Return the step from which each question of a sequence counts.

    Args:
        training: Settings.
        num_questions: Questions in a sequence of the model.

    Returns:
        One number for each question, whatever it weighs; None where all count from the start.

    Raises:
        ValueError: If the curriculum starts beyond the horizon or the sequence, or with
            questions that weigh nothing.

    Example:
        >>> growing = bc.training.Curriculum(start=2, steps=50)
        >>> first_steps(bc.Training(curriculum=growing), num_questions=4)
        (0, 0, 25, 50)
    """
    if training.curriculum is None:
        return None
    weights, start = question_weights(training, num_questions), training.curriculum.start
    if weights is not None and not any(weights[:start]):
        raise ValueError(
            "curriculum: expected to start with a question of positive weight, got weights "
            f"{weights[:start]} for the first {start}"
        )
    last = training.horizon or num_questions
    return training.curriculum.first_steps(last) + (0,) * (num_questions - last)


def _check_weights(training: Training) -> None:
    """Reject weights of questions that mean nothing, or do not fit the horizon."""
    weights, horizon = training.position_weights, training.horizon
    if weights is None:
        return
    if not isinstance(weights, tuple):
        raise TypeError(f"position_weights: expected a tuple, got {type(weights).__name__}")
    if not all(0 <= weight < math.inf for weight in weights) or not any(weights):
        raise ValueError(
            "position_weights: expected numbers of at least zero, one of them positive, "
            f"got {weights}"
        )
    if horizon is not None and len(weights) != horizon:
        raise ValueError(
            f"position_weights: expected {horizon} numbers, one for each question below "
            f"horizon={horizon}, got {len(weights)}"
        )
