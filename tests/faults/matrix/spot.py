"""EC2 takes spot instances back: with time to end in order, with hardly any, and from a worker without work.

With the autoscaler's ticks and a host that goes on, or is started again, the rest of the work is done all the same.
"""

from typing import Final

from tests.faults.harness.crew import Ways
from tests.faults.harness.fleet import Fleet
from tests.faults.harness.processes import WorkerProcess
from tests.faults.harness.scenario import Broken, Fault
from tests.faults.matrix.baseline import two_sessions
from tests.faults.matrix.moments import HEAR, PATIENCE_SECONDS, RECEIVE
from tests.faults.matrix.steps import wait_ended, wait_said

_AMPLE_SECONDS: Final = 120.0
_SCANT_SECONDS: Final = 5.0
# A window that does not fit into the time that a notice leaves, so that there is work in hand when it is seen.
_LONG_WINDOW_SECONDS: Final = 8.0


def _notice_in_mid_work(fleet: Fleet, seconds: float) -> WorkerProcess:
    """Worker-1's instance gets notice while the model is at work; returns its process."""
    two_sessions(fleet)
    fleet.hosts(instead={1: Ways(seconds_per_window=_LONG_WINDOW_SECONDS)})
    fleet.tick()
    fleet.proxy.wait_for(HEAR.on, actor="worker-1", timeout=PATIENCE_SECONDS)
    worker = fleet.host(1).worker
    if worker is None:
        raise Broken("worker-1 does not run")
    fleet.host(1).spot_notice(seconds)
    return worker


def _ample_notice(fleet: Fleet) -> None:
    """It gives back what it cannot finish, and ends in order long before its instance does."""
    worker = _notice_in_mid_work(fleet, _AMPLE_SECONDS)
    _ends_in_order(fleet, worker)
    if not worker.events("jobs_given_back"):
        raise Broken("it gave nothing back")


def _ends_in_order(fleet: Fleet, worker: WorkerProcess) -> None:
    """It has seen the notice and ends; EC2 takes the instance then, as it may at any time once it has given notice."""
    said = wait_said(worker, "spot_notice")
    if not _SCANT_SECONDS < said["seconds_left"] <= _AMPLE_SECONDS:
        raise Broken(f"it takes the notice for one of {said['seconds_left']} s")
    wait_ended(worker)
    fleet.host(1).spot_notice(0)


def _scant_notice(fleet: Fleet) -> None:
    """It looks for a notice every 5 s, so it may see this one or not; its instance is gone either way."""
    worker = _notice_in_mid_work(fleet, _SCANT_SECONDS)
    worker.wait(PATIENCE_SECONDS)
    if worker.events("window_transcribed"):
        raise Broken("its window took less time than EC2 left it")


def _notice_while_idle(fleet: Fleet) -> None:
    """Work that comes afterwards is done by the instance when EC2 gives it back."""
    fleet.put_session("ada", "morning")
    fleet.scan()
    fleet.hosts()
    fleet.tick()
    fleet.settled(PATIENCE_SECONDS)
    worker = fleet.host(1).worker
    if worker is None:
        raise Broken("worker-1 does not run")
    polls = len(fleet.proxy.journal.calls(RECEIVE.on, actor="worker-1", target=RECEIVE.target))
    fleet.proxy.wait_for(RECEIVE.on, actor="worker-1", target=RECEIVE.target, count=polls + 2, timeout=PATIENCE_SECONDS)
    fleet.host(1).spot_notice(_AMPLE_SECONDS)
    _ends_in_order(fleet, worker)
    fleet.put_session("grace", "evening", transcribed={12})
    fleet.scan()


FAULTS: Final = (
    Fault(
        name="spot-notice-of-120-s",
        group="spot",
        what="EC2 gives notice of 120 s to the instance of a worker in mid-work.",
        script=_ample_notice,
        injected=1,
        tick_seconds=2,
        stop_seconds=60,
    ),
    Fault(
        name="spot-notice-of-5-s",
        group="spot",
        what="EC2 gives notice of 5 s to the instance of a worker in mid-work, and takes it then.",
        script=_scant_notice,
        injected=1,
        tick_seconds=2,
        stop_seconds=60,
    ),
    Fault(
        name="spot-notice-while-idle",
        group="spot",
        what="EC2 gives notice of 120 s to the instance of a worker that waits for work; more comes later.",
        script=_notice_while_idle,
        injected=1,
        workers=1,
        settings={"max_empty_polls": 1000, "idle_limit_seconds": 3},
        tick_seconds=2,
        stop_seconds=60,
    ),
)
