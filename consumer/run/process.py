"""The worker's process: builds all its parts from the settings, and runs until the work is done.

It wires and owns the process: signals, exit codes, what still has to be said when a job hangs. It decides nothing about
jobs, and does not know which model hears; that is handed in.
"""

import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

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
from consumer.run.record import RunRecord
from consumer.run.reporter import Reporter
from consumer.sessions.audio import SessionAudio
from shared.aws import clients
from shared.aws.retrying import Retrier
from shared.clock import Clock
from shared.errors import AWS_ERRORS, ScribefleetError
from shared.metrics import write_line
from shared.reporting.notify import Notifier
from shared.setting_groups import ModelSettings
from shared.settings import Settings
from shared.state.ledger import Ledger

log = structlog.get_logger()

# EX_TEMPFAIL of sysexits.h: the service manager starts the worker afresh.
_EXIT_START_AFRESH = 75
_ALIVE_FILE_SECONDS = 10.0


Load = Callable[[ModelSettings], Transcriber]


def work(
    settings: Settings, load: Load, clock: Clock, *, until_empty: bool = False, alive_file: Path | None = None
) -> None:
    """Be a worker until the instance is stopped or the process is asked to end. Call it in the main thread.

    Args:
        load: loads the model that settings name, and raises `ConfigurationError` when there is none that works here.
        until_empty: end when the queue stays empty, also where no instance is stopped.
        alive_file: is touched every ten seconds while the worker gets on.

    Raises:
        SystemExit: with 75 when a job hung, the model is broken or AWS refuses the worker: a fresh process should be
            started.
        ScribefleetError: there is no model that works.
    """
    manager = ServiceManager.from_environment(os.environ)
    stop = StopRequest(clock, settings.drain_seconds)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.request())
    metadata = MetadataService.of_host()
    identity = metadata.identity() if metadata else None
    worker_id = identity.instance_id if identity else f"{socket.gethostname()}-{os.getpid()}"
    structlog.contextvars.bind_contextvars(worker=worker_id)
    last_words = HangHandler(_EXIT_START_AFRESH)
    worker = _worker(worker_id, settings, clock, last_words)
    heart = HeartbeatSender(worker.ledger, worker_id, clock, settings.heartbeat_seconds)
    gate = Gate(lock_reader(worker.s3, settings, clock), stop, clock)
    instance = host_instance(identity, settings, clock) if identity else None
    reporter = Reporter(worker, gate, instance, RunRecord.begun(clock.now(), "load"), _metrics(settings, clock))
    # The heart beats while the model loads: an instance that says nothing looks like one that failed to boot.
    with heart.running(), worker.leases.running(), watching(metadata if identity else None, stop, clock):
        try:
            models = _load_models(settings, load, clock, reporter)
            runner = Worker(worker, models, gate, stop, heart, instance, reporter, until_empty=until_empty)
            last_words.say = runner.last_words
            heart.tick()
            manager.ready()
            with _watchdog(WorkerProgress(heart, worker.leases, settings, clock), manager, alive_file).running():
                runner.run()
            manager.stopping()
        except (TranscriberBrokenError, WorkerBrokenError, *AWS_ERRORS) as error:
            # Of AWS's errors those reach this that no waiting helps against, such as credentials that have run out.
            log.error("worker_broken", error=str(error))
            sys.exit(_EXIT_START_AFRESH)


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


def _worker(worker_id: str, settings: Settings, clock: Clock, last_words: HangHandler) -> JobHandler:
    s3 = clients.s3_client()
    queue = JobQueue(clients.sqs_client(), settings, clock, polling=clients.polling_sqs_client())
    retrier = Retrier(settings.retry_attempts, clock)
    return JobHandler(
        worker_id,
        settings,
        clock,
        s3,
        queue,
        LeaseKeeper(queue, settings, clock, on_hung=last_words.end_process),
        Ledger(clients.dynamodb_client(), settings, clock),
        SessionAudio(s3, settings, retrier),
        retrier,
        Notifier.from_settings(settings, clock),
    )


def _metrics(settings: Settings, clock: Clock) -> WorkerMetrics | None:
    """Only for a log that machines read: `json` is what the template sets where CloudWatch takes the log in."""
    if settings.log_format != "json":
        return None
    return WorkerMetrics(settings.fleet_name, clock, lambda line: write_line(line, sys.stdout))


def _load_models(settings: Settings, load: Load, clock: Clock, reporter: Reporter) -> Models:
    """Ready to hear: a model that loads and hears nothing would turn every recording into silence.

    Raises:
        ScribefleetError: there is no model that works; the run is reported as failed.
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
