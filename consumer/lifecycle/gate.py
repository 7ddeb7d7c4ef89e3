"""Says whether work may begin: not while a live session holds the lock, and not once a stop is asked for."""

import threading
from collections.abc import Callable
from typing import Final

import structlog

from consumer.lifecycle.stop_request import StopRequest
from shared.clock import Clock
from shared.state.lock import LockState

log = structlog.get_logger()

# About as long as a window takes the model. A lock that is taken finds work in hand anyway, so to look more often would
# only make the model wait for S3.
_FRESH_SECONDS: Final = 2.0


class Gate:
    """Safe to share by threads.

    Args:
        read_lock: one look at the lock; absent for a fleet that shares its GPUs with no live sessions.
    """

    def __init__(self, read_lock: Callable[[], LockState] | None, stop: StopRequest, clock: Clock) -> None:
        self._read_lock = read_lock
        self._stop = stop
        self._clock = clock
        self._looking = threading.Lock()
        self._state = LockState()
        self._looked_at: float | None = None
        self._closed = False

    def close(self) -> None:
        """Let nothing begin any more."""
        self._closed = True

    def is_open(self) -> bool:
        """Whether work may begin, by a look at the lock that is at most two seconds old."""
        return not self._closed and not self._stop.requested and not self._lock(_FRESH_SECONDS).held

    def look(self) -> LockState:
        """The lock as it is now."""
        return self._lock(0)

    def refresh(self) -> None:
        """Look again if the last look would be too old soon, so that the next `is_open` need not."""
        self._lock(_FRESH_SECONDS / 4)

    def _lock(self, oldest_seconds: float) -> LockState:
        if self._read_lock is None:
            return self._state
        with self._looking:
            now = self._clock.monotonic()
            if self._looked_at is None or oldest_seconds <= 0 or now - self._looked_at >= oldest_seconds:
                self._state = self._read_lock()
                self._looked_at = now
                if self._state.problem:
                    log.error("lock_unreadable", problem=self._state.problem)
            return self._state
