"""What does the oracle cost inside a training step? See README.md."""

import argparse
import statistics
import sys

import bayescmp as bc

bc.use_all_cores()

import jax  # noqa: E402

from bayescmp.models import Bijection, HiddenMarkov  # noqa: E402

GOAL = 0.05
MODELS = {"bijection": Bijection(20), "hidden Markov": HiddenMarkov()}


class Arm:
    """Training of one model with its oracle or without; both draw the same batches."""

    def __init__(
        self, model: bc.AbstractGenerativeModel, oracle: bc.Oracle | None, num_steps: int
    ) -> None:
        self.model = model
        self.oracle = oracle
        self.network = bc.Transformer.for_model(model, key=jax.random.key(0))
        self.training = bc.Training(num_steps=num_steps, chunk_size=num_steps)

    def seconds(self) -> float:
        """Train once and return the seconds a step took; only the first time compiles."""
        fit = bc.fit(
            self.network,
            self.model,
            self.oracle,
            key=jax.random.key(1),
            training=self.training,
            progress=False,
        )
        return fit.seconds / self.training.num_steps


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=40, help="steps in a round")
    options = parser.parse_args()
    met = True
    for name, model in MODELS.items():
        exact, sampled = (
            Arm(model, oracle, options.steps) for oracle in (bc.derive_oracle(model), None)
        )
        for arm in (exact, sampled):
            arm.seconds()
        rounds = [(exact.seconds(), sampled.seconds()) for _ in range(options.rounds)]
        shares = [1.0 - without / with_it for with_it, without in rounds]
        share = statistics.median(shares)
        met &= share <= GOAL
        print(
            f"{name:<14} {1e3 * statistics.median(r[0] for r in rounds):6.2f} ms a step, of which "
            f"the oracle takes {100 * share:.1f} % (rounds from {100 * min(shares):.1f} to "
            f"{100 * max(shares):.1f}); goal {100 * GOAL:.0f} %: "
            f"{'met' if share <= GOAL else 'missed'}"
        )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
