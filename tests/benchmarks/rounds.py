"""What the benchmarks share: arms take turns, and a ratio is judged by its median."""

import statistics
from collections.abc import Callable, Sequence

Arm = Callable[[], float]
"""Do some work once, and return the seconds that a unit of it took."""


def take_turns(arms: Sequence[Arm], num_rounds: int) -> list[tuple[float, ...]]:
    """Run all arms in turn, several times; a first turn, which may compile, is not counted."""
    for arm in arms:
        arm()
    return [tuple(arm() for arm in arms) for _ in range(num_rounds)]


def judge(
    what: str, ratios: Sequence[float], goal: float, *, at_least: bool, unit: str = "times"
) -> bool:
    """Print the median of some ratios beside its goal, and return whether it is met."""
    median = statistics.median(ratios)
    met = median >= goal if at_least else median <= goal
    print(
        f"{what}: {median:.2f} {unit} (rounds from {min(ratios):.2f} to {max(ratios):.2f}); "
        f"goal {'at least' if at_least else 'at most'} {goal:g}: {'met' if met else 'MISSED'}",
        flush=True,
    )
    return met


def milliseconds(seconds: Sequence[float]) -> str:
    """Return the median in milliseconds, with the range."""
    median, low, high = (1e3 * f(seconds) for f in (statistics.median, min, max))
    return f"{median:.2f} ms ({low:.2f} to {high:.2f})"
