"""One scan from start to end: find gaps, write pending-jobs.json, look at the lock, queue, report, finalise sessions.

Both shells, the Lambda handler and the command line, run this and only differ in how they show the result.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import inf
from typing import TYPE_CHECKING

import structlog

from producer.scan.enqueue import EnqueueOutcome, Enqueuer
from producer.scan.finalise import FinaliseOutcome, Finalising
from producer.scan.gaps import OnIgnored, ScanTally, SessionGaps, find_gaps
from producer.scan.pending import pending_jobs
from producer.scan.unfinished import MOST, UnfinishedSession
from shared.aws import clients
from shared.clock import Clock, iso
from shared.formats.layout import PENDING_JOBS_KEY
from shared.formats.pending_jobs import PendingJobs
from shared.reporting.reports import BatchReport, Performance, ScanCounts, execution, write_report
from shared.settings import Settings
from shared.state.ledger import Ledger
from shared.state.lock import LockState, SessionLock

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = structlog.get_logger()


@dataclass(slots=True)
class ScanProgress:
    """Where a scan tells how far it is; the defaults tell nobody."""

    on_listed: Callable[[ScanTally], None] = lambda _tally: None
    on_queued: Callable[[int], None] = lambda _count: None
    on_finalised: Callable[[int, int], None] = lambda _done, _of: None
    on_ignored: OnIgnored | None = None


@dataclass(frozen=True, slots=True)
class ScanResult:
    """A scan's outcome.

    Attributes:
        enqueued: absent when nothing was to be queued: a mere look, no gaps, or the lock held.
        skipped: why a scan that was to queue jobs did not; also the reason in its report.
        report_id: name of the skipped scan's report.
        unfinished: sessions that are over and whose own transcript was missing or out of date. Those whose gaps were
            all given up are among them only when the scan was to queue jobs, which is when it learns of them.
        finalised: what became of these; absent for a mere look, and where that is turned off.
    """

    pending: PendingJobs
    tally: ScanTally
    lock: LockState
    enqueued: EnqueueOutcome | None = None
    skipped: str | None = None
    report_id: str | None = None
    unfinished: int = 0
    finalised: FinaliseOutcome | None = None


@dataclass(slots=True)
class Scanner:
    """The scan of one fleet; make it with `Scanner.from_settings`."""

    s3: "S3Client"
    settings: Settings
    clock: Clock
    lock: SessionLock
    enqueuer: Enqueuer
    finalising: Finalising
    progress: ScanProgress = field(default_factory=ScanProgress)

    @classmethod
    def from_settings(cls, settings: Settings, clock: Clock, progress: ScanProgress | None = None) -> "Scanner":
        """A scanner with clients of its own, from boto3's environment."""
        s3 = clients.s3_client()
        lock = SessionLock(s3, settings.bucket, clock, timedelta(minutes=settings.lock_stale_minutes))
        enqueuer = Enqueuer(clients.sqs_client(), Ledger(clients.dynamodb_client(), settings, clock), settings, clock)
        finalising = Finalising.from_settings(s3, settings, clock)
        return cls(s3, settings, clock, lock, enqueuer, finalising, progress or ScanProgress())

    def scan(self, *, enqueue: bool, seconds_to_finalise: Callable[[], float] = lambda: inf) -> ScanResult:
        """Find the gaps and write pending-jobs.json; with `enqueue` also queue them or report why not.

        Then, with `enqueue`, give sessions their transcripts whose workers did not come to it.

        Args:
            seconds_to_finalise: asked when all else is done; no session is begun after them.

        Raises what boto3 raises.
        """
        started = self.clock.now()
        scan_id = f"scan-{started:%Y%m%dT%H%M%S%fZ}"
        tally = ScanTally()
        sessions = self._find(tally, started)
        pending = pending_jobs(scan_id, sessions, tally, self.settings, started)
        self.s3.put_object(
            Bucket=self.settings.bucket,
            Key=PENDING_JOBS_KEY,
            Body=pending.to_json(indent=2).encode(),
            ContentType="application/json",
        )
        # Looked at after the listing, which can take minutes in which a live session may begin.
        lock = self.lock.read() if self.settings.lock_enabled else LockState()
        if not enqueue:
            result = ScanResult(pending, tally, lock, unfinished=tally.unfinished.count)
        elif skipped := _reason_to_skip(sessions, lock):
            report = self._report_skipped(started, pending, lock, skipped)
            result = ScanResult(pending, tally, lock, skipped=skipped, report_id=report.report_id)
        else:
            outcome = self.enqueuer.enqueue(sessions, scan_id, self.progress.on_queued)
            result = ScanResult(pending, tally, lock, enqueued=outcome)
        result = self._finalise(result, sessions, seconds_to_finalise) if enqueue else result
        _log_result(scan_id, result)
        return result

    def _find(self, tally: ScanTally, started: datetime) -> list[SessionGaps]:
        return list(
            find_gaps(
                self.s3,
                self.settings.bucket,
                now=started,
                quiet_for=timedelta(seconds=self.settings.scan_min_age_seconds),
                threads=self.settings.scan_threads,
                tally=tally,
                on_listed=lambda: self.progress.on_listed(tally),
                on_ignored=self.progress.on_ignored,
            )
        )

    def _finalise(self, result: ScanResult, sessions: list[SessionGaps], seconds: Callable[[], float]) -> ScanResult:
        given_up = _given_up(sessions, result.enqueued)
        count = result.tally.unfinished.count + len(given_up)
        if not count or not self.settings.scan_finalise_seconds:
            return replace(result, unfinished=count)
        first = sorted([*result.tally.unfinished.first(), *given_up])[:MOST]
        outcome = self.finalising.run(first, seconds(), self.progress.on_finalised)
        return replace(result, unfinished=count, finalised=outcome)

    def _report_skipped(self, started: datetime, pending: PendingJobs, lock: LockState, reason: str) -> BatchReport:
        span = execution(started, self.clock.now())
        report = BatchReport(
            report_id="",
            timestamp=iso(started),
            status="skipped",
            skipped=True,
            reason=reason,
            lock_status=lock.describe(),
            execution=span,
            scan=ScanCounts(
                sessions_scanned=pending.total_sessions,
                total_missing_chunks=pending.total_missing_chunks,
                sessions_with_missing_chunks=pending.sessions_with_missing_chunks,
            ),
            performance=Performance(
                total_duration_seconds=span.duration_seconds, scan_duration_seconds=span.duration_seconds
            ),
        )
        return write_report(self.s3, self.settings.bucket, report, started)


def _reason_to_skip(sessions: list[SessionGaps], lock: LockState) -> str | None:
    if not sessions:
        return "no gaps"
    # Its gaps are in pending-jobs.json and the next scan queues them: jobs that wait behind a live session of many
    # hours would only age on the queue and ring its alarm.
    if lock.held:
        return lock.describe()
    return None


def _given_up(sessions: list[SessionGaps], enqueued: EnqueueOutcome | None) -> list[UnfinishedSession]:
    """The unfinished sessions of whose gaps nobody is going to fill any; known only from queueing."""
    counts = enqueued.given_up if enqueued else {}
    return [each.unfinished for each in sessions if each.unfinished and counts.get(each.session_path) == len(each.gaps)]


def _log_result(scan_id: str, result: ScanResult) -> None:
    log.info(
        "scan",
        scan_id=scan_id,
        keys=result.tally.keys,
        ignored_keys=result.tally.ignored_keys,
        sessions=result.tally.sessions,
        gaps=result.pending.total_missing_chunks,
        too_young=result.tally.too_young,
        queued=result.enqueued.queued if result.enqueued else 0,
        already_queued=result.enqueued.already_queued if result.enqueued else 0,
        not_queued=result.enqueued.failed if result.enqueued else 0,
        postponed=result.enqueued.postponed if result.enqueued else 0,
        skipped=result.skipped,
        unfinished=result.unfinished,
        finalised=result.finalised.written if result.finalised else 0,
        not_finalised=result.finalised.failed if result.finalised else 0,
    )
    if result.lock.problem:
        log.error("lock_unreadable", problem=result.lock.problem)
