"""The worker as a command: builds all parts from the environment and runs until the work is done."""

import os
import signal
import socket
import sys
from collections.abc import Callable
from datetime import timedelta

import click
import structlog

from consumer.gate import Gate
from consumer.heart import Heart
from consumer.instance import WorkerInstance
from consumer.jobqueue import JobQueue
from consumer.leases import LeaseKeeper
from consumer.membership import Membership
from consumer.metadata import InstanceIdentity, instance_identity
from consumer.models import Models
from consumer.record import RunRecord
from consumer.retrying import Retrier
from consumer.run import Runner, WorkerBrokenError
from consumer.selftest import self_test
from consumer.session_audio import SessionAudio
from consumer.stopping import StopRequest
from consumer.transcriber import TranscriberBrokenError
from consumer.whisper import WhisperTranscriber
from consumer.worker import Worker
from shared import aws
from shared.clock import Clock, SystemClock
from shared.ledger import Ledger
from shared.lock import LockState, SessionLock
from shared.logs import configure_logging
from shared.settings import Settings, load_settings

log = structlog.get_logger()

# EX_TEMPFAIL of sysexits.h: the service manager starts the worker afresh.
_EXIT_START_AFRESH = 75


@click.command()
@click.option("--until-empty", is_flag=True, help="End when the queue stays empty, also where no instance is stopped.")
def consume(*, until_empty: bool) -> None:
    """Transcribe jobs from the queue until it stays empty, then stop this instance.

    Runs on the GPU host. Only an instance that the autoscaler started is stopped; anywhere else the worker keeps
    polling. SIGTERM and Ctrl-C finish the job in hand if it fits in SCRIBEFLEET_DRAIN_SECONDS, hand back the rest and
    write the report; a second one hands back at once.

    Exit codes: 0 done or asked to stop, 1 an error, 2 wrong use or a wrong setting, 75 a job hung or the model is
    broken: start afresh.
    """
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    clock = SystemClock()
    stop = StopRequest(clock, settings.drain_seconds)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.request())
    identity = instance_identity()
    worker_id = identity.instance_id if identity else f"{socket.gethostname()}-{os.getpid()}"
    structlog.contextvars.bind_contextvars(worker=worker_id)
    worker = _worker(worker_id, settings, clock)
    heart = Heart(worker.ledger, worker_id, clock, settings.heartbeat_seconds)
    record = RunRecord(started=clock.now())
    # The heart beats while the model loads: an instance that says nothing looks like one that failed to boot.
    with heart.running(), worker.leases.running():
        try:
            runner = Runner(
                worker,
                _load_models(settings, clock, record),
                Gate(_lock(worker) if settings.lock_enabled else None, stop, clock),
                stop,
                heart,
                _instance(identity, settings, clock) if identity else None,
                record,
                until_empty=until_empty,
            )
            runner.run()
        except (TranscriberBrokenError, WorkerBrokenError) as error:
            log.error("worker_broken", error=str(error))
            sys.exit(_EXIT_START_AFRESH)


def _worker(worker_id: str, settings: Settings, clock: Clock) -> Worker:
    s3 = aws.s3_client()
    queue = JobQueue(aws.sqs_client(), settings, clock)
    retrier = Retrier(settings.retry_attempts, clock)
    return Worker(
        worker_id,
        settings,
        clock,
        s3,
        queue,
        LeaseKeeper(queue, settings, clock, on_hung=_end_process),
        Ledger(aws.dynamodb_client(), settings, clock),
        SessionAudio(s3, settings, retrier),
        retrier,
    )


def _instance(identity: InstanceIdentity, settings: Settings, clock: Clock) -> WorkerInstance:
    membership = None
    if settings.capacity_provider == "asg":
        group = settings.auto_scaling_group
        membership = Membership(aws.autoscaling_client(), group, identity.instance_id, clock)
    return WorkerInstance(aws.ec2_client(), identity, settings.power_off_command, membership)


def _lock(worker: Worker) -> Callable[[], LockState]:
    stale = timedelta(minutes=worker.settings.lock_stale_minutes)
    return SessionLock(worker.s3, worker.settings.bucket, worker.clock, stale).read


def _load_models(settings: Settings, clock: Clock, record: RunRecord) -> Models:
    """Ready to hear: a model that loads and hears nothing would turn every recording into silence."""
    models = Models(settings, lambda wanted: WhisperTranscriber(wanted, clock))
    tested = self_test(models.default, clock)
    record.model_load_seconds = round((clock.now() - record.started).total_seconds(), 3)
    default = models.default
    log.info(
        "ready",
        model=default.model_name,
        device=default.device,
        parallel=default.parallel,
        seconds=record.model_load_seconds,
        self_test_real_time_factor=round(tested.real_time_factor, 1),
    )
    return models


def _end_process() -> None:
    """End at once, from whatever thread: a hung GPU call answers to no exception and no signal handler."""
    sys.stderr.flush()
    os._exit(_EXIT_START_AFRESH)
