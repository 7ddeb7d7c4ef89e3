"""The worker as a command: builds all parts from the environment and runs until the work is done."""

import gc
import os
import signal
import socket
import sys
from datetime import timedelta

import click
import structlog

from consumer.heart import Heart
from consumer.instance import WorkerInstance
from consumer.jobqueue import JobQueue
from consumer.leases import LeaseKeeper
from consumer.metadata import instance_identity
from consumer.record import RunRecord
from consumer.run import Runner
from consumer.stopping import StopRequest
from consumer.transcriber import WhisperTranscriber
from consumer.worker import Worker, WorkerBrokenError
from shared import aws
from shared.clock import SystemClock
from shared.ledger import Ledger
from shared.lock import SessionLock
from shared.logs import configure_logging
from shared.settings import load_settings

log = structlog.get_logger()

# EX_TEMPFAIL of sysexits.h: the service manager starts the worker afresh.
_EXIT_HUNG = 75


@click.command()
@click.option("--until-empty", is_flag=True, help="End when the queue stays empty, also where no instance is stopped.")
def consume(*, until_empty: bool) -> None:
    """Transcribe jobs from the queue until it stays empty, then stop this instance.

    Runs on the GPU host. Only an instance that the autoscaler started is stopped; anywhere else the worker keeps
    polling. SIGTERM and Ctrl-C finish the job in hand if it fits in SCRIBEFLEET_DRAIN_SECONDS, hand back the rest and
    write the report; a second one hands back at once.

    Exit codes: 0 done or asked to stop, 1 broken, 2 wrong use or a wrong setting, 75 a job hung: start afresh.
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
    instance = WorkerInstance(aws.ec2_client(), identity, settings.power_off_command) if identity else None
    s3 = aws.s3_client()
    queue = JobQueue(aws.sqs_client(), settings, clock)
    ledger = Ledger(aws.dynamodb_client(), settings, clock)
    lock = SessionLock(s3, settings.bucket, clock, timedelta(minutes=settings.lock_stale_minutes))
    leases = LeaseKeeper(queue, settings, clock, on_hung=_end_process)
    heart = Heart(ledger, worker_id, clock, settings.heartbeat_seconds)
    record = RunRecord(started=clock.now())
    # The heart beats while the model loads: an instance that says nothing looks like one that failed to boot.
    with heart.running(), leases.running():
        transcriber = WhisperTranscriber(settings)
        # faster-whisper collects garbage after each decode (SYSTRAN/faster-whisper#390). What is loaded by now stays
        # for good, so the collector need not go through it each time.
        gc.freeze()
        record.model_load_seconds = round((clock.now() - record.started).total_seconds(), 3)
        log.info("ready", model=transcriber.model_name, device=transcriber.device, seconds=record.model_load_seconds)
        worker = Worker(worker_id, settings, clock, s3, queue, leases, ledger, transcriber, stop)
        try:
            Runner(worker, heart, lock.read, instance, record, until_empty=until_empty).run()
        except WorkerBrokenError as error:
            log.error("worker_broken", error=str(error))
            sys.exit(1)


def _end_process() -> None:
    """End at once, from whatever thread: a hung GPU call answers to no exception and no signal handler."""
    sys.stderr.flush()
    os._exit(_EXIT_HUNG)
