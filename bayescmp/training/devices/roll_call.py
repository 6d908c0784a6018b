"""A roll call before processes join: who is missing is told by name and in time.

JAX's own start-up ends a process without an exception when another one does not answer.
So the processes meet here first, over plain sockets at the coordinator's address: each one
tells its number, and when all are there, everybody is told to go on.
"""

import contextlib
import socket
import time
from collections.abc import Iterator

_GO = b"go"
_RETRY_S = 0.1
_PATIENCE_S = 5.0
"""How long a process that was called may take to say its number."""


def call_roll(address: tuple[str, int], num_processes: int, *, timeout: float) -> None:
    """Wait for all other processes; what process 0 does.

    Args:
        address: Where the others find this process.
        num_processes: Number of processes, this one among them.
        timeout: Longest wait in seconds.

    Raises:
        TimeoutError: If some do not come, naming their numbers and the address.
        OSError: If the address cannot be listened at.
    """
    end = time.monotonic() + timeout
    present: dict[int, socket.socket] = {}
    with contextlib.ExitStack() as open_sockets:
        server = open_sockets.enter_context(_listen(address))
        while len(present) < num_processes - 1:
            server.settimeout(max(end - time.monotonic(), 0.0) or 1e-3)
            try:
                caller = open_sockets.enter_context(server.accept()[0])
            except TimeoutError:
                missing = sorted(set(range(1, num_processes)) - set(present))
                raise TimeoutError(
                    f"hosts: processes {missing} of {num_processes} did not answer at "
                    f"{_name(address)} within {timeout:g} s; start them, or check that they "
                    "reach this address"
                ) from None
            number = _read_number(caller)
            if number is not None and 1 <= number < num_processes:
                present[number] = caller
        for caller in present.values():
            with contextlib.suppress(ConnectionError):  # it died just now; JAX will tell
                caller.sendall(_GO)


def answer_roll(address: tuple[str, int], process_id: int, *, timeout: float) -> None:
    """Report to process 0 and wait until all are there; what every other process does.

    Args:
        address: Where process 0 listens.
        process_id: Number of this process, from one.
        timeout: Longest wait in seconds.

    Raises:
        TimeoutError: If process 0 does not answer, naming its address.
    """
    end = time.monotonic() + timeout
    for left in _until(end):
        # Refused, unreachable or cut off all mean: not there yet, or gone; try again.
        with contextlib.suppress(OSError), socket.create_connection(address, left) as caller:
            caller.sendall(f"{process_id}\n".encode())
            caller.settimeout(max(end - time.monotonic(), 1e-3))
            if caller.recv(len(_GO)) == _GO:
                return
        time.sleep(_RETRY_S)
    raise TimeoutError(
        f"hosts: process 0 did not answer at {_name(address)} within {timeout:g} s; start it, or "
        "check the address and that all other processes come"
    )


def _until(end: float) -> Iterator[float]:
    """Yield the seconds that are left, as long as there are any."""
    while (left := end - time.monotonic()) > 0:
        yield left


def _listen(address: tuple[str, int]) -> socket.socket:
    """Listen at an address that JAX will use right afterwards."""
    host, port = address
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    try:
        return socket.create_server(address, family=family)
    except OSError as error:
        raise OSError(
            f"hosts: cannot listen at {_name(address)} ({error.strerror}); choose a free port of "
            "this machine"
        ) from error


def _read_number(caller: socket.socket) -> int | None:
    """Read the number of a process; None from a stranger."""
    caller.settimeout(_PATIENCE_S)
    try:
        text = caller.makefile("rb").readline(16)
    except OSError:
        return None
    return int(text) if text.strip().isdigit() else None


def _name(address: tuple[str, int]) -> str:
    return f"{address[0]}:{address[1]}"
