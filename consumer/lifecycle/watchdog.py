"""Passes signs of life on for as long as the worker really gets on: its loop turns and no job outlives its deadline.

A process that runs and does nothing costs as much as one that works, and looks the same from outside. So nobody is
told by a timer alone: who watches (systemd's watchdog, a container's health check) hears nothing once progress stops,
and ends the worker. This module never ends it.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final

import structlog

from consumer.jobs.leases import LeaseKeeper
from consumer.lifecycle.heartbeat import HeartbeatSender
from shared.background import repeating
from shared.clock import Clock
from shared.settings import Settings

log = structlog.get_logger()

# The longest honest step of the loop is a receive in a network that swallows packets: two queues, each asked for as
# long as its client in shared/aws/timeouts.py tries. Only a hung one takes longer.
_LONGEST_STEP_SECONDS: Final = 180.0
# The lease keeper ends a process whose job hangs; it looks every third of a lease and may be waiting for SQS then.
_KEEPER_SLACK_SECONDS: Final = 120.0


class WorkerProgress:
    """Says whether the worker gets on. Reads without taking a lock: one that hangs may be holding it."""

    def __init__(self, heart: HeartbeatSender, leases: LeaseKeeper, settings: Settings, clock: Clock) -> None:
        self._heart = heart
        self._leases = leases
        self._clock = clock
        # Between two turns the loop may also wait to look at a held lock again.
        self._turn_limit = _LONGEST_STEP_SECONDS + settings.lock_poll_seconds
        keeper_turn = settings.visibility_timeout_seconds / 3
        self._job_limit = settings.job_deadline_seconds + keeper_turn + _KEEPER_SLACK_SECONDS

    def problem(self) -> str | None:
        """Why the worker does not get on; `None` while it does."""
        now = self._clock.monotonic()
        tick = now - self._heart.turned_at
        if tick > self._turn_limit:
            return f"the loop has not turned for {tick:.0f} s"
        oldest = self._leases.oldest_beginning()
        if oldest is not None and now - oldest > self._job_limit:
            return f"a job has been at work for {now - oldest:.0f} s"
        return None


class Watchdog:
    """Tells those who watch.

    Args:
        watchers: each is called with every sign of life.
        interval_seconds: between two signs; `None` when nobody watches.
    """

    def __init__(
        self,
        problem: Callable[[], str | None],
        watchers: Sequence[Callable[[], None]],
        interval_seconds: float | None,
    ) -> None:
        self._problem = problem
        self._watchers = watchers
        self._interval = interval_seconds
        self._silent = False

    def running(self) -> AbstractContextManager[object]:
        """Pass signs of life on in the background for as long as the block lasts; the first one at once."""
        if self._interval is None:
            return nullcontext()
        self.look()
        return repeating(self.look, self._interval, "watchdog")

    def look(self) -> None:
        """Pass one sign of life on, unless there is none."""
        problem = self._problem()
        if problem is None:
            for tell in self._watchers:
                tell()
        elif not self._silent:
            log.error("worker_hangs", problem=problem, then="no more signs of life: whoever watches ends this process")
        self._silent = problem is not None


_REPORT_SECONDS: Final = 20.0


class HangHandler:
    """Ends a process whose job hangs, after a last word: the report of its run, if that can be written within seconds.

    A hung GPU call answers to no exception and no signal handler, and may hold a lock that the report needs. So the
    report is left to a thread that nobody waits for any longer than its time.

    Attributes:
        say: set once there is something to say; it may hang itself.
    """

    def __init__(
        self, exit_code: int, *, seconds: float = _REPORT_SECONDS, end: Callable[[int], None] = os._exit
    ) -> None:
        self.say: Callable[[], None] | None = None
        self._exit_code = exit_code
        self._seconds = seconds
        self._end = end

    def end_process(self) -> None:
        """End the process, from whatever thread."""
        if self.say:
            saying = threading.Thread(target=self.say, name="last words", daemon=True)
            saying.start()
            saying.join(self._seconds)
            if saying.is_alive():
                log.error("report_not_written", error="it hangs, too")
        with contextlib.suppress(OSError):  # a full disk: the process must end all the same
            sys.stderr.flush()
        self._end(self._exit_code)
