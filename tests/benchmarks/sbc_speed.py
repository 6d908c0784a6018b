"""Simulation-based calibration of the coin by NUTS: all replicates in one call, against simuk.

    uv run --with simuk python tests/benchmarks/sbc_speed.py

Both sides run the no-U-turn sampler of NumPyro on the posterior of a coin's bias after 31 tosses:
four chains with 250 steps of warm-up and 250 draws each. Ours runs 1,000 replicates in one call,
compilation, thinning, ranks and ties included, in a fresh process each round. simuk compiles and
runs one replicate after another, so that a few tell what 1,000 cost: what eight take more than
two, divided by six and times 1,000. It ranks the first chain alone; ours ranks all four.
"""

import argparse
import statistics
import subprocess
import sys
import time
import warnings

GOAL = 50.0
REPLICATES, LENGTH = 1_000, 32
CHAINS, WARMUP, DRAWS = 4, 250, 250
FEW, MORE = 2, 8


def time_ours() -> float:
    """Return the seconds of one call."""
    import jax

    import bayescmp as bc
    from bayescmp.montecarlo.nuts import NutsSettings

    oracle = bc.derive_oracle(bc.models.beta_bernoulli(length=LENGTH))
    settings = NutsSettings(num_chains=CHAINS, num_warmup=WARMUP, num_draws=DRAWS)
    start = time.perf_counter()
    found = bc.auditing.simulate_calibration(
        settings,
        oracle,
        key=jax.random.key(0),
        num_replicates=REPLICATES,
        quantities=("value",),
    )
    seconds = time.perf_counter() - start
    print(f"# p = {found.p_value:.3f}, 1 of {found.thinning} draws kept", file=sys.stderr)
    return seconds


def time_simuk() -> float:
    """Return the seconds that 1,000 replicates would take."""
    try:
        import simuk
    except ImportError as error:
        sys.exit(f"no simuk in {sys.executable}: {error}")
    import numpy as np
    import numpyro
    import numpyro.distributions as dist
    from numpyro.infer import NUTS

    def coin(token: object = None) -> None:
        bias = numpyro.sample("bias", dist.Beta(1.0, 1.0))
        with numpyro.plate("position", LENGTH - 1):
            numpyro.sample("token", dist.Bernoulli(bias), obs=token)

    sample = {
        "num_chains": CHAINS,
        "num_warmup": WARMUP,
        "num_samples": DRAWS,
        "chain_method": "sequential",  # its kernel, used again, fails with "vectorized"
        "progress_bar": False,
    }

    def run(number: int) -> float:
        check = simuk.SBC(
            NUTS(coin),
            sample_kwargs=dict(sample),
            num_simulations=number,
            data_dir={"token": np.zeros(LENGTH - 1, int)},
            seed=0,
            progress_bar=False,
        )
        start = time.perf_counter()
        check.run_simulations()
        return time.perf_counter() - start

    few = run(FEW)
    return (run(MORE) - few) / (MORE - FEW) * REPLICATES


def measure(side: str) -> float:
    """Time one side in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--side", side], check=True, capture_output=True, text=True
    )
    print("".join(f"{line}\n" for line in done.stderr.splitlines() if line.startswith("#")), end="")
    return float(done.stdout.split()[-1])


def main() -> None:
    """Alternate between both sides."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=("ours", "simuk"))
    arguments = parser.parse_args()
    if arguments.side:
        warnings.filterwarnings("ignore")
        print(time_ours() if arguments.side == "ours" else time_simuk())
        return
    rounds = []
    for number in range(arguments.rounds):
        ours, simuk = measure("ours"), measure("simuk")
        rounds.append(simuk / ours)
        print(f"round {number + 1}: {ours:.1f} s against {simuk:,.0f} s, {rounds[-1]:.0f} times")
    ratio = statistics.median(rounds)
    met = ratio >= GOAL
    print(f"median {ratio:.0f} times as fast; goal {GOAL:.0f}: {'met' if met else 'not met'}")
    sys.exit(not met)


if __name__ == "__main__":
    main()
