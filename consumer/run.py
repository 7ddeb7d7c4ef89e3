"""A worker's run from first poll to last: takes jobs while it may, ends the run when the queue stays empty.

Shutdown order, and why: announce draining, so that the autoscaler stops counting on this instance; poll once more,
for a job that came before the announcement; look at the lock again, since a live session may have begun and no
instance is stopped while it lasts; write the report, which nobody could write later; only then stop the instance.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from pydantic import ValidationError

from consumer.heart import Heart
from consumer.instance import WorkerInstance
from consumer.jobqueue import Message
from consumer.record import RunEnd, RunRecord, batch_report
from consumer.worker import Worker, WorkerBrokenError
from shared.errors import AWS_ERRORS, error_code, is_missing, is_retryable
from shared.layout import PENDING_JOBS_KEY
from shared.lock import LockState
from shared.messages import WireModel
from shared.reports import ScanCounts, write_report

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = structlog.get_logger()

_QUEUE_AWAY_SECONDS = 5


class _Pending(WireModel):
    """What a report repeats of pending-jobs.json."""

    total_sessions: int
    total_missing_chunks: int
    sessions_with_missing_chunks: int


@dataclass(slots=True)
class Runner:
    """Runs a worker.

    Attributes:
        read_lock: one look at the lock.
        instance: absent when the host is no EC2 instance; there is nothing to stop then.
        until_empty: end the process at the end of the run also when the instance is not stopped.
    """

    worker: Worker
    heart: Heart
    read_lock: Callable[[], LockState]
    instance: WorkerInstance | None
    record: RunRecord
    until_empty: bool = False
    _reported: bool = False

    def run(self) -> None:
        """Work until the instance is stopped or the process is asked to end.

        Raises:
            WorkerBrokenError: the process should be started afresh; what was in hand is given back.
        """
        try:
            ended = self._loop()
        except WorkerBrokenError:
            self._report(interrupted=True)
            raise
        if not ended:
            self._report(interrupted=True)

    def _loop(self) -> bool:
        """Returns whether the run came to its own end; else a stop was asked for."""
        empty_polls = 0
        while not self._stop_requested():
            if self._lock_held():
                self._wait_for_lock()
                empty_polls = 0
                continue
            messages = self._receive()
            if messages is None:
                continue
            if messages:
                empty_polls = 0
                self._work_off(messages)
                continue
            empty_polls += 1
            log.debug("empty_poll", in_a_row=empty_polls)
            if empty_polls >= self.worker.settings.max_empty_polls:
                if self._end_run():
                    return True
                empty_polls = 0
        return False

    # --- work

    def _receive(self) -> list[Message] | None:
        """The next jobs; empty when the queue stayed empty, `None` when it could not be asked."""
        try:
            messages = self.worker.queue.receive()
        except AWS_ERRORS as error:
            if not is_retryable(error):
                raise
            log.warning("queue_unavailable", error=error_code(error) or type(error).__name__)
            self.worker.stop.wait(_QUEUE_AWAY_SECONDS)
            return None
        # A long poll cannot be taken back: what it brought after a request to stop is held first, then given back.
        self.worker.leases.hold(messages)
        return messages

    def _work_off(self, messages: list[Message]) -> None:
        waiting = list(messages)
        try:
            while waiting and not self._stop_requested() and not self._lock_held():
                self.heart.becomes("busy")
                record = self.worker.handle(waiting.pop(0))
                if record:
                    self.record.add(record)
                    self.heart.job_done(self.record.real_time_factor)
        finally:
            self.worker.give_back(waiting)
            self.heart.becomes("idle")

    # --- reasons not to work

    def _stop_requested(self) -> bool:
        return self.worker.stop.requested

    def _lock_held(self) -> bool:
        if not self.worker.settings.lock_enabled:
            return False
        state = self.read_lock()
        if state.problem:
            log.error("lock_unreadable", problem=state.problem)
        return state.held

    def _wait_for_lock(self) -> None:
        log.info("holding", why="a live session holds the lock")
        self.heart.becomes("locked")
        while self._lock_held() and not self._stop_requested():
            self.worker.stop.wait(self.worker.settings.lock_poll_seconds)
        self.heart.becomes("idle")

    # --- the end of the run

    def _end_run(self) -> bool:
        """Returns whether the process is to end; it goes on when work came, the lock is held or nobody may stop it."""
        self.heart.becomes("draining")
        last = self._receive()
        if last is None or last or self._stop_requested() or self._lock_held():
            self._work_off(last or [])
            self.heart.becomes("idle")
            return False
        owned = self._report(interrupted=False)
        if owned and self.instance and self.instance.stop():
            return True
        self.heart.becomes("idle")
        return self.until_empty

    def _report(self, *, interrupted: bool) -> bool:
        """Write the run's report and begin the record of the next run; returns whether the instance is owned."""
        now = self.worker.clock.now()
        settings = self.worker.settings
        run = self.instance.run() if self.instance else None
        owned = bool(run and run.owned)
        # An instance that someone else keeps running, or that cannot be stopped, polls for days: after the first
        # report only what was done since is worth another.
        if not self.record.jobs and (self._reported or not owned):
            return owned
        end = RunEnd(
            ended=now,
            interrupted=interrupted,
            lock_status=(self.read_lock() if settings.lock_enabled else LockState()).describe(),
            scan=_newest_scan(self.worker.s3, settings.bucket),
            identity=self.instance.identity if self.instance else None,
            run=run,
            price_usd_per_hour=settings.price_usd_per_hour,
        )
        try:
            report = write_report(self.worker.s3, settings.bucket, batch_report(self.record, end), self.record.started)
        except AWS_ERRORS as error:
            # A report tells of work that is done: its absence is no reason to keep a GPU running.
            log.error("report_not_written", error=error_code(error) or type(error).__name__)
        else:
            log.info("run_reported", report=report.report_id, status=report.status, jobs=self.record.jobs)
        self.record = RunRecord(started=now)
        self._reported = True
        return owned


def _newest_scan(s3: "S3Client", bucket: str) -> ScanCounts:
    """The counts of the newest scan; zeros when there is none to read."""
    try:
        body = s3.get_object(Bucket=bucket, Key=PENDING_JOBS_KEY)["Body"].read()
        scan = _Pending.model_validate_json(body)
    except (*AWS_ERRORS, ValidationError) as error:
        if not is_missing(error):
            log.warning("pending_jobs_unreadable", error=error_code(error) or type(error).__name__)
        return ScanCounts()
    return ScanCounts(
        sessions_scanned=scan.total_sessions,
        total_missing_chunks=scan.total_missing_chunks,
        sessions_with_missing_chunks=scan.sessions_with_missing_chunks,
    )
