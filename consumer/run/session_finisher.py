"""Writes a session's transcript when its last gap is filled, in a thread beside the pipeline.

A session is listed once no job of it has ended for a while, so that a long run over it costs few LISTs. A failure here
is logged and fails no job: the chunks' transcripts are safe, and the next scan, or `scribefleet finalise`, makes the
session's transcript from them.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from math import inf
from typing import TYPE_CHECKING, Final

import structlog

from consumer.jobs.stages import JobRecord
from shared.clock import Clock
from shared.errors import AWS_ERRORS, TransientError, cause_of
from shared.reporting.notify import Notifier
from shared.session.finalise import Finalised, SessionFinaliser
from shared.session.folder import SessionFolder
from shared.session.notice import notice_of
from shared.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = structlog.get_logger()

_QUIET_SECONDS: Final = 5.0
# Looking at a session of 20,000 chunks takes seconds. This limits looks to a twentieth of the time.
_QUIET_LOOKS: Final = 20
_RETRY_SECONDS: Final = 30.0
_MAX_TRIES: Final = 3
_POLL_INTERVAL_SECONDS: Final = 0.5
_LAST_SECONDS: Final = 5.0
_YOUNG: Final = "it may be going on"


@dataclass(slots=True)
class _Pending:
    """A session in which jobs have ended.

    Attributes:
        due: when to look at it, on the monotonic clock; infinite for not until another job of it ends.
        failed: chunks whose jobs failed for good.
    """

    due: float
    tries: int = 0
    failed: set[str] = field(default_factory=set)
    look_seconds: float = 0.0


class SessionFinisher:
    """Safe to share by threads.

    Args:
        lock_held: whether a live session holds the lock; nothing is begun then.
        on_finalised: called for each transcript written, in the finisher's thread.
    """

    def __init__(
        self,
        finaliser: SessionFinaliser,
        settings: Settings,
        clock: Clock,
        lock_held: Callable[[], bool],
        on_finalised: Callable[[Finalised], None] = lambda _: None,
    ) -> None:
        self._finaliser = finaliser
        self._clock = clock
        self._young_for = timedelta(seconds=settings.scan_min_age_seconds)
        self._lock_held = lock_held
        self._on_finalised = on_finalised
        self._pending: dict[str, _Pending] = {}
        self._changed = threading.Condition()
        self._at_work = False
        self._closing = False

    @classmethod
    def from_settings(
        cls, s3: "S3Client", settings: Settings, clock: Clock, notifier: Notifier, lock_held: Callable[[], bool]
    ) -> "SessionFinisher":
        """The finisher as settings say; it sends a notification of each session that it finishes."""
        finaliser = SessionFinaliser.from_settings(s3, settings, clock)
        return cls(finaliser, settings, clock, lock_held, lambda done: _announce(notifier, done))

    # --- for other threads

    def ended(self, record: JobRecord) -> None:
        """Note that a job has ended, so its session may have no gap left."""
        if record.job is None:
            return
        with self._changed:
            now = self._clock.monotonic()
            pending = self._pending.setdefault(record.job.session_path, _Pending(now))
            pending.due = now + max(_QUIET_SECONDS, _QUIET_LOOKS * pending.look_seconds)
            pending.tries = 0
            if record.outcome == "failed":
                pending.failed.add(record.job.chunk)
            self._changed.notify_all()

    @contextmanager
    def running(self, must_abort: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """Finish sessions for as long as the block lasts, and then wait for the one being finished.

        Args:
            must_abort: whether there is no time left to wait.
        """
        self._closing = False
        thread = threading.Thread(target=self._run, name="finish-sessions", daemon=True)
        thread.start()
        try:
            yield
        finally:
            with self._changed:
                self._closing = True
                left = sum(pending.due < inf for pending in self._pending.values())
                self._changed.notify_all()
            # A very long session may take longer than the host has. It is written by compare-and-swap, so ending in
            # the middle does no harm. If the host ends at once, the report, which comes next, matters more: the next
            # scan finishes the session.
            for _ in range(round(_LAST_SECONDS / _POLL_INTERVAL_SECONDS)):
                if not thread.is_alive() or must_abort():
                    break
                thread.join(_POLL_INTERVAL_SECONDS)
            if left:
                log.info("sessions_left", sessions=left, why="they may be going on, or there was no time")

    def hurry(self) -> None:
        """Look at every session now, since no more jobs are coming. Sessions that are still young are left alone."""
        with self._changed:
            for pending in self._pending.values():
                pending.due = min(pending.due, self._clock.monotonic()) if pending.due < inf else inf
            self._changed.notify_all()

    def wait(self, seconds: float) -> bool:
        """Wait until no session is due, for `seconds` of real time at most; returns whether none is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._at_work and self._next() is None, seconds)

    # --- its own thread

    def _run(self) -> None:
        while (path := self._take()) is not None:
            try:
                self._look_at(path)
            except Exception as error:  # nothing here may fail a job
                log.error("session_not_finalised", path=path, error=type(error).__name__, exc_info=error)
                self._later(path, inf)
            with self._changed:
                self._at_work = False
                self._changed.notify_all()

    def _take(self) -> str | None:
        """The next session that is due; `None` at the end."""
        with self._changed:
            while not self._closing:
                path = self._next()
                if path is not None:
                    self._at_work = True
                    return path
                self._changed.wait(_POLL_INTERVAL_SECONDS if self._pending else None)
        return None

    def _next(self) -> str | None:
        now = self._clock.monotonic()
        return next((path for path, pending in self._pending.items() if pending.due <= now), None)

    def _look_at(self, path: str) -> None:
        if self._lock_held():
            self._later(path, _RETRY_SECONDS)
            return
        pending = self._pending[path]
        due, began = pending.due, self._clock.monotonic()
        try:
            done = self._finaliser.finalise(path, lambda folder: self._why_not(folder, pending.failed))
        except (TransientError, *AWS_ERRORS) as error:
            self._failed(path, pending, error)
            return
        with self._changed:
            pending.look_seconds = self._clock.monotonic() - began
            if done.why == _YOUNG:
                left = done.folder.seconds_until_over(self._clock.now(), self._young_for)
                pending.due = self._clock.monotonic() + left
            elif pending.due == due:  # otherwise another job has ended meanwhile
                pending.due = inf
        if done.action == "written":
            self._on_finalised(done)

    def _why_not(self, folder: SessionFolder, failed: set[str]) -> str:
        """Why not to finish it yet. Gaps whose jobs failed for good do not count: a partial transcript is written."""
        if set(folder.gaps) - failed:
            return "it has gaps"
        return "" if folder.is_over(self._clock.now(), self._young_for) else _YOUNG

    def _failed(self, path: str, pending: _Pending, error: Exception) -> None:
        pending.tries += 1
        what = cause_of(error)
        log.warning("session_not_finalised", path=path, error=what, tries=pending.tries)
        if pending.tries >= _MAX_TRIES:
            self._later(path, inf)
        else:
            self._later(path, _RETRY_SECONDS)

    def _later(self, path: str, seconds: float) -> None:
        with self._changed:
            self._pending[path].due = self._clock.monotonic() + seconds


def _announce(notifier: Notifier, done: Finalised) -> None:
    if notice := notice_of(done):
        notifier.notify(notice)
