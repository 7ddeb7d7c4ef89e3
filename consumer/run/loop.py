"""The worker's main loop: receives jobs while it may, and ends the run when the queue stays empty.

Shutdown order, and why: announce draining, so that the autoscaler stops counting on this instance; poll once more,
for a job that came before the announcement; look at the lock again, since no instance is stopped during a live
session; write the report, which nobody could write later; look at the lock once more; stop the instance.
"""

from collections.abc import Mapping
from typing import Literal

import structlog

from consumer.host.instance import WorkerInstance
from consumer.jobs.stages import Message
from consumer.lifecycle.gate import Gate
from consumer.lifecycle.heartbeat import HeartbeatSender
from consumer.lifecycle.stop_request import StopRequest
from consumer.run.pipeline import Pipeline
from consumer.run.record import Ending
from consumer.run.reporter import Reporter
from consumer.run.session_finisher import SessionFinisher
from shared.errors import AWS_ERRORS, cause_of, is_retryable
from shared.formats.heartbeat import WorkerState
from shared.reporting.timeline import Phase
from shared.settings import Settings

log = structlog.get_logger()

_QUEUE_AWAY_SECONDS = 5
_POLL_INTERVAL_SECONDS = 0.5
# In a row. Once or twice may be while credentials are renewed.
_MAX_REFUSED = 3
_PHASES: Mapping[WorkerState, Phase] = {
    "starting": "load",
    "idle": "idle",
    "busy": "busy",
    "locked": "locked",
    "draining": "draining",
}

# How the loop ended; `reported` when the report is written already.
_Ending = Literal["reported"] | Ending


class WorkerBrokenError(Exception):
    """The process cannot continue and should be restarted. All messages in flight were released."""


class Worker:
    """The process's loop. It alone counts what was done; other threads put that into the pipeline's queue.

    Args:
        instance: `None` when the host is no EC2 instance, so that there is nothing to stop.
    """

    def __init__(
        self,
        settings: Settings,
        pipeline: Pipeline,
        finisher: SessionFinisher,
        gate: Gate,
        stop: StopRequest,
        heart: HeartbeatSender,
        instance: WorkerInstance | None,
        reporter: Reporter,
    ) -> None:
        self._settings = settings
        self._pipeline = pipeline
        self._finisher = finisher
        self._heart = heart
        self._reporter = reporter
        self._gate = gate
        self._stop = stop
        self._instance = instance
        self._until_empty = False

    def run(self, *, until_empty: bool = False) -> None:
        """Work until the instance is stopped or the process is asked to end.

        Args:
            until_empty: return at the end of a run also when the instance is not stopped.

        Raises:
            WorkerBrokenError: the process should be restarted.
        """
        self._until_empty = until_empty
        try:
            with self._reporter.sending_notices(), self._finisher.running(self._stop.must_abort):
                with self._pipeline.running():
                    ending = self._loop()
                self._finish_sessions()
        except BaseException as error:
            self._report("crashed", f"the worker broke: {cause_of(error)}")
            raise
        if ending != "reported":
            self._report(ending, self._stop.reason if ending == "interrupted" else None)

    def report_hang(self) -> None:
        """Report a run whose job hangs. Called from another thread, since the loop's may never return."""
        self._report("crashed", "a job hung, so the worker was ended")

    def _loop(self) -> _Ending:
        empty_polls = 0
        while not self._stop.requested:
            self._tick()
            if self._pipeline.broken:
                raise WorkerBrokenError("the worker cannot go on in this process")
            if self._gate.look().held:
                self._wait_for_lock()
                empty_polls = 0
            elif self._take_in():
                empty_polls = 0
            elif self._pipeline.idle:
                empty_polls += 1
                log.debug("empty_poll", in_a_row=empty_polls)
                if empty_polls >= self._settings.empty_polls_before_end:
                    if self._end_run():
                        return "reported"
                    empty_polls = 0
        idle = bool(empty_polls) and self._pipeline.idle
        # Without `_becomes`, which would mark the instance as not needed: jobs in flight are still being finished.
        self._heart.becomes("draining")
        self._reporter.becomes("draining")
        return "ended" if idle else "interrupted"

    # --- work

    def _take_in(self) -> bool:
        """Receive what there is room for; returns False if an idle worker's long poll found nothing."""
        intake = self._pipeline.intake()
        self._becomes("idle" if intake.idle else "busy")
        if not intake.room:
            if intake.idle:
                self._stop.wait(_POLL_INTERVAL_SECONDS)
            else:
                self._pipeline.wait(_POLL_INTERVAL_SECONDS, below=intake.in_flight)
            return True
        messages = self._receive(intake.room, wait=intake.long_poll)
        if messages:
            self._becomes("busy")
        self._pipeline.accept(messages or [])
        return bool(messages) or messages is None or not (intake.idle and intake.long_poll)

    def _receive(self, room: int, *, wait: bool) -> list[Message] | None:
        """The next messages; `None` when SQS is away."""
        self._tick()
        try:
            return self._pipeline.receive(room, wait=wait)
        except AWS_ERRORS as error:
            if not is_retryable(error):
                raise
            log.warning("queue_unavailable", error=cause_of(error))
            self._stop.wait(_QUEUE_AWAY_SECONDS)
            return None

    def _work_off(self) -> None:
        """Wait until no message is in flight."""
        self._pipeline.accept([])
        while not self._pipeline.wait(_POLL_INTERVAL_SECONDS) and not self._pipeline.broken:
            self._tick()

    def _becomes(self, state: WorkerState) -> None:
        self._heart.becomes(state)
        self._reporter.becomes(_PHASES[state])
        # Locked is needed, too: while a live session lasts, no instance is stopped.
        if self._instance:
            self._instance.keep(needed=state in {"busy", "locked"})

    def _tick(self) -> None:
        """Record that the loop is alive, and count what was done since the last tick."""
        self._heart.tick()
        self._count()
        self._reporter.write_metrics(self._pipeline.meter.seconds)

    def _count(self) -> None:
        for record in self._reporter.count(self._pipeline.results):
            self._finisher.ended(record)
            self._heart.job_done(self._reporter.record.rtfx)

    # --- the lock

    def _wait_for_lock(self) -> None:
        """Finish or release the jobs in flight, then wait until no live session holds the lock."""
        log.info("holding", why="a live session holds the lock")
        self._work_off()
        self._becomes("locked")
        refused = 0
        while not self._stop.requested and (lock := self._gate.look()).held:
            self._tick()
            refused = refused + 1 if lock.caller_refused else 0
            if refused >= _MAX_REFUSED:
                raise WorkerBrokenError(f"AWS refuses this worker: {lock.problem}")
            self._stop.wait(self._settings.lock_poll_seconds)
        self._becomes("idle")

    # --- the end of the run

    def _end_run(self) -> bool:
        """Returns whether the process should end. It continues when work came, the lock is held or it may not stop."""
        self._finish_sessions()
        self._becomes("draining")
        last = self._receive(self._settings.receive_max_jobs, wait=True)
        if last:
            self._pipeline.accept(last)
        if last is None or last or self._stop.requested or self._gate.look().held:
            return False
        owned = self._report("ended")
        if owned and self._instance:
            # Once more: a live session may have begun while the report was written.
            if self._gate.look().held:
                return False
            if self._instance.stop():
                return True
        self._becomes("idle")
        return self._until_empty

    def _finish_sessions(self) -> None:
        """Write the transcripts of sessions without gaps; after a request to stop, as many as the time allows."""
        self._tick()
        self._finisher.hurry()
        while not self._finisher.wait(_POLL_INTERVAL_SECONDS) and not self._stop.must_abort():
            self._tick()

    def _report(self, ending: Ending, why: str | None = None) -> bool:
        """Write the run's report; returns whether the instance is owned."""
        self._heart.tick()
        self._count()
        # Before the instance is stopped: later lines would not leave the host.
        self._reporter.write_metrics(self._pipeline.meter.seconds, at_once=True)
        return self._reporter.report(ending, why)
