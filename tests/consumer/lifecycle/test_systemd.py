"""What the worker tells systemd, heard at the other end of a real notification socket."""

import os
import socket
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from consumer.lifecycle.systemd import ServiceManager
from shared.errors import ConfigurationError


@dataclass
class Listener:
    """systemd's end of the socket."""

    address: str
    socket: socket.socket

    def heard(self) -> list[str]:
        said = []
        self.socket.setblocking(False)
        while True:
            try:
                said.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return said


@pytest.fixture(params=["file", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Listener]:
    """Sockets of both kinds that systemd uses."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        address = f"@scribefleet-{uuid.uuid4()}" if request.param == "abstract" else str(tmp_path / "notify")
        channel.bind(address.replace("@", "\0", 1) if request.param == "abstract" else address)
        yield Listener(address, channel)


def test_each_message_arrives_as_one_datagram_in_the_protocols_words(listener: Listener) -> None:
    manager = ServiceManager.from_environment({"NOTIFY_SOCKET": listener.address})
    manager.ready()
    manager.alive()
    manager.stopping()
    assert listener.heard() == ["READY=1", "WATCHDOG=1", "STOPPING=1"]


def test_the_watchdogs_time_is_systemds_microseconds(listener: Listener) -> None:
    environment = {"NOTIFY_SOCKET": listener.address, "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}
    assert ServiceManager.from_environment(environment).watchdog_seconds == 60


def test_a_watchdog_that_is_meant_for_another_process_is_none_of_ours(listener: Listener) -> None:
    environment = {"NOTIFY_SOCKET": listener.address, "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}
    assert ServiceManager.from_environment(environment).watchdog_seconds is None


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"WATCHDOG_USEC": "60000000"}])
def test_without_systemd_nobody_is_told_and_nothing_fails(environment: dict[str, str]) -> None:
    manager = ServiceManager.from_environment(environment)
    manager.ready()
    manager.alive()
    assert manager.watchdog_seconds is None


def test_a_socket_that_is_gone_does_not_end_the_worker(tmp_path: Path) -> None:
    ServiceManager.from_environment({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).alive()


def test_a_watchdog_time_that_is_no_number_is_named() -> None:
    with pytest.raises(ConfigurationError, match="WATCHDOG_USEC is wrong"):
        ServiceManager.from_environment({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "1 min"})
