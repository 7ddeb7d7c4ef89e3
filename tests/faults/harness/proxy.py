"""The fault proxy: stands between the fleet and the cloud, and makes calls go wrong by rules.

Each actor has a port of its own, so that who calls is known whatever a call looks like. What goes wrong is for rules
and effects to say; the proxy only holds them, the ports and the journal.
"""

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from tests.faults.harness.call import Call, read_call
from tests.faults.harness.effects import Effect
from tests.faults.harness.exchange import Cloud, Exchange, Means
from tests.faults.harness.journal import PATIENCE_SECONDS, Journal
from tests.faults.harness.rules import Rule
from tests.faults.harness.wire import Connection, GoneError

_BACKLOG: Final = 128
_END_SECONDS: Final = 5


class FaultProxy:
    """A proxy in front of the cloud at `upstream`, a URL; use it as a context manager, or close it.

    Attributes:
        journal: the calls that went through.
        failures: what rules raised, such as a `Then`; a fault run that has any proves nothing.
    """

    def __init__(self, upstream: str, seed: int | str = 0) -> None:
        parts = urlsplit(upstream)
        self.journal = Journal()
        self.failures: list[Exception] = []
        self._cloud = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._seed = seed
        self._state = threading.Lock()
        self._in_force: tuple[Rule, ...] = ()
        self._added: list[Rule] = []
        self._pids: dict[str, Callable[[], int | None]] = {}
        self._listeners: dict[str, socket.socket] = {}
        self._ends: set[Connection | Cloud] = set()
        self._threads: set[threading.Thread] = set()
        self._closed = threading.Event()
        self._means = Means(hold=self._closed.wait, kill=self._kill)

    def __enter__(self) -> "FaultProxy":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def endpoint(self, actor: str) -> str:
        """What `AWS_ENDPOINT_URL` takes for this actor; its port is opened when first asked for."""
        with self._state:
            listener = self._listeners.get(actor)
            if listener is None:
                listener = self._listeners[actor] = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
                self._start(f"port-{actor}", partial(self._listen, actor, listener))
            return f"http://127.0.0.1:{listener.getsockname()[1]}"

    def register(self, actor: str, pid: Callable[[], int | None]) -> None:
        """Say which process is the actor's, for `Kill`; `pid` returns `None` while there is none."""
        with self._state:
            self._pids[actor] = pid

    def add(self, rule: Rule) -> Rule:
        """Put a rule in force, behind those that are; returns it."""
        with self._state:
            rule.seed(f"{self._seed}:{len(self._added)}")
            self._added.append(rule)
            self._in_force = (*self._in_force, rule)
        return rule

    def remove(self, rule: Rule) -> None:
        """Take a rule out of force; no harm when it is out."""
        with self._state:
            self._in_force = tuple(each for each in self._in_force if each is not rule)

    def clear(self) -> None:
        """Take all rules out of force; calls that they hold go on as they would have."""
        with self._state:
            self._in_force = ()

    @property
    def injected(self) -> int:
        """How often rules struck, those that are out of force included."""
        with self._state:
            return sum(rule.struck for rule in self._added)

    @property
    def last_strike(self) -> float | None:
        """When a rule last struck, in monotonic seconds; `None` when none ever did."""
        with self._state:
            return max((rule.last_strike for rule in self._added if rule.last_strike is not None), default=None)

    def wait_for(
        self,
        on: str,
        *,
        count: int = 1,
        actor: str | None = None,
        target: str | None = None,
        timeout: float = PATIENCE_SECONDS,
        arrived: bool = False,
    ) -> None:
        """As the journal's `wait_for`."""
        self.journal.wait_for(on, count=count, actor=actor, target=target, timeout=timeout, arrived=arrived)

    def close(self) -> None:
        """Close all ports and connections; calls that rules hold end without an answer."""
        self._closed.set()
        with self._state:
            listeners, ends, threads = list(self._listeners.values()), list(self._ends), list(self._threads)
        for listener in listeners:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # ends accept(), as close() alone would not
            listener.close()
        for end in ends:
            end.close()
        deadline = time.monotonic() + _END_SECONDS
        for thread in threads:
            thread.join(max(deadline - time.monotonic(), 0))

    def _start(self, name: str, run: Callable[[], None]) -> None:
        """Start a thread that `close` waits for; called with the state locked."""
        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads = {each for each in self._threads if each.is_alive()} | {thread}
        thread.start()

    def _listen(self, actor: str, listener: socket.socket) -> None:
        while not self._closed.is_set():
            try:
                accepted, _ = listener.accept()
            except OSError:
                return  # closed
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client, cloud = Connection(accepted), Cloud(*self._cloud)
            with self._state:
                self._ends |= {client, cloud}
                self._start(f"calls-{actor}", partial(self._serve, actor, client, cloud))

    def _serve(self, actor: str, client: Connection, cloud: Cloud) -> None:
        try:
            while not self._closed.is_set() and self._serve_one(actor, client, cloud):
                pass
        except GoneError:
            pass  # the client hung up, as clients do
        except Exception as error:  # noqa: BLE001 - a script's mistake must reach the script, not this thread's end
            self.failures.append(error)
        finally:
            client.close()
            cloud.close()
            with self._state:
                self._ends -= {client, cloud}

    def _serve_one(self, actor: str, client: Connection, cloud: Cloud) -> bool:
        request = client.read_request()
        call = read_call(actor, request)
        self.journal.arrive(call)
        return Exchange(call, request, client, cloud, self._means).run(self._effects(call), self.journal.add)

    def _effects(self, call: Call) -> Iterator[Effect]:
        # Each rule is asked when its turn comes: one behind a refusal must not count a call that never got to it.
        return (rule.effect for rule in self._in_force if rule.strikes(call, time.monotonic()))

    def _kill(self, actor: str, sig: signal.Signals) -> None:
        with self._state:
            pid_of = self._pids[actor]
        if (pid := pid_of()) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sig)
