"""Runs faults side by side: a few slots, each a process with an emulator of its own that faults use in turn.

A fault that does not come back within its time, or takes its slot down, is broken, and a new slot goes on with the
rest. Slots do not hear Ctrl-C: the process that started them does, and ends them one after the other.
"""

import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import connection, get_context
from pathlib import Path
from typing import Any, Final, NoReturn

from tests.faults.harness.outcome import Outcome
from tests.faults.harness.scenario import Fault, run_fault
from tests.faults.harness.server import CloudServer, cloud_server

Find = Callable[[str], Fault]
"""Gives a fault by name; a function of a module, as the slot's process has to import it."""

# Beyond the bound on coming to rest: script, end of the workers, reading the evidence.
_MORE_SECONDS: Final = 120.0
_END_SECONDS: Final = 25.0
_SPAWN: Final = get_context("spawn")


class Slot:
    """One process that runs faults, one after the other.

    Args:
        number: names its directory in `workspace`.
    """

    def __init__(self, number: int, find: Find, seed: int, workspace: Path) -> None:
        self.fault: Fault | None = None
        self._due = 0.0
        self.pipe, other = _SPAWN.Pipe()
        self._process = _SPAWN.Process(
            target=_serve, args=(other, find, seed, workspace, workspace / f"cloud-{number}"), name=f"slot-{number}"
        )
        self._process.start()
        other.close()

    @property
    def free(self) -> bool:
        return self.fault is None

    @property
    def overdue(self) -> bool:
        """Whether its fault takes longer than it may."""
        return self.fault is not None and time.monotonic() > self._due

    def begin(self, fault: Fault) -> None:
        """Run a fault; its outcome comes through `pipe`."""
        self.fault = fault
        self._due = time.monotonic() + fault.bounds_seconds + fault.stop_seconds + _MORE_SECONDS
        self.pipe.send(fault.name)

    def outcome(self) -> Outcome | None:
        """What came through the pipe; `None` when the process is gone."""
        self.fault = None
        try:
            received = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            return None
        assert isinstance(received, Outcome)
        return received

    def end(self) -> None:
        """End the process with all that it runs."""
        with suppress(OSError):
            self.pipe.close()
        self._process.terminate()
        self._process.join(_END_SECONDS)
        if self._process.is_alive():
            self._process.kill()  # what it started is tethered to it
            self._process.join()


class Runner:
    """Runs faults in slots.

    Args:
        find: as for `Find`.
        limit_seconds: no fault begins after that; those that are left are broken.
        on_outcome: told of each as it comes.
    """

    def __init__(
        self,
        find: Find,
        seed: int,
        workspace: Path,
        *,
        slots: int,
        limit_seconds: float,
        on_outcome: Callable[[Outcome], None],
    ) -> None:
        self._find = find
        self._seed = seed
        self._workspace = workspace
        self._size = slots
        self._until = time.monotonic() + limit_seconds
        self._on_outcome = on_outcome

    def run(self, faults: Sequence[Fault]) -> list[Outcome]:
        """Run all; returns their outcomes in the order of `faults`."""
        waiting = deque(faults)
        found: dict[str, Outcome] = {}
        with self._slots(min(self._size, len(faults))) as slots:
            while waiting or not all(slot.free for slot in slots):
                self._hand_out(slots, waiting, found)
                for place, slot in enumerate(slots):
                    outcome = self._look_at(slot)
                    if outcome is None:
                        continue
                    self._keep(found, outcome)
                    if not outcome.holds:  # whatever state its process and its emulator are in
                        slot.end()
                        slots[place] = Slot(place, self._find, self._seed, self._workspace)
        return [found[fault.name] for fault in faults]

    @contextmanager
    def _slots(self, count: int) -> Iterator[list[Slot]]:
        slots = [Slot(number, self._find, self._seed, self._workspace) for number in range(count)]
        try:
            yield slots
        finally:
            for slot in slots:
                slot.end()

    def _hand_out(self, slots: Sequence[Slot], waiting: deque[Fault], found: dict[str, Outcome]) -> None:
        while waiting and time.monotonic() > self._until:
            self._keep(found, self._broken(waiting.popleft(), "not run: the time for all faults was over"))
        for slot in slots:
            if waiting and slot.free:
                slot.begin(waiting.popleft())
        busy = [slot.pipe for slot in slots if not slot.free]
        connection.wait(busy, timeout=1.0)

    def _look_at(self, slot: Slot) -> Outcome | None:
        """The outcome of a slot's fault, if there is one."""
        fault = slot.fault
        if fault is None:
            return None
        if slot.pipe.poll():
            return slot.outcome() or self._broken(fault, "the harness: its process has ended")
        if slot.overdue:
            return self._broken(fault, "the harness: it did not come back in time")
        return None

    def _broken(self, fault: Fault, why: str) -> Outcome:
        return Outcome(fault.name, fault.group, fault.what, broken=(why,), seed=self._seed)

    def _keep(self, found: dict[str, Outcome], outcome: Outcome) -> None:
        found[outcome.name] = outcome
        self._on_outcome(outcome)


def _serve(pipe: Any, find: Find, seed: int, workspace: Path, cloud: Path) -> None:
    """What a slot's process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_once)
    with ExitStack() as parts, suppress(EOFError):
        server: CloudServer = parts.enter_context(cloud_server(cloud))
        while True:
            fault = find(pipe.recv())
            pipe.send(run_fault(fault, seed, workspace / fault.name, server))


def _end_once(_number: int, _frame: object) -> NoReturn:
    """End in order; asked again, it goes on with that."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(0)
