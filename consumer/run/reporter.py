"""Keeps the record of a worker's run, writes its report at the end, and sends notifications.

A report that cannot be written or announced is logged, and keeps no GPU running.
"""

import threading
from contextlib import AbstractContextManager
from datetime import datetime
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

import structlog
from pydantic import ValidationError

from consumer.host.instance import InstanceRun, WorkerInstance
from consumer.jobs.stages import JobRecord
from consumer.lifecycle.gate import Gate
from consumer.run.metrics import WorkerMetrics
from consumer.run.record import Ending, RunEnd, RunRecord, batch_report
from consumer.run.results import JobEnded, ModelWorked, Result, drain
from shared.aws.retrying import Retrier
from shared.background import repeating
from shared.clock import Clock
from shared.errors import AWS_ERRORS, cause_of, is_missing
from shared.formats.layout import PENDING_JOBS_KEY
from shared.formats.wire import WireModel
from shared.reporting.notify import Notifier, dead_letters, run_ended
from shared.reporting.reports import BatchReport, ReportError, ScanCounts, write_report
from shared.reporting.timeline import Phase
from shared.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = structlog.get_logger()


class _Pending(WireModel):
    """The counts in pending-jobs.json that a report repeats."""

    total_sessions: int
    total_missing_chunks: int
    sessions_with_missing_chunks: int


class Reporter:
    """One worker's records and reports.

    Used by the loop's thread. The lock is for the one exception: when a job hangs, another thread writes the report.

    Args:
        instance: `None` when the host is no EC2 instance.
        metrics: `None` where nobody reads metrics from the log.

    Attributes:
        record: of the current run; the first one begins with loading the model.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        s3: "S3Client",
        retrier: Retrier,
        notifier: Notifier,
        gate: Gate,
        instance: WorkerInstance | None,
        metrics: WorkerMetrics | None = None,
    ) -> None:
        self.record = RunRecord.begun(clock.now(), "load")
        self._metrics = metrics
        self._notices = DeadLetterNotices(notifier)
        self._settings = settings
        self._clock = clock
        self._s3 = s3
        self._retrier = retrier
        self._notifier = notifier
        self._gate = gate
        self._instance = instance
        self._reported = False
        self._mutex = threading.Lock()

    def sending_notices(self) -> AbstractContextManager[None]:
        """Send notices of dead letters in the background for as long as the block lasts."""
        return repeating(self._notices.send, _NOTICE_INTERVAL_SECONDS, "dead letters")

    def becomes(self, phase: Phase) -> None:
        """Record that the worker is in this phase from now on."""
        now = self._clock.now()
        with self._mutex:
            self.record.timeline.becomes(phase, now)
            if phase != "draining":
                self.record.draining_since = None
            elif self.record.draining_since is None:
                self.record.draining_since = now

    def count(self, results: "SimpleQueue[Result]") -> list[JobRecord]:
        """Count the results in a queue; returns the records of the jobs among them."""
        counted: list[JobRecord] = []
        with self._mutex:
            for result in drain(results):
                match result:
                    case ModelWorked(seconds):
                        self.record.worked(seconds)
                    case JobEnded(record, at):
                        self._count_job(record, at)
                        counted.append(record)
        return counted

    def _count_job(self, record: JobRecord, at: datetime) -> None:
        self.record.add(record)
        self.record.timeline.ended(record.outcome, at)
        if record.error:
            self._notices.add(record.error)
        if self._metrics:
            self._metrics.ended(record)

    def write_metrics(self, work_seconds: float, *, at_once: bool = False) -> None:
        """Write a line of metrics if the last one is old enough, or `at_once`.

        Args:
            work_seconds: how long the model has been at work since the worker began.
        """
        with self._mutex:
            if self._metrics and (at_once or self._metrics.due):
                self._metrics.write(work_seconds)

    def report(self, ending: Ending, why: str | None = None) -> bool:
        """Write the run's report and begin the next run's record; returns whether the instance is owned.

        Args:
            why: the run did not simply end, for people.
        """
        run = self._instance.run() if self._instance else None
        owned = bool(run and run.owned)
        with self._mutex:
            # An instance that someone else keeps running, or that cannot be stopped, polls for days. After its first
            # report it writes another one only if it has done something since.
            if self.record.jobs or (owned and not self._reported):
                self._finish(ending, why, run)
        return owned

    def _finish(self, ending: Ending, why: str | None, run: InstanceRun | None) -> None:
        now = self._clock.now()
        self.record.timeline.close(now)
        end = RunEnd(
            ended=now,
            ending=ending,
            why=why,
            lock_status=self._gate.look().describe(),
            scan=_newest_scan(self._s3, self._settings.bucket),
            identity=self._instance.identity if self._instance else None,
            run=run,
            price_usd_per_hour=self._settings.price_usd_per_hour,
        )
        report = self._write(end)
        self.record = RunRecord.begun(now, "idle")
        self._reported = True
        # After the report is written, since a topic that does not answer would take the time for it.
        self._notices.send()
        self._notifier.notify(run_ended(report, crashed=ending == "crashed"))

    def _write(self, end: RunEnd) -> BatchReport:
        """Write the report; returns it, without a name if it could not be written."""
        record, bucket = self.record, self._settings.bucket
        report = batch_report(record, end)
        try:
            report = self._retrier(write_report, self._s3, bucket, report, record.started, record.timeline)
        except AWS_ERRORS as error:
            log.error("report_not_written", error=cause_of(error))
        else:
            log.info("run_reported", report=report.report_id, status=report.status, jobs=record.jobs)
        return report


def _newest_scan(s3: "S3Client", bucket: str) -> ScanCounts:
    """The counts of the newest scan; zeros if they cannot be read."""
    try:
        body = s3.get_object(Bucket=bucket, Key=PENDING_JOBS_KEY)["Body"].read()
        scan = _Pending.model_validate_json(body)
    except (*AWS_ERRORS, ValidationError) as error:
        if not is_missing(error):
            log.warning("pending_jobs_unreadable", error=cause_of(error))
        return ScanCounts()
    return ScanCounts(
        sessions_scanned=scan.total_sessions,
        total_missing_chunks=scan.total_missing_chunks,
        sessions_with_missing_chunks=scan.sessions_with_missing_chunks,
    )


_NOTICE_INTERVAL_SECONDS: Final = 60.0
# No notification names more reasons, and long before that the alarm rings.
_MAX_KEPT: Final = 10_000


class DeadLetterNotices:
    """Collects dead letters and sends them in batches: a broken session has thousands. Safe to share by threads.

    Messages that SQS itself moves to the dead-letter queue are not among them; the alarm on that queue sees those.
    """

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._letters: SimpleQueue[ReportError] = SimpleQueue()

    def add(self, letter: ReportError) -> None:
        """Add a job that went to the dead-letter queue."""
        if self._letters.qsize() < _MAX_KEPT:
            self._letters.put(letter)

    def send(self) -> None:
        """Send a notification of those collected, if any. If that fails, they are kept for the next one."""
        letters = list(drain(self._letters))
        if letters and not self._notifier.notify(dead_letters(letters)):
            for letter in letters:
                self.add(letter)
