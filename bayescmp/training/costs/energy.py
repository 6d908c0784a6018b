"""Energy by the machine's own counters, where it has some that may be read."""

import importlib
import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax

POWERCAP = Path("/sys/class/powercap")
"""Where Linux shows the counters of processors (RAPL)."""

_OUTER_ZONES = "intel-rapl:*"
_MEMORY = "dram"


@dataclass(frozen=True)
class EnergyCounter:
    """A counter that only grows, and begins at zero again after its largest value."""

    name: str
    read: Callable[[], float]
    """Joules since some moment in the past."""
    span: float = math.nan
    """Joules after which the counter begins at zero again; NaN if it never does."""

    def joules_between(self, before: float, after: float) -> float:
        """Return the energy between two readings, at most ``span`` apart.

        Args:
            before: Earlier reading, in joules.
            after: Later reading, in joules.

        Returns:
            Joules; NaN where a counter fell that never begins again.
        """
        return after - before if after >= before else after - before + self.span


@dataclass(frozen=True)
class EnergyMeter:
    """All counters of a machine: what its processors and accelerators draw, for everybody.

    Example:
        >>> meter = EnergyMeter((EnergyCounter("lamp", lambda: 60.0),))
        >>> meter.joules_between(meter.read(), (75.0,))
        15.0
    """

    counters: tuple[EnergyCounter, ...] = ()

    def read(self) -> tuple[float, ...]:
        """Read every counter.

        Returns:
            Joules of each; NaN for one that could not be read.
        """
        return tuple(_read(counter) for counter in self.counters)

    def joules_between(self, before: tuple[float, ...], after: tuple[float, ...]) -> float:
        """Return the energy between two readings.

        Args:
            before: Earlier reading.
            after: Later reading; a counter may have begun anew once since.

        Returns:
            Joules; NaN where the machine has no counter or one could not be read.
        """
        if not self.counters:
            return math.nan
        spent = zip(self.counters, before, after, strict=True)
        return sum(counter.joules_between(start, end) for counter, start, end in spent)


NO_METER = EnergyMeter()
"""The meter of a machine that tells nothing."""


def find_meter(powercap: Path = POWERCAP) -> EnergyMeter:
    """Find the counters that this process may read.

    Processors count by RAPL (Linux, mostly for the superuser only): each package, and its
    memory where that is counted apart. Accelerators count by NVML, if JAX computes on them
    and the package ``pynvml`` is installed. The counters' names say what is in the sum; of
    processors, all are or none is.

    Args:
        powercap: Folder of the processors' counters.

    Returns:
        The meter; without counters where the machine tells nothing.

    Example:
        >>> find_meter(Path("/nowhere")).joules_between((), ())
        nan
    """
    accelerators = _accelerator_counters() if jax.default_backend() == "gpu" else ()
    return EnergyMeter(_processor_counters(powercap) + accelerators)


def _processor_counters(powercap: Path) -> tuple[EnergyCounter, ...]:
    """Find packages and their memory; other zones are parts of them, or hold them."""
    packages = [zone for zone in _zones(powercap) if _name(zone).startswith("package")]
    memory = [part for zone in packages for part in _zones(zone) if _name(part) == _MEMORY]
    counters = tuple(_zone_counter(zone) for zone in packages + memory)
    return () if any(math.isnan(_read(counter)) for counter in counters) else counters


def _zones(folder: Path) -> list[Path]:
    return sorted(zone for zone in folder.glob(_OUTER_ZONES) if (zone / "energy_uj").exists())


def _name(zone: Path) -> str:
    return (zone / "name").read_text().strip()


def _zone_counter(zone: Path) -> EnergyCounter:
    # The kernel's files count in microjoules.
    span = int((zone / "max_energy_range_uj").read_text()) / 1e6
    return EnergyCounter(zone.name, lambda: int((zone / "energy_uj").read_text()) / 1e6, span)


def _accelerator_counters() -> tuple[EnergyCounter, ...]:
    """Find the accelerators that NVML knows, where it is installed and a driver answers."""
    if importlib.util.find_spec("pynvml") is None:
        return ()
    nvml = importlib.import_module("pynvml")

    def read(index: int) -> float:
        # NVML counts in millijoules since the driver was loaded.
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            return nvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3
        except nvml.NVMLError as error:
            raise OSError(f"accelerator {index} does not count energy ({error})") from error

    try:
        nvml.nvmlInit()
        count = nvml.nvmlDeviceGetCount()
    except nvml.NVMLError:
        return ()
    counters = (EnergyCounter(f"gpu:{index}", partial(read, index)) for index in range(count))
    return tuple(counter for counter in counters if not math.isnan(_read(counter)))


def _read(counter: EnergyCounter) -> float:
    """Read a counter, or say by NaN that it may not be read."""
    try:
        return counter.read()
    except OSError:
        return math.nan
