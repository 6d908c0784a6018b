"""How fast is a training step? Against PyTorch, the machine's matrix products, itself.

See README.md for what is compared and how a figure was reached.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import bayescmp as bc

bc.use_all_cores()

import equinox as eqx  # noqa: E402
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
from rounds import judge, milliseconds, take_turns  # noqa: E402
from sizes import SIZES, Size  # noqa: E402

from bayescmp.models import Bijection  # noqa: E402
from bayescmp.networks import TaskShape  # noqa: E402
from bayescmp.training.costs.operations import transformer_flops  # noqa: E402

MODEL = Bijection(20)
EAGER_GOAL, COMPILE_GOAL, RATE_GOAL = 1.5, 1.2, 0.6
SEEDS_GOAL, DEVICES_GOAL, TRACE_GOAL = 3.2, 1.7, 1.4
ON_GPU = jax.default_backend() == "gpu"
SECTIONS = ("eager", "compile", "rate", "seeds", "devices", "trace")


class Ours:
    """Training of one size from the NumPyro program, oracle and history included."""

    def __init__(self, size: Size, num_steps: int, *, num_seeds: int = 1, **options) -> None:
        fields = asdict(size)
        batch_size = fields.pop("batch_size")
        self.config = bc.TransformerConfig(**fields)
        self.oracle = bc.derive_oracle(MODEL)
        self.networks = [
            bc.Transformer.for_model(MODEL, self.config, key=jax.random.key(seed))
            for seed in range(num_seeds)
        ]
        self.training = bc.Training(
            num_steps=num_steps,
            chunk_size=num_steps,
            batch_size=batch_size,
            optimiser=bc.AdamW(learning_rate=1e-3),
            **options,
        )

    def __call__(self) -> float:
        """Train all seeds once; after the first time nothing is compiled."""
        keys = [jax.random.key(100 + seed) for seed in range(len(self.networks))]
        fits = bc.fit_seeds(
            self.networks, MODEL, self.oracle, keys=keys, training=self.training, progress=False
        )
        # Seeds that are trained together share their time.
        return sum(fit.seconds for fit in fits) / self.training.num_steps


@contextmanager
def torch_process(python: str, size: str, mode: str) -> Iterator[subprocess.Popen[str] | str]:
    """Start the PyTorch half and yield it, or why it is absent."""
    script = Path(__file__).with_name("torch_step.py")
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    try:
        command = [python, "-u", script, size, mode, "cuda" if ON_GPU else "cpu"]
        process = subprocess.Popen(command, text=True, **pipes)
    except OSError as error:
        yield f"{python} does not start: {error.strerror}"
        return
    assert process.stdin
    assert process.stdout
    assert process.stderr
    about = process.stdout.readline()
    print(about.strip())
    yield process if about else process.stderr.read().strip()
    process.stdin.close()
    process.wait()


def against_torch(python: str, mode: str, goal: float, options: argparse.Namespace) -> bool:
    """Compare all sizes with PyTorch, eager or compiled."""
    met = True
    for name, size in SIZES.items():
        num_steps = max(round(options.steps * 0.15 / float(name.split()[0])), 4)
        ours = Ours(size, num_steps)
        with torch_process(python, name, mode) as other:
            if isinstance(other, str):
                print(f"skipped the comparison: {other}")
                return met

            def theirs(process=other, num_steps=num_steps) -> float:
                assert process.stdin
                assert process.stdout
                process.stdin.write(f"{num_steps}\n")
                process.stdin.flush()
                return json.loads(process.stdout.readline())[0] / num_steps

            rounds = take_turns([ours, theirs], options.rounds)
        mine, other_times = zip(*rounds, strict=True)
        print(f"  {name}: ours {milliseconds(mine)}, PyTorch {milliseconds(other_times)}")
        ratios = [b / a for a, b in rounds]
        met &= judge(f"  {name} against PyTorch {mode}, as fast", ratios, goal, at_least=True)
    return met


def matrix_rate() -> float:
    """Return the seconds of an operation in a large matrix product of the training's type."""
    size, dtype = (8192, jnp.bfloat16) if ON_GPU else (1536, jnp.float32)
    left = jax.random.normal(jax.random.key(0), (size, size), dtype).block_until_ready()
    begin = time.perf_counter()
    _product(left).block_until_ready()
    return (time.perf_counter() - begin) / (2 * size**3)


@jax.jit
def _product(x: jax.Array) -> jax.Array:
    return x @ x


def share_of_rate(options: argparse.Namespace) -> bool:
    """Compare a step at 0.7 M parameters with the machine's own matrix products."""
    ours = Ours(SIZES["0.7 M"], max(options.steps // 4, 4))
    batch_size = ours.training.batch_size
    operations = transformer_flops(ours.config, TaskShape.of(MODEL), batch_size)
    rounds = take_turns([ours, matrix_rate], options.rounds)
    gigaflops = statistics.median(1e-9 / unit for _, unit in rounds)
    print(f"  {1e-9 * operations:.2f} GFLOP a step; matrix products reach {gigaflops:.0f} GFLOP/s")
    shares = [operations * unit / step for step, unit in rounds]
    return judge("  share of that rate", shares, RATE_GOAL, at_least=True)


def seeds_at_once(options: argparse.Namespace) -> bool:
    """Compare four seeds in one program with one seed."""
    small = SIZES["0.15 M"]
    arms = [Ours(small, options.steps, num_seeds=4), Ours(small, options.steps)]
    ratios = [four / one for four, one in take_turns(arms, options.rounds)]
    return judge("  four seeds against one", ratios, SEEDS_GOAL, at_least=False)


def two_devices(options: argparse.Namespace) -> bool:
    """Compare data parallel training on two host devices with one."""
    if jax.local_device_count() < 2:
        print("skipped: one device")
        return True
    small = SIZES["0.15 M"]
    arms = [Ours(small, options.steps, num_devices=count) for count in (2, 1)]
    ratios = [one / two for two, one in take_turns(arms, options.rounds)]
    return judge("  two devices against one, as fast", ratios, DEVICES_GOAL, at_least=True)


def trace_cost(options: argparse.Namespace) -> bool:
    """Compare a trace of every layer with a plain forward pass."""
    network = Ours(SIZES["0.15 M"], 1).networks[0]
    inputs = MODEL.sample(256, key=jax.random.key(0)).inputs
    trace = eqx.filter_jit(lambda network, inputs: network.trace_layers(inputs))
    plain = eqx.filter_jit(lambda network, inputs: network(inputs))

    def arm(function) -> float:
        begin = time.perf_counter()
        for _ in range(10):
            jax.block_until_ready(function(network, inputs))
        return (time.perf_counter() - begin) / 10

    rounds = take_turns([lambda: arm(trace), lambda: arm(plain)], options.rounds)
    ratios = [traced / bare for traced, bare in rounds]
    return judge("  trace against forward pass", ratios, TRACE_GOAL, at_least=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torch-python", default=sys.executable, metavar="PATH")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=40, help="steps in a round, smallest network")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS)
    options = parser.parse_args()
    sections = {
        "eager": lambda: against_torch(options.torch_python, "eager", EAGER_GOAL, options),
        "compile": lambda: against_torch(options.torch_python, "compile", COMPILE_GOAL, options),
        "rate": lambda: share_of_rate(options),
        "seeds": lambda: seeds_at_once(options),
        "devices": lambda: two_devices(options),
        "trace": lambda: trace_cost(options),
    }
    print(f"jax {jax.__version__}, {jax.local_device_count()} devices", flush=True)
    results = []
    for name in options.only:
        print(f"{name}:", flush=True)
        results.append(sections[name]())
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
