"""Processes find each other, and whoever is missing is named in time."""

import re
import socket
import threading
import time
from collections.abc import Callable

import pytest

from bayescmp.training.devices.hosts import agree, is_first, join_hosts
from bayescmp.training.devices.roll_call import answer_roll, call_roll

SHORT = 0.4
"""Seconds; long enough for a loopback connection on a busy machine, several times over."""
LONG = 60.0
"""Never waited for: a roll call ends when all are there."""


def free_address() -> tuple[str, int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()


def in_background(function: Callable[[], None]) -> tuple[threading.Thread, list[Exception]]:
    errors: list[Exception] = []

    def run() -> None:
        try:
            function()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, errors


def test_all_go_on_when_all_are_there_whoever_comes_first():
    address = free_address()
    early = [
        in_background(lambda number=number: answer_roll(address, number, timeout=LONG))
        for number in (2, 1)
    ]
    time.sleep(0.2)  # they knock before anybody listens, and try again
    call_roll(address, 3, timeout=LONG)
    for thread, errors in early:
        thread.join()
        assert not errors


def test_the_port_is_free_again_afterwards():
    address = free_address()
    caller, errors = in_background(lambda: answer_roll(address, 1, timeout=LONG))
    call_roll(address, 2, timeout=LONG)
    caller.join()
    assert not errors
    with socket.create_server(address):
        pass


def test_a_stranger_and_a_number_out_of_range_do_not_count():
    address = free_address()
    host, errors = in_background(lambda: call_roll(address, 2, timeout=LONG))
    for greeting in (b"GET / HTTP/1.1\r\n", b"7\n", b"0\n"):
        while True:
            try:
                with socket.create_connection(address) as stranger:
                    stranger.sendall(greeting)
                break
            except ConnectionRefusedError:
                time.sleep(0.01)
    answer_roll(address, 1, timeout=LONG)
    host.join()
    assert not errors


def test_the_first_process_names_who_is_missing():
    host, port = address = free_address()
    caller, errors = in_background(lambda: answer_roll(address, 2, timeout=SHORT))
    message = re.escape(f"processes [1, 3] of 4 did not answer at {host}:{port} within 0.4 s")
    with pytest.raises(TimeoutError, match=f"^hosts: {message}"):
        call_roll(address, 4, timeout=SHORT)
    caller.join()
    assert isinstance(errors[0], TimeoutError)


def test_the_others_name_the_address_of_the_first():
    host, port = address = free_address()
    message = re.escape(f"process 0 did not answer at {host}:{port} within 0.4 s")
    with pytest.raises(TimeoutError, match=f"^hosts: {message}"):
        answer_roll(address, 1, timeout=SHORT)


def test_an_address_in_use_is_named():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        with pytest.raises(OSError, match=r"^hosts: cannot listen at 127\.0\.0\.1:\d+ \("):
            call_roll(address, 2, timeout=SHORT)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("localhost", 2, 0, 1.0), "coordinator: expected 'host:port', got 'localhost'"),
        ((":80", 2, 0, 1.0), "coordinator: expected 'host:port', got ':80'"),
        (("a:99999", 2, 0, 1.0), "coordinator: expected 'host:port', got 'a:99999'"),
        (("a:1", 0, 0, 1.0), "num_processes: expected at least 1, got 0"),
        (("a:1", 2, 2, 1.0), "process_id: expected 0 to 1, got 2"),
        (("a:1", 2, 0, 0.0), "timeout: expected a positive number of seconds, got 0.0"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(arguments: tuple, message: str):
    coordinator, num_processes, process_id, timeout = arguments
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        join_hosts(coordinator, num_processes=num_processes, process_id=process_id, timeout=timeout)


def test_a_process_alone_needs_nobody():
    join_hosts("localhost:1", num_processes=1, process_id=0)
    assert is_first()
    assert [agree(flag) for flag in (True, False)] == [True, False]
