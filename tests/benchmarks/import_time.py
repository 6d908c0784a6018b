"""What does ``import bayescmp`` cost, against JAX, Equinox and Optax? See README.md."""

import os
import statistics
import subprocess
import sys
import time

GOAL = 1.5
ROUNDS = 7
CODE = {
    "import nothing": "pass",
    "import jax, equinox, optax": "import jax, equinox, optax",
    "import bayescmp": "import bayescmp",
    "and use what training needs": (
        "import bayescmp as bc; bc.Transformer, bc.AdamW, bc.derive_oracle, bc.fit"
    ),
    "and use everything public": "from bayescmp import *",
}


def time_import(code: str) -> tuple[float, float]:
    """Return wall and processor seconds of a fresh interpreter that runs some code."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{code!r} exits with status {process.returncode}")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime


def main() -> int:
    for code in CODE.values():  # files into the page cache, bytecode onto the disk
        time_import(code)
    rounds = [{name: time_import(code) for name, code in CODE.items()} for _ in range(ROUNDS)]
    wall = {name: statistics.median(row[name][0] for row in rounds) for name in CODE}
    processor = {name: statistics.median(row[name][1] for row in rounds) for name in CODE}
    for name in CODE:
        print(f"{name:<28} {wall[name]:6.3f} s, {processor[name]:6.3f} s of processor time")
    ratio = processor["import bayescmp"] / processor["import jax, equinox, optax"]
    verdict = "met" if ratio <= GOAL else "missed"
    print(f"{ratio:.2f} times the processor time; goal {GOAL}: {verdict}")
    return 0 if ratio <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
