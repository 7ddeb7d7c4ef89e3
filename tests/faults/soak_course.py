"""Carries the plan of a soak out on a fleet: puts the recordings, deals the blows, and counts which of them struck."""

import heapq
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Final

from tests.faults.command import written
from tests.faults.harness.fleet import Fleet
from tests.faults.harness.hosts import Host
from tests.faults.harness.processes import HarnessProcess, WorkerProcess
from tests.faults.harness.rules import Rule, Switch
from tests.faults.soak_blows import DEEDS, RULES
from tests.faults.soak_plan import Blow, Plan, Recording

_LONGEST_PAUSE: Final = 0.2
_AGAIN_SECONDS: Final = 0.5
_WAIT_TIMES: Final = 3
_NO_TICKS_TIMES: Final = 3  # the autoscaler stays away longer than other blows last


class Course:
    """One soak under way.

    Args:
        hosts: those of `worker-1` and so on, in this order.
        say: takes a line for people.

    Attributes:
        ticking: open while the autoscaler's schedule is in force.
    """

    def __init__(self, made: Fleet, hosts: Sequence[Host], what: Plan, say: Callable[[str], None]) -> None:
        self.ticking = Switch(opened=True)
        self._fleet = made
        self._hosts = tuple(hosts)
        self._plan = what
        self._say = say
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = count()
        self._began = time.monotonic()
        self._deeds: Counter[str] = Counter()
        self._rules: list[tuple[str, Rule]] = []

    def run(self) -> None:
        """Do all that the plan says, then let everything go on as if nothing had been."""
        for recording in self._plan.recordings:
            self._later(recording.at, partial(self._record, recording))
        for blow in self._plan.blows:
            self._later(blow.at, partial(self._strike, blow))
        for minute in range(1, int(self._plan.seconds // 60) + 1):
            self._later(minute * 60.0, partial(self._say_state, minute))
        while self._due:
            wait = self._due[0][0] - self._now()
            if wait > 0:
                time.sleep(min(wait, _LONGEST_PAUSE))
                continue
            _, _, act = heapq.heappop(self._due)
            act()
        self._fleet.proxy.clear()

    @property
    def struck(self) -> dict[str, int]:
        """Kind of blow -> how often it struck; a kind that met nothing to strike at has 0."""
        found = dict.fromkeys((*DEEDS, *RULES), 0) | self._deeds
        for kind, rule in self._rules:
            found[kind] += rule.struck
        return found

    def _now(self) -> float:
        return time.monotonic() - self._began

    def _later(self, at: float, act: Callable[[], object]) -> None:
        heapq.heappush(self._due, (at, next(self._numbers), act))

    def _after(self, seconds: float, act: Callable[[], object]) -> None:
        self._later(self._now() + seconds, act)

    def _record(self, part: Recording) -> None:
        self._fleet.put_session(
            part.user, part.session, range(part.first, part.last + 1), transcribed=frozenset(part.live)
        )

    def _strike(self, blow: Blow) -> None:
        host = self._host(blow.worker)
        if blow.kind in RULES:
            rule = self._fleet.proxy.add(RULES[blow.kind](host.actor, blow.share))
            self._rules.append((blow.kind, rule))
            # What waits for one moment of a worker's must wait a while to meet it.
            seconds = blow.seconds if rule.times is None else blow.seconds * _WAIT_TIMES
            self._after(seconds, partial(self._fleet.proxy.remove, rule))
        else:
            self._deeds[blow.kind] += self._do(blow, host)

    def _host(self, number: int) -> Host:
        """The worker's, or that of the next one which runs: most blows at somebody who is not there would miss."""
        tick = (*self._hosts[number - 1 :], *self._hosts[: number - 1])
        return next((host for host in tick if _running(host)), tick[0])

    def _do(self, blow: Blow, host: Host) -> bool:
        """Do something to a process, a host, the schedule or the lock; returns whether there was one to do it to."""
        match blow.kind:
            case "live-session":
                session = f"at-{blow.at}"
                self._fleet.take_lock("live", session)
                self._after(blow.seconds, partial(self._fleet.release_lock, "live", session))
            case "no-ticks":
                self.ticking.close()
                self._after(blow.seconds * _NO_TICKS_TIMES, self.ticking.open)
            case "second-tick":
                return self._start("second-autoscaler", self._fleet.start_tick)
            case "second-scan":
                return self._start("second-scanner", self._fleet.start_scan)
            case "kill-scan":
                return self._start("killed-scanner", self._fleet.start_scan, ends_in=blow.seconds)
            case _:
                worker = _running(host)
                return worker is not None and self._do_to(worker, host, blow)
        return True

    def _do_to(self, worker: WorkerProcess, host: Host, blow: Blow) -> bool:
        match blow.kind:
            case "kill":
                worker.signal(signal.SIGKILL)
            case "terminate":
                worker.signal(signal.SIGTERM)
            case "terminate-twice":
                worker.signal(signal.SIGTERM)
                self._after(_AGAIN_SECONDS, partial(worker.signal, signal.SIGTERM))
            case "pause":
                worker.signal(signal.SIGSTOP)
                self._after(blow.seconds, partial(worker.signal, signal.SIGCONT))
            case "spot-notice":
                host.spot_notice(blow.seconds)
            case "metadata-away":
                host.metadata_off()
                self._after(blow.seconds, host.metadata_on)
            case _:
                raise ValueError(f"no such deed: {blow.kind}")
        return True

    def _start(self, actor: str, start: Callable[[str], HarnessProcess], ends_in: float | None = None) -> bool:
        """Start a process beside the schedule's; not while the last one of that name runs."""
        if any(process.actor == actor and process.alive for process in self._fleet.processes):
            return False
        process = start(actor)
        if ends_in is not None:
            self._after(ends_in, partial(process.signal, signal.SIGKILL))
        return True

    def _say_state(self, minute: int) -> None:
        fleet = self._fleet
        jobs = sum(len(session.gaps) for session in fleet.sessions)
        done = written(fleet.proxy.journal)
        up = sum(process.alive for process in fleet.processes)
        strikes = sum(self.struck.values())
        self._say(
            f"minute {minute}: {len(fleet.sessions)} sessions, {jobs} jobs, {done} done, "
            f"{strikes} strikes, {up} processes"
        )


def _running(host: Host) -> WorkerProcess | None:
    worker = host.worker
    return worker if worker is not None and worker.alive else None
