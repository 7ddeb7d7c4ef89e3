"""The fault proxy: stands between the fleet and the cloud, and makes calls go wrong by rules.

Each actor has a port of its own, so that who calls is known whatever a call looks like. The proxy does what rules and
effects decide, and notes it in the journal; it decides nothing itself.
"""

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

from tests.faults.harness.answers import refusal
from tests.faults.harness.call import MODEL, Call, read_call
from tests.faults.harness.effects import NoAnswer, Reply
from tests.faults.harness.journal import Entry, Journal
from tests.faults.harness.rules import Rule
from tests.faults.harness.wire import Answer, Connection, GoneError, Request, connect

_UPSTREAM_SECONDS: Final = 60
_BACKLOG: Final = 128
_END_SECONDS: Final = 5


class FaultProxy:
    """A proxy in front of the cloud at `upstream` (a URL); use it as a context manager, or close it.

    Attributes:
        journal: what went through.
    """

    def __init__(self, upstream: str, seed: int | str = 0) -> None:
        parts = urlsplit(upstream)
        self.upstream = (parts.hostname or "127.0.0.1", parts.port or 80)
        self.journal = Journal()
        self._seed = seed
        self._state = threading.Lock()
        self._rules: tuple[Rule, ...] = ()
        self._all_rules: list[Rule] = []
        self._pids: dict[str, Callable[[], int | None]] = {}
        self._listeners: dict[str, socket.socket] = {}
        self._connections: set[Connection] = set()
        self._closed = threading.Event()

    def __enter__(self) -> "FaultProxy":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def endpoint(self, actor: str) -> str:
        """What `AWS_ENDPOINT_URL` takes for this actor; its port is opened when first asked for."""
        with self._state:
            if actor not in self._listeners:
                listener = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
                self._listeners[actor] = listener
                self._start(self._listen, actor, listener)
            return f"http://127.0.0.1:{self._listeners[actor].getsockname()[1]}"

    def register(self, actor: str, pid: Callable[[], int | None]) -> None:
        """Say which process is the actor's, for `Kill`; `pid` returns `None` while it has none."""
        with self._state:
            self._pids[actor] = pid

    def add(self, rule: Rule) -> Rule:
        """Put a rule in force, behind those that are; returns it."""
        with self._state:
            rule.seed(f"{self._seed}:{len(self._all_rules)}")
            self._all_rules.append(rule)
            self._rules = (*self._rules, rule)
        return rule

    def remove(self, rule: Rule) -> None:
        """Take a rule out of force; no harm when it is out."""
        with self._state:
            self._rules = tuple(each for each in self._rules if each is not rule)

    def clear(self) -> None:
        """Take all rules out of force; calls that they hold go on as they would have."""
        with self._state:
            self._rules = ()

    @property
    def injected(self) -> int:
        """How often rules struck, those that are out of force included."""
        with self._state:
            return sum(rule.struck for rule in self._all_rules)

    @property
    def last_strike(self) -> float | None:
        """When a rule last struck, in monotonic seconds; `None` when none ever did."""
        with self._state:
            return max((rule.last_strike for rule in self._all_rules if rule.last_strike is not None), default=None)

    def wait_for(
        self,
        on: str,
        *,
        count: int = 1,
        actor: str | None = None,
        target: str | None = None,
        timeout: float = 10,
        arrived: bool = False,
    ) -> None:
        """As the journal's `wait_for`."""
        self.journal.wait_for(on, count=count, actor=actor, target=target, timeout=timeout, arrived=arrived)

    def close(self) -> None:
        """Close all ports and connections; calls that are held end without an answer."""
        self._closed.set()
        with self._state:
            listeners, connections = list(self._listeners.values()), list(self._connections)
        for listener in listeners:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # ends accept(), which close() alone would not
            listener.close()
        for connection in connections:
            connection.close()
        deadline = time.monotonic() + _END_SECONDS
        for thread in threading.enumerate():
            if thread.name == self._thread_name:
                thread.join(max(deadline - time.monotonic(), 0))
