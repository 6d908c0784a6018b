"""How fast are the exact filters, against dynamax and against the clock? See README.md."""

import statistics
import sys
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from bayescmp.exact.chains.filtering import forward_filter
from bayescmp.exact.chains.labelled_chain import labelled_filter
from bayescmp.exact.chains.parallel_filtering import parallel_filter
from bayescmp.models.computational_mechanics import Mess3

try:
    from dynamax.hidden_markov_model import (  # pyright: ignore[reportMissingImports]
        hmm_filter,
        parallel_hmm_filter,
    )
except ImportError as error:
    sys.exit(f"{error}: install dynamax beside bayescmp (uv pip install dynamax), then try again")

ROUNDS = 9
NUM_SEQUENCES, LENGTH, NUM_STATES = 4_096, 200, 16
NUM_LONG = 16
"""Sequences for the parallel filters, whose work is 16 times as large."""
GOAL_RATIO, GOAL_SECONDS = 1.0, 2.0


def time_calls(calls: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median seconds of each call, in turns, after one for compilation."""
    for call in calls.values():
        jax.block_until_ready(call())
    rounds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            start = time.perf_counter()
            jax.block_until_ready(call())
            rounds[name].append(time.perf_counter() - start)
    return {name: statistics.median(seconds) for name, seconds in rounds.items()}


def compare_filters() -> float:
    """Time the filters of one chain on a batch, and return ours as a share of dynamax's."""
    rng = np.random.default_rng(0)
    transition = jnp.asarray(rng.dirichlet(np.ones(NUM_STATES), size=NUM_STATES), jnp.float32)
    initial = jnp.full(NUM_STATES, 1.0 / NUM_STATES, jnp.float32)
    seen = jnp.asarray(2.0 * rng.normal(size=(NUM_SEQUENCES, LENGTH, NUM_STATES)), jnp.float32)
    logs = jnp.log(initial), jnp.log(transition)
    ours = jax.jit(jax.vmap(lambda x: forward_filter(*logs, x)))
    ours_parallel = jax.jit(jax.vmap(lambda x: parallel_filter(*logs, x)))
    theirs = jax.jit(jax.vmap(lambda x: hmm_filter(initial, transition, x)))
    theirs_parallel = jax.jit(jax.vmap(lambda x: parallel_hmm_filter(initial, transition, x)))
    log_law, log_evidence = ours(seen)
    expected = theirs(seen)
    print(
        f"largest difference: {np.abs(np.exp(log_law) - expected.filtered_probs).max():.1e} in "
        f"probabilities, {np.abs(log_evidence[:, -1] - expected.marginal_loglik).max():.1e} nats "
        f"of {np.abs(expected.marginal_loglik).max():.0f}"
    )
    few = seen[:NUM_LONG]
    seconds = time_calls(
        {
            "forward_filter": lambda: ours(seen),
            "dynamax hmm_filter": lambda: theirs(seen),
            f"parallel_filter, {NUM_LONG} sequences": lambda: ours_parallel(few),
            f"dynamax parallel_hmm_filter, {NUM_LONG} sequences": lambda: theirs_parallel(few),
        }
    )
    for name, value in seconds.items():
        print(f"{name:<48} {value:7.4f} s")
    return seconds["forward_filter"] / seconds["dynamax hmm_filter"]


def time_mess3() -> float:
    """Return the seconds for predictives and beliefs of all strings of ten tokens of Mess3."""
    model = Mess3(length=10)
    engine = model.closed_form()
    tables = jnp.log(jnp.array(engine.initial)), jnp.log(jnp.array(engine.labelled))
    strings = jnp.asarray(np.indices((3,) * model.length).reshape(model.length, -1).T)
    answer = jax.jit(jax.vmap(lambda string: labelled_filter(*tables, string)))
    name = f"all {len(strings):,} strings of Mess3"
    seconds = time_calls({name: lambda: answer(strings)})[name]
    print(f"{name:<48} {seconds:7.4f} s")
    return seconds


def main() -> int:
    """Print both figures and whether their goals are met."""
    ratio, seconds = compare_filters(), time_mess3()
    met = ratio <= GOAL_RATIO, seconds <= GOAL_SECONDS
    words = ["met" if goal else "missed" for goal in met]
    print(f"{ratio:.2f} times the time of dynamax; goal {GOAL_RATIO}: {words[0]}")
    print(f"{seconds:.2f} s for Mess3; goal {GOAL_SECONDS} s: {words[1]}")
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
