"""Tells systemd how the worker is, by its notification socket. Without systemd nobody is told, and nothing changes.

It knows the protocol alone; whether there is anything good to tell is `consumer.lifecycle.watchdog`'s business.
Protocol: sd_notify(3) and sd_watchdog_enabled(3): datagrams of `NAME=value` lines to the socket that NOTIFY_SOCKET
names, where a leading `@` stands for the abstract namespace; WATCHDOG_USEC is meant for the process WATCHDOG_PID.
"""

import os
import socket
from collections.abc import Mapping

import structlog

from shared.errors import ConfigurationError

log = structlog.get_logger()


class ServiceManager:
    """systemd, as far as a service can talk to it.

    Args:
        address: of its socket; `None` when this process is no service of type `notify`.
        watchdog_seconds: within which it wants a sign of life each time; `None` when it asks for none.
    """

    def __init__(self, address: str | None, watchdog_seconds: float | None) -> None:
        self._address = "\0" + address[1:] if address and address.startswith("@") else address
        self.watchdog_seconds = watchdog_seconds if address else None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "ServiceManager":
        """What systemd told this process at its start.

        Raises:
            ConfigurationError: the watchdog's time is no number.
        """
        microseconds = environment.get("WATCHDOG_USEC", "")
        if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
            microseconds = ""  # inherited from another service, which is the one to be watched
        if microseconds and not microseconds.isdecimal():
            raise ConfigurationError(f"WATCHDOG_USEC is wrong ({microseconds!r}): systemd sets it to microseconds.")
        seconds = int(microseconds) / 1e6 if microseconds else 0
        return cls(environment.get("NOTIFY_SOCKET") or None, seconds or None)

    def ready(self) -> None:
        """The start is over; from now on the watchdog wants signs of life."""
        self._tell("READY=1")

    def alive(self) -> None:
        """A sign of life for the watchdog."""
        self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        """The end has begun by itself."""
        self._tell("STOPPING=1")

    def _tell(self, line: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.connect(self._address)
                channel.sendall(line.encode())
        except OSError as error:
            # systemd may be executing itself anew: a sign that is lost is followed by the next one.
            log.warning("service_manager_not_told", what=line.partition("=")[0], error=type(error).__name__)
