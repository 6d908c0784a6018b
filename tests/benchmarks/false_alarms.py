"""How often does an instrument name a place in networks with nothing inside?

Each instrument looks into networks that nobody trained, and into networks that ignore their
context, and reports what stands out at 5 %. Goal: a rate that 5 % explains.
"""

import argparse
import sys
import time
from pathlib import Path

import jax
import scipy.stats

sys.path.insert(0, str(Path(__file__).parent.parent))

import planted

import bayescmp as bc
from bayescmp.inspection.examine import INSTRUMENTS
from bayescmp.inspection.recording import record

LEVEL = 0.05
NAMES = ("lenses", "probes", "geometry", "interventions")
KINDS = {"random": planted.random_network, "deaf": planted.deaf_network}


def count_alarms(name: str, kind: str, draws: int) -> int:
    """Count the networks of a kind in which an instrument names anything."""
    oracle, alarms = bc.derive_oracle(planted.MODEL), 0
    for draw in range(draws):
        seen = record(KINDS[kind](1_000 + draw), oracle, key=jax.random.key(0))
        alarms += bool(INSTRUMENTS[name].measure(seen, key=jax.random.key(draw)).effects(LEVEL))
    return alarms


def main() -> int:
    """Print one line for each instrument and kind of network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--only", nargs="*", choices=NAMES, default=NAMES)
    args = parser.parse_args()
    failed = False
    for name in args.only:
        for kind in KINDS:
            start = time.perf_counter()
            alarms = count_alarms(name, kind, args.draws)
            p = scipy.stats.binomtest(alarms, args.draws, LEVEL, alternative="greater").pvalue
            failed |= p < 0.001
            seconds = time.perf_counter() - start
            rate = f"{alarms} of {args.draws} = {alarms / args.draws:.1%}"
            print(f"{name:<14} {kind:<7} {rate:<18} p = {p:.3f}  {seconds:.0f} s", flush=True)
    print("goal, a rate that 5 % explains:", "missed" if failed else "met")
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
