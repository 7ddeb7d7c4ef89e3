"""The worker's process: wires its parts from the settings, and owns signals, exit codes and the end of a hung process.

The model is passed in, so that tests can bring their own.
"""

import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from consumer.host.imds import MetadataService
from consumer.host.instance import host_instance, lock_reader
from consumer.jobs.handler import JobHandler
from consumer.jobs.leases import LeaseKeeper
from consumer.jobs.queue import JobQueue
from consumer.lifecycle.gate import Gate
from consumer.lifecycle.heartbeat import HeartbeatSender
from consumer.lifecycle.spot import watching
from consumer.lifecycle.stop_request import StopRequest
from consumer.lifecycle.systemd import ServiceManager
from consumer.lifecycle.watchdog import HangHandler, Watchdog, WorkerProgress
from consumer.model.registry import Models
from consumer.model.selftest import self_test
from consumer.model.transcriber import Transcriber, TranscriberBrokenError
from consumer.run.loop import Worker, WorkerBrokenError
from consumer.run.metrics import WorkerMetrics
from consumer.run.pipeline import Pipeline
from consumer.run.reporter import Reporter
from consumer.run.session_finisher import SessionFinisher
from consumer.sessions.audio import SessionAudio
from consumer.sessions.hints import SessionHints
from shared.aws import clients
from shared.aws.retrying import Retrier
from shared.clock import Clock
from shared.errors import AWS_ERRORS, ScribefleetError
from shared.metrics import write_line
from shared.reporting.notify import Notifier
from shared.setting_groups import ModelSettings
from shared.settings import Settings
from shared.state.ledger import Ledger

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = structlog.get_logger()

# EX_TEMPFAIL of sysexits.h: the service manager restarts the worker.
_EXIT_RESTART = 75
_ALIVE_FILE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class _Services:
    """What several parts of the process share."""

    settings: Settings
    clock: Clock
    s3: "S3Client"
    queue: JobQueue
    leases: LeaseKeeper
    ledger: Ledger
    retrier: Retrier
    notifier: Notifier

    @classmethod
    def of_process(cls, settings: Settings, clock: Clock, on_hung: Callable[[], None]) -> "_Services":
        """The services that the settings and the environment name."""
        queue = JobQueue(clients.sqs_client(), settings, clock, polling=clients.polling_sqs_client())
        return cls(
            settings,
            clock,
            clients.s3_client(),
            queue,
            LeaseKeeper(queue, settings, clock, on_hung),
            Ledger(clients.dynamodb_client(), settings, clock),
            Retrier(settings.retry_attempts, clock),
            Notifier.from_settings(settings, clock),
        )

    def pipeline(self, worker_id: str, models: Models, gate: Gate, stop: StopRequest) -> Pipeline:
        """The stages over these services."""
        settings, clock, s3, retrier = self.settings, self.clock, self.s3, self.retrier
        audio = SessionAudio(s3, settings, retrier)
        hints = SessionHints(s3, settings.bucket, retrier)
        handler = JobHandler(worker_id, settings, clock, s3, self.queue, self.leases, self.ledger, audio, retrier)
        return Pipeline(settings, clock, handler, models, audio, hints, gate, stop)


Load = Callable[[ModelSettings], Transcriber]


def work(
    settings: Settings, load: Load, clock: Clock, *, until_empty: bool = False, alive_file: Path | None = None
) -> None:
    """Be a worker until the instance is stopped or the process is asked to end. Call it in the main thread.

    Args:
        load: loads the model that the settings name; raises `ConfigurationError` when none works here.
        until_empty: end when the queue stays empty, even if no instance is stopped.
        alive_file: touched every ten seconds while the worker makes progress.

    Raises:
        SystemExit: with 75, for a restart, when a job hung, the model is broken or AWS refuses the worker.
        ScribefleetError: no model works.
    """
    manager = ServiceManager.from_environment(os.environ)
    stop = StopRequest(clock, settings.drain_seconds)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.request())
    metadata = MetadataService.of_host()
    identity = metadata.identity() if metadata else None
    worker_id = identity.instance_id if identity else f"{socket.gethostname()}-{os.getpid()}"
    structlog.contextvars.bind_contextvars(worker=worker_id)
    hang = HangHandler(_EXIT_RESTART)
    services = _Services.of_process(settings, clock, on_hung=hang.end_process)
    s3, leases, notifier = services.s3, services.leases, services.notifier
    heart = HeartbeatSender(services.ledger, worker_id, clock, settings.heartbeat_seconds)
    gate = Gate(lock_reader(s3, settings, clock), stop, clock)
    instance = host_instance(identity, settings, clock) if identity else None
    reporter = Reporter(settings, clock, s3, services.retrier, notifier, gate, instance, _metrics(settings, clock))
    # Heartbeats begin before the model loads: without them the instance would look as if it had failed to boot.
    with heart.running(), leases.running(), watching(metadata if identity else None, stop, clock):
        try:
            models = _load_models(settings, load, clock, reporter)
            pipeline = services.pipeline(worker_id, models, gate, stop)
            finisher = SessionFinisher.from_settings(s3, settings, clock, notifier, lambda: gate.look().held)
            worker = Worker(settings, pipeline, finisher, gate, stop, heart, instance, reporter)
            hang.say = worker.report_hang
            heart.tick()
            manager.ready()
            with _watchdog(WorkerProgress(heart, leases, settings, clock), manager, alive_file).running():
                worker.run(until_empty=until_empty)
            manager.stopping()
        except (TranscriberBrokenError, WorkerBrokenError, *AWS_ERRORS) as error:
            # Only AWS errors that no waiting helps against arrive here, such as expired credentials.
            log.error("worker_broken", error=str(error))
            sys.exit(_EXIT_RESTART)


def _watchdog(progress: WorkerProgress, manager: ServiceManager, alive_file: Path | None) -> Watchdog:
    watchers: list[Callable[[], None]] = []
    interval = _ALIVE_FILE_SECONDS
    if manager.watchdog_seconds:
        watchers.append(manager.alive)
        # sd_watchdog_enabled(3) advises half the time or less.
        interval = min(interval, manager.watchdog_seconds / 3)
    if alive_file:
        watchers.append(alive_file.touch)
    return Watchdog(progress.problem, watchers, interval if watchers else None)


def _metrics(settings: Settings, clock: Clock) -> WorkerMetrics | None:
    """Metrics for a log in JSON, which the template sets where CloudWatch reads the log; otherwise none."""
    if settings.log_format != "json":
        return None
    return WorkerMetrics(settings.fleet_name, clock, lambda line: write_line(line, sys.stdout))


def _load_models(settings: Settings, load: Load, clock: Clock, reporter: Reporter) -> Models:
    """Load and test the model: one that loads and hears nothing would turn every recording into silence.

    Raises:
        ScribefleetError: no model works; the run is reported as failed.
    """
    try:
        models = Models(settings, load)
        tested = self_test(models.default, clock)
    except ScribefleetError as error:
        reporter.report("failed", f"no model that works: {type(error).__name__}")
        raise
    record = reporter.record
    record.model_load_seconds = round((clock.now() - record.started).total_seconds(), 3)
    default = models.default
    log.info(
        "ready",
        model=default.model_name,
        device=default.device,
        parallel=default.parallel,
        seconds=record.model_load_seconds,
        self_test_rtfx=round(tested.rtfx, 1),
    )
    return models
