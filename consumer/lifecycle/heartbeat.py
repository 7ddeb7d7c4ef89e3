"""The worker's heartbeat: tells the ledger what the worker is doing, so that the autoscaler can see it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from shared.background import repeating
from shared.clock import Clock
from shared.formats.heartbeat import Heartbeat, WorkerState
from shared.state.ledger import Ledger


class HeartbeatSender:
    """Beats at every change of state and every `interval_seconds` in between."""

    def __init__(self, ledger: Ledger, worker_id: str, clock: Clock, interval_seconds: float) -> None:
        self._ledger = ledger
        self._worker_id = worker_id
        self._clock = clock
        self._interval = interval_seconds
        self._mutex = threading.Lock()
        self._state: WorkerState = "starting"
        self._idle_since: datetime | None = clock.now()
        self._jobs_done = 0
        self._rtfx: float | None = None
        self._progress_at: datetime | None = None
        self.turned_at = clock.monotonic()
        """When the worker's loop last went round, on the monotonic clock."""

    @contextmanager
    def running(self) -> Iterator[None]:
        """Beat in the background for as long as the block lasts."""
        self.beat()
        with repeating(self.beat, self._interval, "heartbeat"):
            yield

    def becomes(self, state: WorkerState) -> None:
        """The worker is in another state now; says so at once."""
        with self._mutex:
            if state == self._state:
                return
            self._state = state
            self._progress_at = self._clock.now() if state == "busy" else None
            if state in {"busy", "locked"}:
                self._idle_since = None
            elif self._idle_since is None:
                self._idle_since = self._clock.now()
        self.beat()

    def tick(self) -> None:
        """The worker's loop goes round: the thread that receives is alive."""
        self.turned_at = self._clock.monotonic()

    def job_done(self, rtfx: float | None) -> None:
        """Count a finished job; said with the next beat. `rtfx` is the run's, up to now."""
        with self._mutex:
            self._jobs_done += 1
            self._rtfx = rtfx
            if self._state == "busy":
                self._progress_at = self._clock.now()

    def beat(self) -> None:
        """Write one heartbeat."""
        with self._mutex:
            heartbeat = Heartbeat(
                instance_id=self._worker_id,
                state=self._state,
                beat_at=self._clock.now(),
                idle_since=self._idle_since,
                jobs_done=self._jobs_done,
                rtfx=self._rtfx,
                progress_at=self._progress_at,
            )
        self._ledger.beat(heartbeat)
