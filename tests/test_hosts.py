"""Four and eight devices, and two processes on one machine, train as one device does."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).with_name("joined_run.py")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Train on one, four and eight devices, and with two processes of one device each."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ("1", "4", "8", "joined")}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    hosts = [[folders["joined"], "1", address, "2", number] for number in ("0", "1")]
    alone = [[folders[count], count] for count in ("1", "4", "8")]
    for arguments in (hosts, alone):
        for process in [_start(each) for each in arguments]:
            output, _ = process.communicate(timeout=500)
            assert process.returncode == 0, output[-2_000:]
    return folders


def _start(arguments: list[str | Path]) -> subprocess.Popen[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    environment["JAX_PLATFORMS"] = "cpu"  # host devices can be split, an accelerator cannot
    return subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


@pytest.mark.parametrize(("name", "num_devices"), [("4", 4), ("8", 8), ("joined", 2)])
def test_however_devices_are_spread_the_run_ends_alike(
    runs: dict[str, Path], name: str, num_devices: int
):
    alone, first = (np.load(runs[folder] / "0.npz") for folder in ("1", name))
    assert (alone["devices"], first["devices"]) == (1, num_devices)
    # Sums over a batch are taken in another order: some roundings of 6e-8 in each of six
    # steps, which Muon's division by small norms makes larger.
    np.testing.assert_allclose(first["loss"], alone["loss"], rtol=2e-5)
    np.testing.assert_allclose(first["weights"], alone["weights"], atol=2e-4)
    assert np.ptp(alone["loss"]) > 1e-2, "the losses should be seen to change"


def test_all_processes_end_with_the_same_bits(runs: dict[str, Path]):
    first, second = (np.load(runs["joined"] / f"{number}.npz") for number in (0, 1))
    for name in ("loss", "weights"):
        np.testing.assert_array_equal(first[name], second[name])


def test_only_the_first_process_writes_a_checkpoint(runs: dict[str, Path]):
    found = sorted(path.name for path in runs["joined"].iterdir())
    assert found == ["0.npz", "1.npz", "run.ckpt"]
