"""Plays the recording side: who takes, refreshes and releases the lock of live sessions, by the product's own lock.

Its calls go through the proxy as the actor `recorder`, so the journal shows that nobody else wrote the lock. When the
lock was held is kept here, for the invariant that nothing begins then.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import inf
from typing import TYPE_CHECKING

from shared.clock import SystemClock
from shared.formats.layout import LOCK_KEY
from shared.settings import Settings
from shared.state.lock import LockState, SessionLock

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True, slots=True)
class Hold:
    """A span in which a live session held the lock, in monotonic seconds; `end` is infinite while it does."""

    user: str
    session: str
    begin: float
    end: float = inf


class _EarlierClock(SystemClock):
    """A clock that is behind."""

    def __init__(self, behind: timedelta) -> None:
        self._behind = behind

    def now(self) -> datetime:
        return super().now() - self._behind


class Recorder:
    """A recorder of live sessions; several threads may use it.

    Args:
        s3: the client through the recorder's port of the proxy.
    """

    def __init__(self, s3: "S3Client", settings: Settings) -> None:
        self._s3 = s3
        self._bucket = settings.bucket
        self._stale_after = timedelta(minutes=settings.lock_stale_minutes)
        self._mutex = threading.Lock()
        self._holds: list[Hold] = []

    @property
    def holds(self) -> tuple[Hold, ...]:
        """All holds that counted, in the order in which they began."""
        with self._mutex:
            return tuple(self._holds)

    def take(self, user: str, session: str, *, seconds_ago: float = 0) -> LockState:
        """Take the lock for a session, or refresh its hold; raises as `SessionLock.take` does.

        Args:
            seconds_ago: how old the hold is to look, as that of a recorder which has said nothing for so long.
        """
        behind = timedelta(seconds=seconds_ago)
        state = self._lock(_EarlierClock(behind)).take(user, session)
        if behind < self._stale_after:
            self._begun(user, session, (self._stale_after - behind).total_seconds())
        return state

    def release(self, user: str, session: str) -> LockState:
        """Release a session's hold; raises as `SessionLock.release` does."""
        self._ended(user, session)  # first: from the write on, workers may begin
        return self._lock(SystemClock()).release(user, session)

    def read(self) -> LockState:
        """One look at the lock."""
        return self._lock(SystemClock()).read()

    @contextmanager
    def live(self, user: str, session: str) -> Iterator[None]:
        """A live session for as long as the block lasts."""
        self.take(user, session)
        try:
            yield
        finally:
            self.release(user, session)

    def write(self, body: bytes) -> None:
        """Write anything over the lock, as a broken recorder would; until `remove` it counts as held."""
        self._s3.put_object(Bucket=self._bucket, Key=LOCK_KEY, Body=body)
        self._begun("", "", inf)

    def remove(self) -> None:
        """Delete the lock, whatever it is, as a person would; all holds end."""
        self.overruled()
        self._s3.delete_object(Bucket=self._bucket, Key=LOCK_KEY)

    def overruled(self) -> None:
        """Somebody else is taking the lock away: all holds end."""
        for hold in self.holds:
            self._ended(hold.user, hold.session)

    def _lock(self, clock: SystemClock) -> SessionLock:
        return SessionLock(self._s3, self._bucket, clock, self._stale_after)

    def _begun(self, user: str, session: str, lasts_seconds: float) -> None:
        now = time.monotonic()
        with self._mutex:
            running = self._running(user, session, now)
            if running is None:
                self._holds.append(Hold(user, session, now, now + lasts_seconds))
            else:  # refreshed
                self._holds[running] = replace(self._holds[running], end=now + lasts_seconds)

    def _ended(self, user: str, session: str) -> None:
        now = time.monotonic()
        with self._mutex:
            running = self._running(user, session, now)
            if running is not None:
                self._holds[running] = replace(self._holds[running], end=now)

    def _running(self, user: str, session: str, now: float) -> int | None:
        """Where the session's hold is that lasts now."""
        found = (place for place, hold in enumerate(self._holds) if (hold.user, hold.session) == (user, session))
        return next((place for place in found if self._holds[place].end > now), None)
