"""Workers asked to end, and processes paused for longer than their leases last."""

from collections.abc import Iterator
from functools import partial
from signal import SIGCONT, SIGINT, SIGSTOP, SIGTERM, Signals
from threading import Event
from typing import Final

from shared.formats.layout import transcript_key
from tests.faults.harness.call import Call
from tests.faults.harness.effects import Kill, Then
from tests.faults.harness.fleet import Fleet
from tests.faults.harness.processes import WorkerProcess
from tests.faults.harness.scenario import Broken, Fault
from tests.faults.matrix.baseline import two_sessions
from tests.faults.matrix.moments import (
    DELETE,
    DRAIN,
    FETCH,
    HEAR,
    HEARD,
    PATIENCE_SECONDS,
    PUBLISH,
    RECEIVE,
    REPORT,
    SESSION_TEXT,
    START,
    Moment,
)
from tests.faults.matrix.steps import wait_ended, wait_said

# Longer than any drain: a worker that waited for such a window would be noticed.
_LONG_WINDOW_SECONDS: Final = 60.0
_NEVER_SECONDS: Final = 50.0


def _terminate_at(fleet: Fleet, moment: Moment, sig: Signals = SIGTERM) -> None:
    """Worker-1 is asked to end and does so in order; worker-2 does what is left."""
    two_sessions(fleet)
    moment.strike(fleet, Kill(sig=sig))
    wait_ended(fleet.start_worker("worker-1"))
    fleet.start_worker("worker-2")


def _terminate_while_starting(fleet: Fleet) -> None:
    """The first thing that a worker tells anybody is a heartbeat, before its model is loaded."""
    two_sessions(fleet)
    START.strike(fleet, Kill(sig=SIGTERM))
    first = fleet.start_worker("worker-1")
    wait_ended(first)
    if first.events("window_transcribed"):
        raise Broken("it has begun to work")
    fleet.start_worker("worker-2")


def _terminate_in_long_poll(fleet: Fleet) -> None:
    """Work comes only when the worker has ended."""
    first = fleet.start_worker("worker-1")
    fleet.proxy.wait_for(RECEIVE.on, target=RECEIVE.target, timeout=PATIENCE_SECONDS, arrived=True)
    first.signal(SIGTERM)
    wait_ended(first)
    two_sessions(fleet)
    fleet.start_worker("worker-2")


def _terminate_while_receiving(fleet: Fleet) -> None:
    """What the poll brings after all goes back at once."""
    two_sessions(fleet)
    RECEIVE.strike(fleet, Kill(sig=SIGTERM))
    first = fleet.start_worker("worker-1")
    wait_ended(first)
    if not first.events("jobs_given_back") or fleet.proxy.journal.calls(HEAR.on):
        raise Broken("the jobs that it received were not given back untouched")
    fleet.start_worker("worker-2")


def _terminate_in_long_window(fleet: Fleet, *, twice: bool) -> None:
    """The window in hand does not fit into the time that is left, so its jobs go back."""
    two_sessions(fleet)
    if twice:
        DRAIN.strike(fleet, Kill(sig=SIGTERM))  # so that the first has been heard
    first = fleet.start_worker("worker-1", seconds_per_window=_LONG_WINDOW_SECONDS)
    fleet.proxy.wait_for(HEAR.on, timeout=PATIENCE_SECONDS)
    first.signal(SIGTERM)
    ended = first.wait(_NEVER_SECONDS)
    if ended or not first.events("jobs_given_back") or first.events("window_transcribed"):
        raise Broken(f"it ended with {ended}, and did not give its jobs back")
    fleet.start_worker("worker-2")


# --- paused


def _pause_and_hold(fleet: Fleet, moment: Moment) -> tuple[WorkerProcess, Event]:
    """Pause worker-1 at a moment; the call that it makes then is carried out only when the event is set."""
    go_on = Event()
    paused = Event()

    def pause(_call: Call) -> None:
        first.signal(SIGSTOP)
        paused.set()
        go_on.wait(2 * PATIENCE_SECONDS)

    moment.strike(fleet, Then(pause))
    first = fleet.start_worker("worker-1")
    if not paused.wait(PATIENCE_SECONDS):
        raise Broken("the worker never came to where it was to be paused")
    return first, go_on


def _pause_beyond_lease(fleet: Fleet, moment: Moment) -> WorkerProcess:
    """Worker-1 is paused until worker-2 has done its jobs too, and then goes on where it was."""
    two_sessions(fleet)
    first, go_on = _pause_and_hold(fleet, moment)
    fleet.start_worker("worker-2")
    fleet.settled(PATIENCE_SECONDS)
    go_on.set()
    first.signal(SIGCONT)
    return first


def _pause_while_transcribing(fleet: Fleet) -> None:
    """Its result comes too late to be of use."""
    wait_said(_pause_beyond_lease(fleet, HEARD), "lease_lost_result_dropped")


def _pause_while_publishing(fleet: Fleet) -> None:
    """Its write was on its way when it was paused, and arrives behind the other worker's."""
    wait_said(_pause_beyond_lease(fleet, PUBLISH), "chunk_skipped")
    _each_written_once(fleet)


def _pause_while_deleting(fleet: Fleet) -> None:
    """It has published, and the other worker finds that there is nothing to do."""
    _pause_beyond_lease(fleet, DELETE)
    fleet.proxy.wait_for(DELETE.on, actor="worker-1", target=DELETE.target, timeout=PATIENCE_SECONDS)
    _each_written_once(fleet)


def _each_written_once(fleet: Fleet) -> None:
    for session in fleet.sessions:
        for chunk in session.gaps:
            puts = fleet.proxy.journal.calls(PUBLISH.on, target=f"^{transcript_key(session.path, chunk)}$")
            if sum(put.effective for put in puts) != 1:
                raise Broken(f"{session.session}/{chunk} was written {len(puts)} times")


def _asked_to_end() -> Iterator[Fault]:
    moments = {
        "fetching": FETCH,
        "transcribing": HEARD,
        "publishing": PUBLISH,
        "deleting": DELETE,
        "finishing-a-session": SESSION_TEXT,
        "reporting": REPORT,
    }
    for name, moment in moments.items():
        yield Fault(
            name=f"sigterm-while-{name}",
            group="signals",
            what=f"A worker is asked to end (SIGTERM) when it is about to {moment.what}.",
            script=partial(_terminate_at, moment=moment),
        )


FAULTS: Final = (
    Fault(
        name="sigterm-while-starting",
        group="signals",
        what="A worker is asked to end (SIGTERM) before its model is loaded.",
        script=_terminate_while_starting,
    ),
    Fault(
        name="sigterm-in-long-poll",
        group="signals",
        what="A worker is asked to end (SIGTERM) while it waits for work.",
        script=_terminate_in_long_poll,
        injected=1,
    ),
    Fault(
        name="sigterm-while-receiving",
        group="signals",
        what="A worker is asked to end (SIGTERM) while SQS answers its poll: what comes is given back untouched.",
        script=_terminate_while_receiving,
    ),
    *_asked_to_end(),
    Fault(
        name="sigint-while-transcribing",
        group="signals",
        what="A worker is interrupted (SIGINT, Ctrl-C) when it is about to transcribe a window.",
        script=partial(_terminate_at, moment=HEAR, sig=SIGINT),
    ),
    Fault(
        name="sigterm-in-a-long-window",
        group="signals",
        what="A worker is asked to end (SIGTERM) in a window that takes longer than its drain time.",
        script=partial(_terminate_in_long_window, twice=False),
        injected=1,
    ),
    Fault(
        name="sigterm-twice",
        group="signals",
        what="A worker with a minute to drain is asked to end (SIGTERM) twice: it gives all back at once.",
        script=partial(_terminate_in_long_window, twice=True),
        injected=1,
        settings={"drain_seconds": _LONG_WINDOW_SECONDS},
    ),
    Fault(
        name="paused-while-transcribing",
        group="signals",
        what="A worker is paused (SIGSTOP) in a window until another has done its jobs, then goes on (SIGCONT).",
        script=_pause_while_transcribing,
    ),
    Fault(
        name="paused-while-publishing",
        group="signals",
        what="A worker is paused (SIGSTOP) with a transcript on its way to S3, which arrives after another worker's.",
        script=_pause_while_publishing,
    ),
    Fault(
        name="paused-while-deleting",
        group="signals",
        what="A worker is paused (SIGSTOP) between publishing and deleting until its lease is long over.",
        script=_pause_while_deleting,
    ),
)
