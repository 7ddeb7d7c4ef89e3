"""Stops the host of a worker that has ended for good, so that no GPU runs on for nothing.

The service manager runs it when it has given the worker up. The same rules hold as for the worker's own end: only an
instance that the autoscaler started, never one that a person holds, never while a live session lasts, and a member of
the fleet's group leaves its group instead of powering off. Where nobody can say whose the host is, it is left to the
autoscaler, which stops an owned instance that is silent.
"""

import sys
from collections.abc import Callable
from typing import Final

import click
import structlog

from consumer.host.imds import instance_identity
from consumer.host.instance import WorkerInstance, host_instance, lock_reader
from shared.aws import clients
from shared.clock import Clock, SystemClock
from shared.logs import configure_logging
from shared.settings import load_host_settings
from shared.state.lock import LockState

log = structlog.get_logger()

# What broke the worker may be a network that comes back in some minutes.
_TRIES: Final = 10
_TRY_AGAIN_SECONDS: Final = 30.0


@click.command("stop-host")
def stop_host() -> None:
    """Stop this host because its worker has ended for good.

    Only an instance that the autoscaler started is stopped, and none that is tagged scribefleet:hold. While a live
    session holds the lock it waits. The worker's service runs this when it fails for good.

    Exit codes: 0 the host stops or is rightly kept, 1 AWS did not let it, 2 a wrong setting.
    """
    settings = load_host_settings()
    configure_logging(settings.log_level, settings.log_format)
    clock = SystemClock()
    identity = instance_identity()
    if identity is None:
        log.info("host_kept", why="it is no EC2 instance, or its metadata service does not answer")
        return
    structlog.contextvars.bind_contextvars(worker=identity.instance_id)
    instance = host_instance(identity, settings, clock)
    if not stop_when_free(
        instance, lock_reader(clients.s3_client(), settings, clock), clock, settings.lock_poll_seconds
    ):
        sys.exit(1)


def stop_when_free(
    instance: WorkerInstance, read_lock: Callable[[], LockState] | None, clock: Clock, poll_seconds: float
) -> bool:
    """Stop the instance once no live session holds the lock, if it is ours to stop.

    Args:
        read_lock: one look at the lock; absent when no live session shares the GPU.
        poll_seconds: between two looks at a held lock.

    Returns:
        Whether it stops or is rightly kept; else every try was refused.
    """
    for tries_left in reversed(range(_TRIES)):
        _wait_for_lock(read_lock, clock, poll_seconds)
        run = instance.run()
        if run and (run.hold or not run.owned):
            log.info("host_kept", hold=run.hold, owned=run.owned)
            return True
        if run and instance.stop():
            log.error("host_stopped", why="its worker has ended for good")
            return True
        if tries_left:
            clock.sleep(_TRY_AGAIN_SECONDS)
    log.error("host_not_stopped", then="the autoscaler stops it once it has been silent for long enough")
    return False


def _wait_for_lock(read_lock: Callable[[], LockState] | None, clock: Clock, poll_seconds: float) -> None:
    said = None
    while read_lock and (state := read_lock()).held:
        if state.describe() != said:
            said = state.describe()
            log.info("holding", why=said)
        clock.sleep(poll_seconds)
