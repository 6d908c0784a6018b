"""How often does each diagnostic of calibration fire, with and without something to find?

Each file of ``diagnostics/`` simulates its tests on one common process (``process.py``): with an
exact predictor, where a test at 5 % may fire as often as 5 % explains (inside the 99 % binomial
interval), and with each stated defect that it can see, where it should fire in 90 %. Prints the
table of docs/calibration.md.
"""

import argparse
import importlib
import sys
import time
from pathlib import Path

import numpy as np
import scipy.stats

sys.path.insert(0, str(Path(__file__).parent / "diagnostics"))

from process import DEFECTS

LEVEL = 0.05
POWER = 0.9
FILES = (
    "pit",
    "reliability",
    "coverage",
    "local_calibration",
    "local_c2st",
    "uncertainty",
    "exchangeability",
    "sbc",
)


def measure(name: str, defect: str, num: int, seed: int) -> dict[str, tuple[int, float]]:
    """Return each diagnostic's number of sequences and how often it fired.

    Args:
        name: File of ``diagnostics/``.
        defect: What is wrong with the predictor; "none" for nothing.
        num: Simulations.
        seed: Seed of all of them.
    """
    module, rates = importlib.import_module(name), {}
    for size in sorted(set(module.NUM_SEQUENCES.values())):
        wanted = [
            test
            for test, needed in module.NUM_SEQUENCES.items()
            if needed == size and (defect == "none" or defect in module.SEES[test])
        ]
        if wanted:
            found = module.p_values(defect, size, num, seed)
            rates |= {test: (size, float(np.mean(found[test] <= LEVEL))) for test in wanted}
    return rates


def report(name: str, args: argparse.Namespace) -> bool:
    """Print the rows of one file, and tell whether a goal was missed."""
    start = time.perf_counter()
    sizes = measure(name, "none", args.null, 0)
    powers = {d: measure(name, d, args.power, 1) for d in DEFECTS[1:]}
    low, high = scipy.stats.binom.interval(0.99, args.null, LEVEL) / np.float64(args.null)
    missed = False
    for test, (num, rate) in sizes.items():
        cells = [f"{powers[d][test][1]:.0%}" if test in powers[d] else "" for d in DEFECTS[1:]]
        missed |= not low <= rate <= high
        missed |= any(test in found and found[test][1] < POWER for found in powers.values())
        print(f"| {test} | {num:,} | {rate:.1%} | {' | '.join(cells)} |", flush=True)
    print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    return missed


def main() -> int:
    """Print one row for each diagnostic."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--null", type=int, default=1_000, help="simulations without a defect")
    parser.add_argument("--power", type=int, default=200, help="simulations of each defect")
    parser.add_argument("--only", nargs="*", choices=FILES, default=FILES)
    args = parser.parse_args()
    low, high = scipy.stats.binom.interval(0.99, args.null, LEVEL) / np.float64(args.null)
    print(f"goal without a defect: {low:.1%} to {high:.1%}; with one: at least {POWER:.0%}\n")
    print(f"| test | sequences | no defect | {' | '.join(DEFECTS[1:])} |")
    print("|---" * (len(DEFECTS) + 2) + "|")
    missed = [name for name in args.only if report(name, args)]
    print("\ngoals:", f"missed in {', '.join(missed)}" if missed else "met")
    return int(bool(missed))


if __name__ == "__main__":
    raise SystemExit(main())
