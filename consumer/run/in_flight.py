"""Counts the messages that a worker holds, and says how many more it may take."""

import threading
from dataclasses import dataclass
from typing import Final

from shared.settings import Settings

# How much the newest window says about the pace, against all before it.
_NEWEST: Final = 0.3


@dataclass(frozen=True, slots=True)
class Intake:
    """What to receive next.

    Attributes:
        room: how many messages at most; none while the pipeline is full or AWS fails the jobs.
        in_flight: how many messages are held already.
        long_poll: whether to wait for messages. While they keep coming a poll does not, so that windows fill up soon.
    """

    room: int
    in_flight: int
    long_poll: bool

    @property
    def idle(self) -> bool:
        """Whether no message is held."""
        return self.in_flight == 0


class InFlight:
    """The count, and the pace of the work that bounds it. Safe to share by threads.

    Attributes:
        changed: held while the count changes, and notified then; who keeps other state that must agree with the count
            uses it too.
    """

    def __init__(self, settings: Settings) -> None:
        self.changed = threading.Condition()
        self._most = settings.max_jobs_in_hand
        self._lease_seconds = settings.visibility_timeout_seconds
        self._count = 0
        self._seconds_per_job: float | None = None

    @property
    def count(self) -> int:
        return self._count

    def add(self, messages: int) -> None:
        with self.changed:
            self._count += messages
            self.changed.notify_all()

    def remove(self, messages: int) -> None:
        with self.changed:
            self._count -= messages
            self.changed.notify_all()

    def worked(self, seconds: float, jobs: int) -> None:
        """Learn the pace from one window: `seconds` of this worker's time for `jobs`."""
        with self.changed:
            pace, before = seconds / jobs, self._seconds_per_job
            self._seconds_per_job = pace if before is None else before + _NEWEST * (pace - before)

    def room(self) -> int:
        """How many more messages may be received.

        What cannot be worked on within half a lease is better left for other workers. Before the pace is known, half
        of the most is taken.
        """
        with self.changed:
            if self._seconds_per_job is None:
                most = max(1, self._most // 2)
            else:
                doable = self._lease_seconds / 2 / max(self._seconds_per_job, 1e-3)
                most = min(self._most, max(1, int(doable)))
            return max(0, most - self._count)
