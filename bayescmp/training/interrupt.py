"""Ctrl-C between two chunks of steps instead of in the middle of one."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Whether somebody pressed Ctrl-C."""

    def __init__(self) -> None:
        """Begin without a request."""
        self.requested = False

    def __bool__(self) -> bool:
        """Tell whether to stop at the next opportunity."""
        return self.requested


@contextmanager
def listen_for_stop() -> Iterator[StopRequest]:
    """Turn the first Ctrl-C into a request; the second one interrupts at once.

    Outside the main thread, where Python delivers no signals, nothing changes.

    Yields:
        The request, false until Ctrl-C is pressed.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def remember(signum: int, frame: FrameType | None) -> None:
        if request.requested:
            raise KeyboardInterrupt
        request.requested = True

    previous = signal.signal(signal.SIGINT, remember)
    try:
        yield request
    finally:
        # None stands for a handler that was not installed from Python.
        signal.signal(signal.SIGINT, signal.SIG_DFL if previous is None else previous)
