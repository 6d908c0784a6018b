"""Several processes, on one machine or on many, that train one network together."""

import jax
import numpy as np
from jax.experimental import multihost_utils

from bayescmp.training.devices.roll_call import answer_roll, call_roll


def join_hosts(
    coordinator: str, *, num_processes: int, process_id: int, timeout: float = 60.0
) -> None:
    """Let this process take part in training with others; call it before anything else.

    Every process runs the same program. Batches are then spread over the devices of all
    processes, all of them end with the same network, and process 0 alone writes files.

    Args:
        coordinator: ``host:port`` of process 0, reachable from all and free there.
        num_processes: Number of processes.
        process_id: Number of this process, from zero.
        timeout: Longest wait for the others, in seconds.

    Raises:
        ValueError: If an argument is out of range.
        TimeoutError: If a process does not answer in time, naming it and the address.
        OSError: If process 0 cannot listen at its address.

    Example:
        >>> bc.join_hosts("10.0.0.1:4711", num_processes=2, process_id=0)  # doctest: +SKIP
    """
    address = _parse(coordinator)
    if num_processes < 1:
        raise ValueError(f"num_processes: expected at least 1, got {num_processes}")
    if not 0 <= process_id < num_processes:
        raise ValueError(f"process_id: expected 0 to {num_processes - 1}, got {process_id}")
    if not timeout > 0:
        raise ValueError(f"timeout: expected a positive number of seconds, got {timeout}")
    if num_processes == 1:
        return
    if process_id == 0:
        call_roll(address, num_processes, timeout=timeout)
    else:
        answer_roll(address, process_id, timeout=timeout)
    jax.distributed.initialize(
        coordinator, num_processes, process_id, initialization_timeout=max(round(timeout), 1)
    )


def is_first() -> bool:
    """Return whether this process is the one that writes files and shows progress."""
    return jax.process_index() == 0


def agree(flag: bool) -> bool:
    """Return whether any process says yes, the same in all of them.

    Args:
        flag: What this process says.

    Returns:
        Whether one of them said yes; without others, what this one says.
    """
    if jax.process_count() == 1:
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.asarray(flag))))


def _parse(coordinator: str) -> tuple[str, int]:
    host, colon, port = coordinator.rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 < int(port) < 2**16:
        raise ValueError(f"coordinator: expected 'host:port', got {coordinator!r}")
    return host, int(port)
