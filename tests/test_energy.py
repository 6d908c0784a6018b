"""Energy is counted where the machine tells, and is unknown elsewhere."""

import math
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from bayescmp.training.costs.energy import EnergyCounter, EnergyMeter, find_meter
from bayescmp.training.progress import advance, begin
from bayescmp.training.steps import CompiledChunk, StepRecord, TrainState

SPAN = 262_143_328_850
"""Microjoules after which a common processor's counter begins anew."""


def write_zone(folder: Path, name: str, microjoules: int, span: int = SPAN) -> Path:
    """Write what Linux shows of one zone."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "name").write_text(name + "\n")
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    (folder / "max_energy_range_uj").write_text(f"{span}\n")
    return folder / "energy_uj"


@pytest.fixture(autouse=True)
def _without_accelerators(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count processors alone, unless a test says otherwise."""
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")


@pytest.fixture
def powercap(tmp_path: Path) -> Path:
    """Two packages, one with its cores and memory apart, and the zone of the whole machine."""
    write_zone(tmp_path / "intel-rapl:0", "package-0", 5_000_000)
    write_zone(tmp_path / "intel-rapl:0/intel-rapl:0:0", "core", 4_000_000)
    write_zone(tmp_path / "intel-rapl:0/intel-rapl:0:1", "dram", 1_000_000)
    write_zone(tmp_path / "intel-rapl:1", "package-1", 7_000_000)
    write_zone(tmp_path / "intel-rapl:2", "psys", 90_000_000)
    (tmp_path / "intel-rapl").mkdir()  # the driver's own folder, which has no counter
    return tmp_path


def add(file: Path, microjoules: int) -> None:
    file.write_text(str((int(file.read_text()) + microjoules) % SPAN) + "\n")


# ------------------------------------------------------------------- must fire


def test_packages_and_their_memory_are_added_up_and_nothing_counts_twice(powercap: Path):
    meter = find_meter(powercap)
    before = meter.read()
    add(powercap / "intel-rapl:0/energy_uj", 2_000_000)
    add(powercap / "intel-rapl:0/intel-rapl:0:0/energy_uj", 1_500_000)  # inside the package
    add(powercap / "intel-rapl:0/intel-rapl:0:1/energy_uj", 250_000)
    add(powercap / "intel-rapl:1/energy_uj", 4_000_000)
    add(powercap / "intel-rapl:2/energy_uj", 9_000_000)  # holds all the others
    assert meter.joules_between(before, meter.read()) == 6.25
    assert meter.joules_between(before, before) == 0.0


@pytest.mark.parametrize("start", [0, 1, SPAN // 2, SPAN - 1])
@pytest.mark.parametrize("spent", [0, 1, 10**6, SPAN - 1])
def test_a_counter_may_begin_anew_between_readings(start: int, spent: int, tmp_path: Path):
    file = write_zone(tmp_path / "intel-rapl:0", "package-0", start)
    meter = find_meter(tmp_path)
    before = meter.read()
    add(file, spent)
    # Readings are up to 2.6e5 J in float64, whose spacing there is 3e-11 J; three of them add.
    assert meter.joules_between(before, meter.read()) == pytest.approx(spent / 1e6, abs=1e-10)


class FakeNVMLError(Exception):
    """What NVML raises."""


def fake_nvml(monkeypatch: pytest.MonkeyPatch, joules: list[float | None]) -> None:
    """Pretend that JAX computes on accelerators, of which some do not count."""

    def total(index: int) -> float:
        value = joules[index]
        if value is None:
            raise FakeNVMLError("Not Supported")
        return 1e3 * value

    module = SimpleNamespace(
        __spec__=SimpleNamespace(name="pynvml"),
        NVMLError=FakeNVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: len(joules),
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetTotalEnergyConsumption=total,
    )
    monkeypatch.setitem(sys.modules, "pynvml", module)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")


def test_accelerators_count_too_where_jax_uses_them(
    powercap: Path, monkeypatch: pytest.MonkeyPatch
):
    joules: list[float | None] = [100.0, None, 300.0]
    fake_nvml(monkeypatch, joules)
    meter = find_meter(powercap)
    names = [counter.name for counter in meter.counters]
    assert names == ["intel-rapl:0", "intel-rapl:1", "intel-rapl:0:1", "gpu:0", "gpu:2"]
    before = meter.read()
    joules[0], joules[2] = 150.0, 302.0
    assert meter.joules_between(before, meter.read()) == pytest.approx(52.0)


def hungry_chunk(file: Path) -> CompiledChunk:
    """Make steps that only use energy, one joule each."""

    def run(state: TrainState, first: int, count: int, keys: jax.Array) -> tuple:
        add(file, 1_000_000 * int(count))
        return state, StepRecord(jnp.zeros((2, 5)), jnp.zeros((2, 5)))

    return CompiledChunk(run, max_steps=5, flops_per_step=1.0)


def test_the_steps_of_a_run_are_charged_and_nothing_between_them(powercap: Path):
    file, whole = powercap / "intel-rapl:0/energy_uj", jnp.zeros(2, jnp.int32)
    run = begin(TrainState({}, {}, None, whole, whole))
    keys = jax.random.split(jax.random.key(0), 2)
    for num_steps in (5, 5, 3):
        run = advance(run, hungry_chunk(file), num_steps, keys=keys, meter=find_meter(powercap))
        add(file, 40_000_000)
    assert run.joules == pytest.approx(13.0)
    assert math.isnan(advance(run, hungry_chunk(file), 2, keys=keys).joules)


# ---------------------------------------------------------- must stay silent


def is_silent(meter: EnergyMeter) -> bool:
    return meter.counters == () and math.isnan(meter.joules_between(meter.read(), meter.read()))


def test_a_machine_without_counters_has_no_energy(tmp_path: Path):
    assert is_silent(find_meter(tmp_path))
    assert is_silent(find_meter(tmp_path / "none"))
    write_zone(tmp_path / "intel-rapl:0", "psys", 1)
    assert is_silent(find_meter(tmp_path))


def test_a_counter_that_may_not_be_read_silences_the_processors(
    powercap: Path, monkeypatch: pytest.MonkeyPatch
):
    read_text = Path.read_text

    def guarded(path: Path, *args, **settings) -> str:
        if path == powercap / "intel-rapl:1/energy_uj":
            raise PermissionError(13, os.strerror(13), str(path))
        return read_text(path, *args, **settings)

    monkeypatch.setattr(Path, "read_text", guarded)
    assert is_silent(find_meter(powercap))


def test_a_counter_that_goes_away_makes_the_energy_unknown(powercap: Path):
    meter = find_meter(powercap)
    before = meter.read()
    (powercap / "intel-rapl:1/energy_uj").unlink()
    assert math.isnan(meter.joules_between(before, meter.read()))
    assert math.isnan(meter.joules_between(meter.read(), before))


def test_accelerators_stay_silent_unless_jax_uses_them_and_a_driver_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    fake_nvml(monkeypatch, [1.0])
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    assert is_silent(find_meter(tmp_path))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert not is_silent(find_meter(tmp_path))

    def fail() -> None:
        raise FakeNVMLError("Driver Not Loaded")

    monkeypatch.setattr(sys.modules["pynvml"], "nvmlInit", fail)
    assert is_silent(find_meter(tmp_path))
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert is_silent(find_meter(tmp_path))


def test_a_counter_that_falls_without_an_end_makes_the_energy_unknown():
    counter = EnergyCounter("lamp", lambda: 1.0)
    assert counter.joules_between(1.0, 3.0) == 2.0
    assert math.isnan(counter.joules_between(3.0, 1.0))
