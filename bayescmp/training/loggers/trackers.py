"""Loggers that hand numbers to TensorBoard, Weights & Biases or MLflow."""

import importlib
import os
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

from bayescmp.training.loggers.logger import AbstractLogger


@runtime_checkable
class TrackedRun(Protocol):
    """What :class:`WandbLogger` asks of a run of Weights & Biases, or of one that is like it."""

    def log(self, data: dict[str, Any], /, *, step: int) -> object:
        """Take numbers down at a step."""


@runtime_checkable
class MetricClient(Protocol):
    """What :class:`MLflowLogger` asks of an MLflow client."""

    def log_metric(self, run_id: str, key: str, value: float, *, step: int) -> object:
        """Take a number down at a step of a run."""


class TensorBoardLogger(AbstractLogger):
    """Writes event files, which TensorBoard shows while a run goes on."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Open an event file.

        Args:
            folder: Folder of one run; it is made where it is missing.

        Raises:
            ImportError: If tensorboardX is not installed, naming the extra that has it.
        """
        module = _import_extra("tensorboardX", "tensorboard", "TensorBoardLogger")
        self._writer = module.SummaryWriter(os.fspath(folder))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Write numbers to the file.

        Args:
            step: Steps of training so far.
            values: Numbers by name.
        """
        for name, value in values.items():
            self._writer.add_scalar(name, float(value), step)
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()


class WandbLogger(AbstractLogger):
    """Hands numbers to a run of Weights & Biases, or to any object with such a ``log``.

    The run is whoever's opened it: closing the logger does not finish it. Weights & Biases
    itself leaves out steps below the last one, as a resumed run writes them.

    Example:
        >>> class Printing:
        ...     def log(self, data, *, step):
        ...         print(step, data)
        >>> WandbLogger(Printing()).log(50, {"loss": 0.69})
        50 {'loss': 0.69}
    """

    def __init__(self, run: TrackedRun) -> None:
        """Keep a run.

        Args:
            run: What ``wandb.init`` or ``trackio.init`` returned.
        """
        self._run = run

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Hand numbers to the run.

        Args:
            step: Steps of training so far.
            values: Numbers by name.
        """
        self._run.log({name: float(value) for name, value in values.items()}, step=step)

    def close(self) -> None:
        """Leave the run open, for whoever opened it."""


class MLflowLogger(AbstractLogger):
    """Hands numbers to a run of MLflow.

    The run is whoever's opened it: closing the logger does not end it.
    """

    def __init__(self, run_id: str, client: MetricClient | None = None) -> None:
        """Keep a run's name.

        Args:
            run_id: Identifier of the run, ``mlflow.start_run().info.run_id``.
            client: MLflow client; by default one with MLflow's settings of this process.

        Raises:
            ImportError: If MLflow is not installed, naming the extra that has it.
        """
        self._run_id = run_id
        self._client: MetricClient = (
            _import_extra("mlflow", "mlflow", "MLflowLogger").MlflowClient()
            if client is None
            else client
        )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Hand numbers to the run.

        Args:
            step: Steps of training so far.
            values: Numbers by name.
        """
        for name, value in values.items():
            self._client.log_metric(self._run_id, name, float(value), step=step)

    def close(self) -> None:
        """Leave the run open, for whoever opened it."""


def _import_extra(module: str, extra: str, what: str) -> ModuleType:
    """Import an optional package, or say how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        error.add_note(f"{what} needs an optional package: pip install 'bayescmp[{extra}]'")
        raise
