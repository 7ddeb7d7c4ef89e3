"""A worker's run from first poll to last: takes jobs while it may, ends the run when the queue stays empty.

Shutdown order, and why: announce draining, so that the autoscaler stops counting on this instance; poll once more,
for a job that came before the announcement; look at the lock again, since a live session may have begun and no
instance is stopped while it lasts; write the report, which nobody could write later; only then stop the instance.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Literal

import structlog
from pydantic import ValidationError

from consumer.gate import Gate
from consumer.heart import Heart
from consumer.instance import WorkerInstance
from consumer.jobqueue import Message
from consumer.metrics import INTERVAL_SECONDS
from consumer.models import Models
from consumer.pipeline import Pipeline
from consumer.record import JobRecord, RunEnd, RunRecord, batch_report
from consumer.session_hints import SessionHints
from consumer.stopping import StopRequest
from consumer.worker import Worker
from shared.background import repeating
from shared.errors import AWS_ERRORS, error_code, is_missing, is_retryable
from shared.layout import PENDING_JOBS_KEY
from shared.ledger import WorkerState
from shared.messages import WireModel
from shared.reports import ScanCounts, write_report

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = structlog.get_logger()

_QUEUE_AWAY_SECONDS = 5
_LOOK_SECONDS = 0.5

# How a run ends: the worker stopped its instance (or may end), or it was asked to stop with or without work.
_Ending = Literal["its own", "while idle", "cut off"]


class _Pending(WireModel):
    """What a report repeats of pending-jobs.json."""

    total_sessions: int
    total_missing_chunks: int
    sessions_with_missing_chunks: int


class WorkerBrokenError(Exception):
    """The process cannot go on: it should end and be started afresh. What was in hand is given back."""


class Runner:
    """Runs a worker.

    Args:
        instance: absent when the host is no EC2 instance; there is nothing to stop then.
        until_empty: end the process at the end of the run also when the instance is not stopped.
    """

    def __init__(
        self,
        worker: Worker,
        models: Models,
        gate: Gate,
        stop: StopRequest,
        heart: Heart,
        instance: WorkerInstance | None,
        record: RunRecord,
        *,
        until_empty: bool = False,
    ) -> None:
        self.worker = worker
        self.heart = heart
        self.record = record
        self._gate = gate
        self._stop = stop
        self._instance = instance
        self._until_empty = until_empty
        self._reported = False
        hints = SessionHints(worker.s3, worker.settings.bucket, worker.retrier)
        self.pipeline = Pipeline(worker, models, hints, gate, stop, on_end=self._ended, on_work=self._worked)

    def run(self) -> None:
        """Work until the instance is stopped or the process is asked to end.

        Raises:
            WorkerBrokenError: the process should be started afresh.
        """
        ending: _Ending = "cut off"
        try:
            with self._saying_metrics(), self.pipeline.running():
                ending = self._loop()
        finally:
            if ending != "its own":
                self._report(interrupted=ending == "cut off")

    def _loop(self) -> _Ending:
        empty_polls = 0
        while not self._stop.requested:
            self.heart.turned()
            if self.pipeline.broken:
                raise WorkerBrokenError("the worker cannot go on in this process")
            if self._gate.look().held:
                self._wait_for_lock()
                empty_polls = 0
            elif self._take_in():
                empty_polls = 0
            elif self.pipeline.idle:
                empty_polls += 1
                log.debug("empty_poll", in_a_row=empty_polls)
                if empty_polls >= self.worker.settings.empty_polls_before_end:
                    if self._end_run():
                        return "its own"
                    empty_polls = 0
        return "while idle" if empty_polls and self.pipeline.idle else "cut off"

    # --- work

    def _take_in(self) -> bool:
        """Receive what there is room for; returns False for a poll that found nothing while nothing was in hand."""
        pipeline = self.pipeline
        was_idle = pipeline.idle
        self._becomes("idle" if was_idle else "busy")
        room = pipeline.in_hand.room()
        if not room:
            pipeline.wait(_LOOK_SECONDS, until=lambda: pipeline.in_hand.room() > 0)
            return True
        # While messages keep coming the poll does not wait, so that windows need not wait long to become full.
        messages = self._receive(room, wait=pipeline.settled)
        if messages:
            self._becomes("busy")
            pipeline.accept(messages)
            return True
        was_settled = pipeline.settled
        pipeline.settle()
        return messages is None or not (was_idle and was_settled)

    def _receive(self, room: int, *, wait: bool) -> list[Message] | None:
        """The next jobs; empty when there are none, `None` when the queue could not be asked."""
        self.heart.turned()
        try:
            messages = self.worker.queue.receive(room, wait=wait)
        except AWS_ERRORS as error:
            if not is_retryable(error):
                raise
            log.warning("queue_unavailable", error=error_code(error) or type(error).__name__)
            self._stop.wait(_QUEUE_AWAY_SECONDS)
            return None
        # A long poll cannot be taken back: what it brought after a request to stop is held first, then given back.
        self.worker.leases.hold(messages)
        return messages

    def _work_off(self) -> None:
        """Wait until nothing is in hand."""
        self.pipeline.settle()
        while not self.pipeline.wait(_LOOK_SECONDS, until=lambda: self.pipeline.idle) and not self.pipeline.broken:
            self.heart.turned()

    def _becomes(self, state: WorkerState) -> None:
        self.heart.becomes(state)
        # Locked is needed, too: while a live session lasts, no instance is stopped.
        if self._instance:
            self._instance.keep(needed=state in {"busy", "locked"})

    def _ended(self, record: JobRecord | None) -> None:
        if record:
            self.record.add(record)
            self.heart.job_done(self.record.real_time_factor)
            if self.worker.metrics:
                self.worker.metrics.ended(record)

    def _worked(self, seconds: float) -> None:
        self.record.worked(seconds)

    # --- metrics

    def _saying_metrics(self) -> AbstractContextManager[None]:
        return repeating(self._say_metrics, INTERVAL_SECONDS, "metrics") if self.worker.metrics else nullcontext()

    def _say_metrics(self) -> None:
        if self.worker.metrics:
            self.worker.metrics.say(self.pipeline.meter.seconds)

    # --- the lock

    def _wait_for_lock(self) -> None:
        """Work in hand finishes or goes back, and nothing begins until no live session holds the lock any more."""
        log.info("holding", why="a live session holds the lock")
        self._work_off()
        self._becomes("locked")
        while not self._stop.requested and self._gate.look().held:
            self.heart.turned()
            self._stop.wait(self.worker.settings.lock_poll_seconds)
        self._becomes("idle")

    # --- the end of the run

    def _end_run(self) -> bool:
        """Returns whether the process is to end; it goes on when work came, the lock is held or nobody may stop it."""
        self._becomes("draining")
        last = self._receive(self.worker.settings.receive_max_jobs, wait=True)
        if last:
            self.pipeline.accept(last)
        if last is None or last or self._stop.requested or self._gate.look().held:
            return False
        owned = self._report(interrupted=False)
        if owned and self._instance and self._instance.stop():
            return True
        self._becomes("idle")
        return self._until_empty

    def _report(self, *, interrupted: bool) -> bool:
        """Write the run's report and begin the record of the next run; returns whether the instance is owned."""
        self.heart.turned()
        # Before the instance may be stopped: what is said after that no longer leaves the host.
        self._say_metrics()
        now = self.worker.clock.now()
        settings = self.worker.settings
        run = self._instance.run() if self._instance else None
        owned = bool(run and run.owned)
        # An instance that someone else keeps running, or that cannot be stopped, polls for days: after the first
        # report only what was done since is worth another.
        if not self.record.jobs and (self._reported or not owned):
            return owned
        end = RunEnd(
            ended=now,
            interrupted=interrupted,
            lock_status=self._gate.look().describe(),
            scan=_newest_scan(self.worker.s3, settings.bucket),
            identity=self._instance.identity if self._instance else None,
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
