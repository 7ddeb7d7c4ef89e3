"""Counts the messages in flight and limits how many more a worker may receive."""

import threading
from dataclasses import dataclass
from typing import Final

from shared.settings import Settings

# Weight of the newest window in the moving average of the pace.
_SMOOTHING: Final = 0.3


@dataclass(frozen=True, slots=True)
class Intake:
    """What to receive next.

    Attributes:
        room: how many messages at most; 0 while the pipeline is full, or during an AWS outage.
        in_flight: how many messages are held already.
        long_poll: whether to wait for messages. While they keep coming, polls do not, so that windows fill soon.
    """

    room: int
    in_flight: int
    long_poll: bool

    @property
    def idle(self) -> bool:
        """Whether no message is in flight."""
        return self.in_flight == 0


class InFlight:
    """The count, and the pace of the work, which limits it. Safe to share by threads.

    Attributes:
        changed: held and notified when the count changes; also guards the pipeline's state that has to agree with it.
    """

    def __init__(self, settings: Settings) -> None:
        self.changed = threading.Condition()
        self._limit = settings.max_jobs_in_hand
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
        """Update the pace with one window: `seconds` of this worker's time for `jobs`."""
        with self.changed:
            pace, before = seconds / jobs, self._seconds_per_job
            self._seconds_per_job = pace if before is None else before + _SMOOTHING * (pace - before)

    def room(self) -> int:
        """How many more messages may be received.

        Jobs that would not begin within half a lease are better left to other workers. Before the pace is known, the
        limit is half of the setting.
        """
        with self.changed:
            if self._seconds_per_job is None:
                limit = max(1, self._limit // 2)
            else:
                doable = self._lease_seconds / 2 / max(self._seconds_per_job, 1e-3)
                limit = min(self._limit, max(1, int(doable)))
            return max(0, limit - self._count)
