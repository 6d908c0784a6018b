"""How fast is a training step, against PyTorch eager on the same cores? See README.md."""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bayescmp as bc

bc.use_all_cores()

import jax  # noqa: E402

from bayescmp.models import Bijection  # noqa: E402

GOAL = 1.3
Seconds = tuple[float, float]
"""Wall and processor time of one step."""


@contextmanager
def torch_process(python: str) -> Iterator[tuple[subprocess.Popen[str], dict] | str]:
    """Start the PyTorch half and yield it with what it says of itself, or why it is absent."""
    script = Path(__file__).with_name("torch_step.py")
    try:
        process = subprocess.Popen(
            [python, "-u", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    except OSError as error:
        yield f"{python} does not start: {error.strerror}"
        return
    assert process.stdin
    assert process.stdout
    assert process.stderr
    about = process.stdout.readline()
    if about:
        yield process, json.loads(about)
    else:
        yield process.stderr.read().strip()
    process.stdin.close()
    process.wait()
    process.stdout.close()
    process.stderr.close()


def time_torch(process: subprocess.Popen[str], num_steps: int) -> Seconds:
    """Let the other process make some steps."""
    assert process.stdin
    assert process.stdout
    process.stdin.write(f"{num_steps}\n")
    process.stdin.flush()
    wall, processor = json.loads(process.stdout.readline())
    return wall / num_steps, processor / num_steps


class Ours:
    """Our half: the default network, batch and objective, with AdamW."""

    def __init__(self, num_steps: int) -> None:
        self.model = Bijection(20)
        self.oracle = bc.derive_oracle(self.model)
        self.network = bc.Transformer.for_model(self.model, key=jax.random.key(0))
        self.training = bc.Training(
            num_steps=num_steps, chunk_size=num_steps, optimiser=bc.AdamW(learning_rate=1e-3)
        )

    def fit(self) -> bc.Fit:
        """Train; after the first time, nothing is compiled."""
        return bc.fit(
            self.network,
            self.model,
            self.oracle,
            key=jax.random.key(1),
            training=self.training,
            progress=False,
        )

    def time(self) -> Seconds:
        """Train once; the processor time includes setting the run up and taking it down."""
        processor = time.process_time()
        seconds = self.fit().seconds
        processor = time.process_time() - processor
        return seconds / self.training.num_steps, processor / self.training.num_steps


def describe(name: str, rounds: list[Seconds]) -> None:
    wall, processor = (statistics.median(part) for part in zip(*rounds, strict=True))
    low, high = min(rounds)[0], max(rounds)[0]
    print(
        f"{name:<10} {1e3 * wall:7.2f} ms a step (from {1e3 * low:.2f} to {1e3 * high:.2f}), "
        f"{1e3 * processor:7.2f} ms of processor time"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torch-python", default=sys.executable, metavar="PATH")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=40, help="steps in a round")
    options = parser.parse_args()
    ours = Ours(options.steps)
    first = ours.fit()
    print(f"jax {jax.__version__}, {first.num_devices} devices, {first.num_parameters} parameters")
    with torch_process(options.torch_python) as other:
        if isinstance(other, str):
            describe("bayescmp", [ours.time() for _ in range(options.rounds)])
            print(f"skipped the comparison: {other}")
            return 0
        process, about = other
        print(json.dumps(about))
        assert about["parameters"] == first.num_parameters
        assert about["tokens"] == first.tokens_per_step
        time_torch(process, 10)
        rounds = [(ours.time(), time_torch(process, options.steps)) for _ in range(options.rounds)]
    describe("bayescmp", [mine for mine, _ in rounds])
    describe("PyTorch", [theirs for _, theirs in rounds])
    ratios = [theirs[0] / mine[0] for mine, theirs in rounds]
    ratio = statistics.median(ratios)
    saved = statistics.median(theirs[1] / mine[1] for mine, theirs in rounds)
    verdict = "met" if ratio >= GOAL else "missed"
    # A busy machine slows PyTorch's threads down more than XLA's; processor time tells.
    print(f"{saved:.2f} times the processor time is used by PyTorch")
    print(
        f"{ratio:.2f} times as fast (rounds from {min(ratios):.2f} to {max(ratios):.2f}); "
        f"goal {GOAL}: {verdict}"
    )
    return 0 if ratio >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
