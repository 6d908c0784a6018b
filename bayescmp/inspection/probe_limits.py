"""What a reader of probes has to know of their rows and features, in words."""

from collections.abc import Sequence

import numpy as np

from bayescmp.inspection.probe_places import MOST_FEATURES, stream_features
from bayescmp.inspection.probe_results import ALL_PLACES, ProbeResult
from bayescmp.inspection.probe_scores import Examples
from bayescmp.inspection.recording import Recording


def say_how_judged(examples: Examples) -> str:
    """Say on which rows read-outs were fitted and judged.

    Args:
        examples: Targets, and which rows are for what.

    Returns:
        One sentence.
    """
    if examples.validate is None:
        return (
            "Every sequence that can happen is weighted by its exact probability; read-outs are "
            "fitted to and judged on all of them, with the smallest penalty."
        )
    num = len(np.unique(examples.sequences[examples.judge]))
    return (
        "Fitted on one half of the drawn sequences, where a quarter of them chooses the penalty, "
        f"and judged on the {num:,} others."
    )


def find_limits(
    recording: Recording, examples: Examples, results: Sequence[ProbeResult], rival: str
) -> tuple[str, ...]:
    """Say what limits the figures of probes.

    Args:
        recording: A network on held-out sequences.
        examples: Targets, and which rows are for what.
        results: Every target at every place.
        rival: Name of the rival with another prior; empty where there is none.

    Returns:
        Sentences; none where nothing does.
    """
    first = [result for result in results if result.target == results[0].target]
    num_rows = _count_rows(recording, examples)
    crowded = [r.place for r in first if r.num_features >= num_rows]
    short = [f"{r.place} {r.rank} of {r.num_features}" for r in first if r.rank < r.num_features]
    limits = []
    if crowded:
        limits.append(
            f"Fewer different rows to fit to ({num_rows:,}) than features at {', '.join(crowded)}: "
            "only the penalty holds these read-outs back, and the controls say how much that is."
        )
    if short:
        limits.append(f"Rank-deficient, read through the pseudo-inverse: {', '.join(short)}.")
    if results[-1].place != ALL_PLACES:
        limits.append(f"Not read from all places together: more than {MOST_FEATURES:,} features.")
    if not rival:
        limits.append("No rival with another prior: that control is absent.")
    return tuple(limits)


def _count_rows(recording: Recording, examples: Examples) -> int:
    """Count the different rows that read-outs are fitted to.

    Rows of sequences that begin alike are equal but for rounding, which a random combination of
    the features, cut off at six digits, does not see.
    """
    rows = stream_features(recording).rows[: examples.num_fitted]
    mixed = rows @ np.random.default_rng(0).normal(size=rows.shape[1])
    size = float(np.abs(mixed).max(initial=0.0))
    return len(np.unique(np.round(mixed / size, 6))) if size > 0.0 else 1
