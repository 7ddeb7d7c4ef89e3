"""Finalises the sessions that a scan found over and without their own transcript, as long as there is time.

A worker does that when it has filled a session's last gap. It may be killed before, or find the session still young,
or know of only a part of the chunks that failed: then the next scan makes up for it, from what the bucket holds. No GPU
is needed, so it does not matter who holds the lock.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from producer.scan.unfinished import UnfinishedSession
from shared.clock import Clock
from shared.errors import AWS_ERRORS, TransientError, cause_of
from shared.reporting.notify import Notifier
from shared.session.finalise import SessionFinaliser
from shared.session.folder import SessionFolder
from shared.session.notice import notice_of
from shared.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = structlog.get_logger()


@dataclass(slots=True)
class FinaliseOutcome:
    """What became of the sessions.

    Attributes:
        looked_at: those there was time for; of the ones that are neither written nor failed somebody else was faster.
        written: those that have a new transcript.
        failed: those whose transcript could not be made; the next scan tries again.
    """

    looked_at: int = 0
    written: int = 0
    failed: int = 0


class Finalising:
    """Finalises one session after the other, and tells of each that got its transcript."""

    def __init__(self, finaliser: SessionFinaliser, notifier: Notifier, settings: Settings, clock: Clock) -> None:
        self._finaliser = finaliser
        self._notifier = notifier
        self._young_for = timedelta(seconds=settings.scan_min_age_seconds)
        self._clock = clock

    @classmethod
    def from_settings(cls, s3: "S3Client", settings: Settings, clock: Clock) -> "Finalising":
        """That of a fleet, which tells the fleet's topic."""
        finaliser = SessionFinaliser.from_settings(s3, settings, clock)
        return cls(finaliser, Notifier.from_settings(settings, clock), settings, clock)

    def run(
        self,
        sessions: Sequence[UnfinishedSession],
        seconds: float,
        on_looked_at: Callable[[int, int], None] = lambda _done, _of: None,
    ) -> FinaliseOutcome:
        """Finalise `sessions` in their order. Nothing that goes wrong with one keeps the next from being done.

        Args:
            seconds: after which none is begun; one that is being finalised is ended.
            on_looked_at: told after each how many are done, and of how many.
        """
        outcome = FinaliseOutcome()
        until = self._clock.monotonic() + seconds
        for session in sessions:
            if self._clock.monotonic() >= until:
                break
            self._finalise(session, outcome)
            outcome.looked_at += 1
            on_looked_at(outcome.looked_at, len(sessions))
        return outcome

    def _finalise(self, session: UnfinishedSession, outcome: FinaliseOutcome) -> None:
        path = session.session_path
        try:
            done = self._finaliser.finalise(path, lambda folder: self._why_not(folder, session.given_up))
        except (TransientError, *AWS_ERRORS) as error:
            log.warning("session_not_finalised", path=path, error=cause_of(error))
            outcome.failed += 1
        except Exception as error:  # the outermost boundary of what must not fail the scan, nor hold up the others
            log.error("session_not_finalised", path=path, error=type(error).__name__, exc_info=error)
            outcome.failed += 1
        else:
            if notice := notice_of(done):
                outcome.written += 1
                self._notifier.notify(notice)

    def _why_not(self, folder: SessionFolder, given_up: frozenset[str]) -> str:
        """What has changed since the listing."""
        if set(folder.gaps) - given_up:
            return "it has gaps"
        return "" if folder.is_over(self._clock.now(), self._young_for) else "it may be going on"
