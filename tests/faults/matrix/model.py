"""The model fails: it hangs, ends its process, runs out of memory, breaks, is slow; and the real one is cut off."""

from functools import partial
from signal import SIGABRT, SIGKILL, SIGTERM, Signals
from typing import Any, Final

from tests.faults.harness.effects import Order
from tests.faults.harness.fleet import Fleet
from tests.faults.harness.processes import WorkerProcess
from tests.faults.harness.rules import Rule
from tests.faults.harness.scenario import Broken, Fault
from tests.faults.matrix.baseline import two_sessions
from tests.faults.matrix.moments import CHUNK_5, HEAR, LOOK_UP, PATIENCE_SECONDS
from tests.faults.matrix.steps import START_AFRESH, wait_ended, wait_said


def _process_ends(fleet: Fleet, order: Order, status: int) -> None:
    """The model ends its process, and the service manager of its host starts another."""
    two_sessions(fleet)
    HEAR.strike(fleet, order)
    fleet.hosts()
    fleet.tick()
    fleet.proxy.wait_for(HEAR.on, actor="worker-1", timeout=PATIENCE_SECONDS)
    wait_ended(_worker(fleet, "worker-1"), status)


def _worker(fleet: Fleet, actor: str) -> WorkerProcess:
    """The first process of an actor."""
    for process in fleet.processes:
        if process.actor == actor and isinstance(process, WorkerProcess):
            return process
    raise Broken(f"{actor} was never started")


def _out_of_memory_once(fleet: Fleet) -> None:
    two_sessions(fleet)
    HEAR.strike(fleet, Order("memory"))
    first = fleet.start_worker("worker-1")
    wait_said(first, "window_retried_at_lower_cost")
    fleet.start_worker("worker-2")
    fleet.settled(PATIENCE_SECONDS)
    if not first.alive:
        raise Broken("the worker has ended over a window that it could hear at lower cost")


def _one_chunk_always(fleet: Fleet, order: Order) -> None:
    """Whatever window chunk 5 is in, the model fails on it."""
    two_sessions(fleet)
    fleet.proxy.add(Rule(HEAR.on, order, target=CHUNK_5))
    fleet.start_workers()


def _one_chunk_always_on_hosts(fleet: Fleet, order: Order) -> None:
    two_sessions(fleet)
    fleet.proxy.add(Rule(HEAR.on, order, target=CHUNK_5))
    fleet.hosts()
    fleet.tick()


def _slower_than_a_lease(fleet: Fleet) -> None:
    """Another worker is there all the time and gets none of the jobs in hand."""
    fleet.put_session("ada", "morning", range(1, 7))
    fleet.scan()
    first = fleet.start_worker("worker-1", seconds_per_window=2.5 * fleet.settings.visibility_timeout_seconds)
    fleet.proxy.wait_for(HEAR.on, actor="worker-1", timeout=PATIENCE_SECONDS)
    fleet.start_worker("worker-2")
    fleet.settled(PATIENCE_SECONDS)
    if first.events("lease_lost") or fleet.proxy.journal.calls(LOOK_UP.on, actor="worker-2", target=LOOK_UP.target):
        raise Broken("worker-1 has lost a lease: worker-2 was given a job")


# --- the real model


def _cut_off_real_model(fleet: Fleet, sig: Signals, status: int) -> None:
    """It has heard a window, so it is at the next one."""
    fleet.put_recording("ada", "morning")
    fleet.scan()
    first = fleet.start_worker("worker-1", model="tiny.en")
    wait_said(first, "window_transcribed")
    first.signal(sig)
    wait_ended(first, status)
    if not fleet.unsettled():
        raise Broken("all was done before the signal came")
    fleet.start_worker("worker-1", model="tiny.en")


def _ending(name: str, what: str, order: Order, status: int, **more: Any) -> Fault:
    """A fault in which the model ends its worker's process once, on a host."""
    return Fault(
        name=name,
        group="model",
        what=what,
        script=partial(_process_ends, order=order, status=status),
        tick_seconds=2,
        stop_seconds=60,
        **more,
    )


FAULTS: Final = (
    _ending(
        "model-hangs",
        "The model never comes back from a window; the worker ends its process, and its host starts another.",
        Order("hang"),
        START_AFRESH,
        settings={"job_deadline_seconds": 5},
    ),
    _ending(
        "model-aborts",
        "The model takes its process down (SIGABRT) in a window; its host starts another.",
        Order("crash"),
        -SIGABRT,
    ),
    _ending(
        "model-breaks",
        "The GPU fails for good (an illegal memory access) in a window; the process ends, and its host starts another.",
        Order("broken"),
        START_AFRESH,
    ),
    Fault(
        name="model-out-of-memory-once",
        group="model",
        what="The model runs out of memory in a window, and hears it at lower cost.",
        script=_out_of_memory_once,
    ),
    Fault(
        name="model-out-of-memory-on-one-chunk",
        group="model",
        what="The model runs out of memory in every window that a certain chunk is in, at lower cost too.",
        script=partial(_one_chunk_always_on_hosts, order=Order("memory")),
        expect_dead_letters={"attempts-exhausted": 1},
        tick_seconds=2,
        stop_seconds=60,
        bounds_seconds=120,
    ),
    Fault(
        name="model-fails-on-one-chunk",
        group="model",
        what="The model fails on every window that a certain chunk is in.",
        script=partial(_one_chunk_always, order=Order("window")),
        expect_dead_letters={"attempts-exhausted": 1},
    ),
    Fault(
        name="model-slower-than-a-lease",
        group="model",
        what="The model takes two and a half leases for a window, which are extended meanwhile.",
        script=_slower_than_a_lease,
        injected=1,
    ),
    Fault(
        name="real-model-killed",
        group="model",
        what="A worker with a real model is killed (SIGKILL) while it transcribes; it is started again.",
        script=partial(_cut_off_real_model, sig=SIGKILL, status=-SIGKILL),
        injected=1,
        bounds_seconds=120,
    ),
    Fault(
        name="real-model-asked-to-end",
        group="model",
        what="A worker with a real model is asked to end (SIGTERM) while it transcribes and gets no time for the rest.",
        script=partial(_cut_off_real_model, sig=SIGTERM, status=0),
        injected=1,
        settings={"drain_seconds": 0},
        bounds_seconds=120,
    ),
)
