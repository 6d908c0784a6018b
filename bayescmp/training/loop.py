"""Train a network on fresh sequences from a generative model."""

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from tqdm.auto import tqdm

from bayescmp._types import Key
from bayescmp.generative import AbstractGenerativeModel
from bayescmp.networks.network import NetworkLike, count_parameters
from bayescmp.oracle import Oracle
from bayescmp.training.checkpoint import load_checkpoint, read_header, save_checkpoint
from bayescmp.training.devices import batch_mesh
from bayescmp.training.interrupt import StopRequest, listen_for_stop
from bayescmp.training.objectives import ObjectiveName
from bayescmp.training.optimisers import Muon, Optimiser
from bayescmp.training.steps import Chunk, Problem, StepRecord, TrainState, compile_chunk, start_state

Outcome = Literal["completed", "diverged"]


class TrainingDivergedError(RuntimeError):
    """The loss became infinite or NaN."""


@dataclass(frozen=True)
class Training:
    """How a network is trained."""

    num_steps: int = 2_000
    batch_size: int = 64
    optimiser: Optimiser = field(default_factory=Muon)
    objective: Literal["auto", "rao_blackwell", "sampled"] = "auto"
    """``auto`` is ``rao_blackwell`` where there is an oracle that can be compiled."""
    chunk_size: int = 50
    """Steps in one compiled scan; progress is shown between chunks."""
    checkpoint_every: int = 250
    """Steps between checkpoints; rounded up to whole chunks."""

    def __post_init__(self) -> None:
        """Reject settings out of range."""
        for name in ("num_steps", "batch_size", "chunk_size", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if self.objective not in ("auto", "rao_blackwell", "sampled"):
            raise ValueError(
                "objective: expected 'auto', 'rao_blackwell' or 'sampled', "
                f"got {self.objective!r}"
            )


class Fit(eqx.Module):
    """A trained network and how it came about."""

    network: NetworkLike
    outcome: Outcome = eqx.field(static=True)
    """``diverged`` only where ``throw=False`` was asked for."""
    training: Training = eqx.field(static=True)
    objective: ObjectiveName = eqx.field(static=True)
    loss: Float[np.ndarray, " step"]
    """Training loss at each step, in nats."""
    excess: Float[np.ndarray, " step"]
    """Loss above the entropy floor at each step, in nats; NaN without an oracle."""
    seconds: float
    """Wall time spent in training steps, without compilation."""
    flops_per_step: float
    """Floating-point operations of one step, by XLA's count; NaN where it gives none."""
    tokens_per_step: int
    """Input positions in a batch."""
    num_devices: int
    num_parameters: int


def fit(
    network: NetworkLike,
    model: AbstractGenerativeModel,
    oracle: Oracle | None = None,
    *,
    key: Key,
    steps: int | None = None,
    training: Training | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    progress: bool = True,
    description: str = "training",
    throw: bool = True,
) -> Fit:
    """Train a network on sequences that are drawn afresh at every step.

    The result is a function of the network, the model, the settings and the key. A run
    that was stopped and resumed ends with the same bits on the same machine.

    Args:
        network: Network to start from; it is not changed.
        model: Generative model to draw from.
        oracle: The model's oracle, for the Rao-Blackwell objective and to show the loss
            above the entropy floor.
        key: Typed key of the data.
        steps: Number of steps; overrides the one in ``training``.
        training: Settings.
        checkpoint: File to keep the state in.
        resume: Whether to go on from that file if it exists.
        progress: Whether to show a progress bar.
        description: Words in front of the progress bar.
        throw: Whether to raise when training diverges.

    Returns:
        The trained network with its history.

    Raises:
        ValueError: If settings do not fit, or the checkpoint belongs to another run.
        TrainingDivergedError: If the loss is no longer finite, naming the step.
        KeyboardInterrupt: After Ctrl-C, once the state is saved.

    Example:
        >>> from bayescmp import Transformer, derive_oracle
        >>> from bayescmp.models import Bijection
        >>> model = Bijection(size=4)
        >>> network = Transformer.for_model(model, key=jax.random.key(0))
        >>> result = fit(network, model, derive_oracle(model), steps=2, progress=False,
        ...              key=jax.random.key(1))
        >>> result.loss.shape
        (2,)
    """
    settings = training or Training()
    settings = settings if steps is None else _with_steps(settings, steps)
    run = _Run.start(network, model, oracle, settings, key, checkpoint, resume)
    with (
        listen_for_stop() as stop,
        tqdm(
            total=settings.num_steps, initial=run.step, desc=description, unit="step",
            disable=not progress, dynamic_ncols=True,
        ) as bar,
    ):
        while run.step < settings.num_steps and run.is_finite:
            done = run.advance()
            bar.update(done)
            bar.set_postfix_str(run.progress_text(), refresh=False)
            run.save_if_due(stop)
    if not run.is_finite and throw:
        raise TrainingDivergedError(run.divergence_text())
    return run.finish()


def _with_steps(training: Training, steps: int) -> Training:
    settings = asdict(training) | {"num_steps": steps, "optimiser": training.optimiser}
    return Training(**settings)


class _Run:
    """The moving parts of one call of ``fit``."""

    def __init__(
        self,
        problem: Problem,
        training: Training,
        state: TrainState,
        key: Key,
        checkpoint: Path | None,
    ) -> None:
        self.problem, self.training, self.state = problem, training, state
        self.key, self.checkpoint = key, checkpoint
        self.step, self.saved_step, self.seconds = 0, 0, 0.0
        self.flops = float("nan")
        self.loss, self.excess = np.zeros(0, np.float32), np.zeros(0, np.float32)
        self.chunks: dict[int, Chunk] = {}

    @classmethod
    def start(
        cls,
        network: NetworkLike,
        model: AbstractGenerativeModel,
        oracle: Oracle | None,
        training: Training,
        key: Key,
        checkpoint: Path | None,
        resume: bool,
    ) -> "_Run":
        """Set up a run, from its checkpoint if there is one to resume from."""
        params, static = eqx.partition(network, eqx.is_inexact_array)
        problem = Problem(
            model=model,
            oracle=oracle,
            objective=_choose_objective(training, oracle),
            optimiser=training.optimiser,
            num_steps=training.num_steps,
            static=static,
            batch_size=training.batch_size,
            mesh=batch_mesh(training.batch_size),
        )
        run = cls(problem, training, start_state(problem, params), key, checkpoint)
        if checkpoint is not None and resume and checkpoint.exists():
            run._restore(checkpoint)
        return run

    @property
    def is_finite(self) -> bool:
        """Whether all losses so far are finite."""
        return bool(np.all(np.isfinite(self.loss)))

    def advance(self) -> int:
        """Run one chunk of steps and return how many it had."""
        size = min(self.training.chunk_size, self.training.num_steps - self.step)
        if size not in self.chunks:
            self.chunks[size], self.flops = compile_chunk(
                self.problem, size, self.state, key=self.key
            )
        clock = time.perf_counter()
        first = jnp.asarray(self.step, jnp.int32)
        self.state, record = self.chunks[size](self.state, first, self.key)
        self._remember(jax.device_get(record))
        self.seconds += time.perf_counter() - clock
        self.step += size
        return size

    def progress_text(self) -> str:
        """Return the loss of the last chunk in bits, above the floor where it is known."""
        last = slice(-self.training.chunk_size, None)
        if self.problem.oracle is None:
            return f"loss {np.mean(self.loss[last]) / np.log(2):.4f} bits"
        return f"{np.mean(self.excess[last]) / np.log(2):.5f} bits above the entropy floor"

    def save_if_due(self, stop: StopRequest) -> None:
        """Write a checkpoint where one is due; stop if somebody asked for it."""
        due = self.step - self.saved_step >= self.training.checkpoint_every
        last = self.step == self.training.num_steps
        if self.checkpoint is not None and self.is_finite and (due or last or stop):
            self._save(self.checkpoint)
        if stop:
            kept = (
                f"the checkpoint {str(self.checkpoint)!r} can be resumed"
                if self.checkpoint is not None
                else "nothing was saved, since no checkpoint was asked for"
            )
            raise KeyboardInterrupt(f"stopped after step {self.step}; {kept}")

    def divergence_text(self) -> str:
        """Say at which step the loss went wrong, and what to try."""
        step = int(np.argmin(np.isfinite(self.loss)))
        kept = (
            f"; the checkpoint of step {self.saved_step} is kept"
            if self.checkpoint is not None and self.saved_step
            else ""
        )
        return (
            f"training diverged: the loss is {self.loss[step]} at step {step}; try a lower "
            f"learning_rate (it was {self.training.optimiser.learning_rate:g}), a longer warmup, "
            f"or a smaller clip{kept}"
        )

    def finish(self) -> Fit:
        """Return the result."""
        network = eqx.combine(self.state.params, self.problem.static)
        # Away from the mesh: a single device's arrays work in everybody's computations.
        network = jax.tree.map(
            lambda leaf: jnp.asarray(np.asarray(leaf)) if eqx.is_array(leaf) else leaf, network
        )
        return Fit(
            network=network,
            outcome="completed" if self.is_finite else "diverged",
            training=self.training,
            objective=self.problem.objective,
            loss=self.loss,
            excess=self.excess,
            seconds=self.seconds,
            flops_per_step=self.flops,
            tokens_per_step=self.training.batch_size * self.problem.model.layout.input_length,
            num_devices=self.problem.mesh.size,
            num_parameters=count_parameters(network),
        )

    def _remember(self, record: StepRecord) -> None:
        self.loss = np.concatenate([self.loss, np.asarray(record.loss)])
        self.excess = np.concatenate([self.excess, np.asarray(record.excess)])

    def _save(self, path: Path) -> None:
        header = self._identity() | {
            "step": self.step,
            "seconds": self.seconds,
            "flops": self.flops,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        save_checkpoint(path, (self.state, self.loss, self.excess), header)
        self.saved_step = self.step

    def _restore(self, path: Path) -> None:
        header = read_header(path)
        differences = [
            f"{name} is {header.get(name)!r} there and {value!r} here"
            for name, value in self._identity().items()
            if header.get(name) != value
        ]
        if differences:
            raise ValueError(
                f"checkpoint {str(path)!r} belongs to another run: {'; '.join(differences)}"
            )
        step = int(header["step"])
        history = jax.ShapeDtypeStruct((step,), np.float32)
        like = (self.state, history, history)
        (self.state, loss, excess), _ = load_checkpoint(path, like)
        self.loss, self.excess = np.asarray(loss), np.asarray(excess)
        self.step = self.saved_step = step
        self.seconds, self.flops = float(header["seconds"]), float(header["flops"])

    def _identity(self) -> dict[str, object]:
        """Return what must agree for a checkpoint to belong to this run."""
        return {
            "model": repr(self.problem.model),
            "network": repr(getattr(self.problem.static, "config", type(self.problem.static))),
            "training": repr(self.training),
            "objective": self.problem.objective,
            "key": jax.random.key_data(self.key).tolist(),
        }


def _choose_objective(training: Training, oracle: Oracle | None) -> ObjectiveName:
    if training.objective == "rao_blackwell" and oracle is None:
        raise ValueError("objective: expected an oracle for 'rao_blackwell', got none")
    if training.objective == "auto":
        usable = oracle is not None and oracle.certificate.jittable
        return "rao_blackwell" if usable else "sampled"
    return training.objective
