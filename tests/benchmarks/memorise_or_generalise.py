"""From how many tasks on does a network learn the prior they come from, and not the tasks?

    uv run python tests/benchmarks/memorise_or_generalise.py

Markov chains with uniform rows. Networks are trained on pools of a few chains, and
asked about chains that are fresh: do they answer as Bayes over the pool does, or as Bayes under the
prior that the pool was drawn from? No goal; the table is what it is.
"""

import argparse
import time

import jax

import bayescmp as bc

CONFIG = bc.TransformerConfig(num_layers=2, num_heads=4, model_size=32, mlp_size=64)


def main() -> None:
    """Print one line for each size of a pool, and the size at which networks change over."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--states", type=int, default=4)
    parser.add_argument("--length", type=int, default=32)
    parser.add_argument("--sizes", type=int, nargs="*", default=[4, 16, 64, 256, 1_024, 4_096])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2_000)
    arguments = parser.parse_args()
    chains = {"num_states": arguments.states, "length": arguments.length}
    start = time.perf_counter()
    sweep = bc.auditing.sweep_pools(
        lambda num: bc.models.chain_pool(num, **chains),
        bc.derive_oracle(bc.models.markov_chain(**chains)),
        CONFIG,
        arguments.sizes,
        training=bc.Training(num_steps=arguments.steps, optimiser=bc.Muon(learning_rate=2e-2)),
        num_seeds=arguments.seeds,
        key=jax.random.key(0),
    )
    print("tasks  KL from Bayes over pool  KL from Bayes under prior  between the two (bits)")
    for row, size in enumerate(sweep.num_tasks):
        pool, true = sweep.to_pool[row].mean(), sweep.to_true[row].mean()
        print(f"{size:5d}  {pool:23.4f}  {true:25.4f}  {sweep.between[row]:.4f}")
    found = sweep.threshold()
    print("changes over at", found.by_seed.round(1).tolist(), "tasks; log2:", found.interval)
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
