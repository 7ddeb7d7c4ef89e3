"""Steps that the scripts of several groups have in common; each makes sure that what a fault is about did happen."""

from typing import Any, Final

from tests.faults.harness.fleet import Fleet
from tests.faults.harness.processes import HarnessProcess
from tests.faults.harness.scenario import Broken
from tests.faults.matrix.moments import PATIENCE_SECONDS

# What systemd takes for a failure after which the worker is started afresh (EX_TEMPFAIL).
START_AFRESH: Final = 75


def wait_ended(process: HarnessProcess, status: int = 0) -> None:
    """Wait until a process has ended, in the way that it should.

    Raises:
        Broken: it ended otherwise.
    """
    ended = process.wait(PATIENCE_SECONDS)
    if ended != status:
        raise Broken(f"{process.actor} ended with {ended}, not {status}")


def wait_said(process: HarnessProcess, event: str) -> dict[str, Any]:
    """Wait until a process has logged an event; returns it."""
    return process.wait_for_event(event, PATIENCE_SECONDS)


def scan_finishes_sessions(fleet: Fleet) -> None:
    """The next scan of the schedule: it has no gap to queue, and finishes what a worker has left unfinished.

    Raises:
        Broken: it queued something.
    """
    queued = fleet.scan()["enqueued"]
    if queued:
        raise Broken(f"a scan queued {queued} gaps that were filled")
    fleet.sessions_finished(PATIENCE_SECONDS)
