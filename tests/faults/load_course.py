"""One load under way: sessions come in waves while workers work, calls fail, and workers die at their worst moments."""

import random
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from shared.aws.sqs import queue_depth
from tests.faults.command import AFTER_CLAIMS_SECONDS, peak_mib, written
from tests.faults.harness.fleet import Fleet, NotSettledError
from tests.faults.harness.later import late_scan
from tests.faults.harness.processes import HarnessProcess, WorkerProcess
from tests.faults.harness.rules import (
    INTERNAL,
    SLOW_DOWN,
    SQS_THROTTLED,
    THROTTLED,
    Delay,
    DeliverTwice,
    Kill,
    Reset,
    Rule,
    StaleReceipt,
)
from tests.faults.matrix.moments import BEGIN, COMPLETE, DELETE, FETCH, HEAR, PUBLISH, RECEIVE, SESSION_TEXT

SETTINGS: Final[Mapping[str, Any]] = {
    "visibility_timeout_seconds": 15,
    "max_receives": 9,
    "receive_max_jobs": 10,
    "max_jobs_in_hand": 60,
}
"""Leases that last where all workers, the emulator and the proxy share two cores."""

_SESSION_CHUNKS: Final = 250
# The emulator looks at every message of a queue for each that is sent: a queue with all jobs would cost it hours.
_WAVE_JOBS: Final = 1000
_FEW_LEFT: Final = 300
_JOBS_PER_KILL: Final = 100
_WINDOW_SECONDS: Final = 0.02
_POLL_INTERVAL_SECONDS: Final = 0.5
_SAY_SECONDS: Final = 60.0

_MOMENTS: Final = (RECEIVE, BEGIN, FETCH, HEAR, PUBLISH, COMPLETE, DELETE, SESSION_TEXT)
# Most deaths give no notice; the others have workers give back what they hold.
_SIGNALS: Final = (signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)


def rules() -> tuple[Rule, ...]:
    """What goes wrong throughout, each with a small share of the calls."""
    return (
        Rule("s3:*", SLOW_DOWN, probability=0.01),
        Rule("s3:GetObject", Reset(), probability=0.005),
        Rule("s3:PutObject", INTERNAL, probability=0.005),
        Rule("s3:PutObject", Reset(after=True), target="^users/", probability=0.005),
        Rule("s3:*", Delay(0.5), probability=0.005),
        Rule("sqs:*", SQS_THROTTLED, probability=0.01),
        Rule("sqs:ReceiveMessage", DeliverTwice(), probability=0.02),
        Rule("sqs:DeleteMessage", StaleReceipt(), probability=0.005),
        Rule("sqs:ReceiveMessage", Reset(after=True), probability=0.005),
        Rule("dynamodb:*", THROTTLED, probability=0.01),
    )


class Course:
    """Brings a number of jobs to a fleet until all are done.

    Args:
        jobs: how many chunks without a transcript there are in all.
        say: takes a line for people.
    """

    def __init__(self, made: Fleet, jobs: int, workers: int, seed: int, say: Callable[[str], None]) -> None:
        self._fleet = made
        self._jobs = jobs
        self._draw = random.Random(seed)
        self._say = say
        self._names = [f"worker-{n}" for n in range(1, workers + 1)]
        self._workers: dict[str, WorkerProcess] = {}
        self._scanner: HarnessProcess | None = None
        self._scans = 0
        self._sessions = 0
        self._stored = 0
        self._scanned = 0
        self._queued = 0
        self._kills: list[Rule] = []
        self._waiting: list[Rule] = []

    @property
    def kills(self) -> int:
        """How many workers were killed."""
        return sum(rule.struck for rule in self._kills)

    def run(self, limit_seconds: float) -> None:
        """Store, queue and work off all jobs.

        Raises:
            NotSettledError: it took longer than `limit_seconds`.
        """
        for rule in rules():
            self._fleet.proxy.add(rule)
        began = said = time.monotonic()
        while not self._is_done(left := self._left()):
            now = time.monotonic()
            if now - began > limit_seconds:
                raise NotSettledError(f"after {limit_seconds:g} s: {self._fleet.unsettled()}")
            if now - said >= _SAY_SECONDS:
                said = now
                self._say_state(now - began, left)
            self._keep_work(left)
            self._keep_workers()
            time.sleep(_POLL_INTERVAL_SECONDS)
        seconds = time.monotonic() - began
        self._say(f"all done in {seconds:.0f} s, {self._jobs / seconds:.1f} jobs a second, after {self._scans} scans")

    def _left(self) -> int:
        """How many messages there are, those in work included."""
        return queue_depth(self._fleet.cloud.sqs, self._fleet.settings.jobs_queue_url).total

    def _is_done(self, left: int) -> bool:
        """Whether all is; it looks at the whole bucket only when that is likely."""
        queued = self._scanner is None and self._queued == self._jobs
        return queued and left == 0 and not self._fleet.unsettled()

    def _keep_work(self, left: int) -> None:
        """Store the next wave when the last one is nearly worked off, and scan when there is something to queue."""
        if self._scanner is not None:
            if self._scanner.alive:
                return
            if self._scanner.returncode == 0:
                self._queued = self._scanned
            self._scanner = None
        if left < _FEW_LEFT and self._queued == self._stored < self._jobs:
            self._store_wave()
        # A scan that a fault has ended, or that could not queue all gaps, is followed by the next, as by schedule.
        if self._queued < self._stored or left == 0:
            self._scan(all_queued=self._queued == self._stored)

    def _scan(self, *, all_queued: bool) -> None:
        """Start one. Where all seemed to be queued, a scan has claimed gaps and could not give its claims back."""
        self._scans += 1
        self._scanned = self._stored
        actor = f"scanner-{self._scans}"
        ahead = AFTER_CLAIMS_SECONDS if all_queued else 0.0
        self._scanner = late_scan(self._fleet, actor, ahead=ahead) if ahead else self._fleet.start_scan(actor)

    def _store_wave(self) -> None:
        until = min(self._stored + _WAVE_JOBS, self._jobs)
        while self._stored < until:
            self._sessions += 1
            chunks = min(_SESSION_CHUNKS, until - self._stored)
            self._fleet.put_session(f"user-{self._sessions % 7}", f"session-{self._sessions}", range(1, chunks + 1))
            self._stored += chunks

    def _keep_workers(self) -> None:
        """Start afresh who has died, as a service manager does, and say who is the next to die, and when."""
        for rule in [each for each in self._waiting if each.struck]:
            self._waiting.remove(rule)
            self._fleet.proxy.remove(rule)  # else every call would be held against more and more of them
        for name in self._names:
            if name not in self._workers or not self._workers[name].alive:
                self._workers[name] = self._fleet.start_worker(name, seconds_per_window=_WINDOW_SECONDS)
        if written(self._fleet.proxy.journal) > len(self._kills) * _JOBS_PER_KILL:
            moment = self._draw.choice(_MOMENTS)
            kill = Kill(before=self._draw.random() < 0.5, sig=self._draw.choice(_SIGNALS))
            rule = Rule(moment.on, kill, self._draw.choice(self._names), moment.target, times=1, where=moment.where)
            self._kills.append(self._fleet.proxy.add(rule))
            self._waiting.append(rule)

    def _say_state(self, seconds: float, left: int) -> None:
        proxy = self._fleet.proxy
        self._say(
            f"{seconds:5.0f} s: {self._stored} stored, {self._queued} queued, {left} messages left, "
            f"{written(proxy.journal)} done, {proxy.injected} strikes, {self.kills} kills, {peak_mib()} MiB"
        )
