"""Live sessions that begin at the worst moments: in each phase of a worker's run, of a tick and of a scan.

Each is struck right before a call: the lock is taken first, then the call goes on. So whoever makes it has looked at
the lock already, or looks at it for the first time then.
"""

import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Final

from shared.clock import SystemClock
from shared.state.ledger import Ledger
from tests.faults.harness.call import Call
from tests.faults.harness.effects import Then
from tests.faults.harness.fleet import Fleet
from tests.faults.harness.rules import Rule
from tests.faults.harness.scenario import Broken, Fault
from tests.faults.harness.stillness import keeps_still, send_jobs, until
from tests.faults.harness.ticking import is_stopped, tick_until
from tests.faults.matrix.baseline import two_sessions
from tests.faults.matrix.instances import NEVER_ENDS, QUICK_WINDOWS
from tests.faults.matrix.lock import SMALL_WINDOWS, WINDOW_TAKES

_LIVE: Final = ("live", "now")
_PATIENCE: Final = 60.0
_TRANSCRIPT: Final = r"/transcription-chunk-\d+\.json$"


class _Begins:
    """A live session that begins when a call comes.

    Args:
        meanwhile: happens when the lock is taken, before the call goes on.
    """

    def __init__(
        self,
        fleet: Fleet,
        on: str,
        *,
        actor: str,
        target: str | None = None,
        nth: int = 1,
        after: bool = False,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        self._fleet = fleet
        self._on = f"{actor} {on}"
        self._meanwhile = meanwhile
        self._taken = threading.Event()
        fleet.proxy.add(Rule(on, Then(self._begin, after=after), actor=actor, target=target, nth=nth))

    def _begin(self, _call: Call) -> None:
        self._fleet.take_lock(*_LIVE)
        self._meanwhile()
        self._taken.set()

    def wait(self) -> None:
        """Until it has begun."""
        until(self._taken.is_set, f"{self._on}, at which the live session begins", _PATIENCE)

    def end(self) -> None:
        """It releases the lock."""
        self._fleet.release_lock(*_LIVE)


# --- a worker's run


def _in_mid_work(fleet: Fleet, on: str, target: str | None) -> None:
    live = _Begins(fleet, on, actor="worker-1", target=target)
    two_sessions(fleet)
    fleet.start_worker("worker-1", seconds_per_window=WINDOW_TAKES)
    live.wait()
    keeps_still(fleet, "worker-1")
    live.end()


def _new_jobs(fleet: Fleet) -> Callable[[], None]:
    """Puts a session, and gives what puts its jobs on the queue, as a person's re-run does in spite of a hold."""
    return partial(send_jobs, fleet, fleet.put_session("edsger", "noon", range(1, 7)))


def _while_polling(fleet: Fleet) -> None:
    """The worker's long poll is under way when the lock is taken, and brings it the jobs."""
    jobs = _new_jobs(fleet)
    live = _Begins(fleet, "sqs:ReceiveMessage", actor="worker-1", target="jobs$", nth=3, meanwhile=jobs)
    fleet.start_worker("worker-1")
    live.wait()
    keeps_still(fleet, "worker-1")
    live.end()


def _while_idle_work_ends(fleet: Fleet, target: str) -> None:
    """A worker has done all, and is about to write; jobs come, and a live session."""
    two_sessions(fleet)
    live = _Begins(fleet, "s3:PutObject", actor="worker-1", target=target, meanwhile=_new_jobs(fleet))
    fleet.start_worker("worker-1", seconds_per_window=QUICK_WINDOWS)
    live.wait()
    keeps_still(fleet, "worker-1")
    live.end()


def _while_reporting(fleet: Fleet) -> None:
    """The report comes right before the instance is stopped, which must not be while a live session lasts."""
    fleet.hosts(seconds_per_window=QUICK_WINDOWS)
    two_sessions(fleet)
    live = _Begins(
        fleet, "s3:PutObject", actor="worker-1", target=r"^batch-reports/.*\.html$", meanwhile=_new_jobs(fleet)
    )
    fleet.tick()
    live.wait()
    keeps_still(fleet, "worker-1")
    live.end()


def _while_booting(fleet: Fleet) -> None:
    live = _Begins(fleet, "ec2:StartInstances", actor="autoscaler", after=True)
    fleet.hosts()
    two_sessions(fleet)
    fleet.tick()
    live.wait()
    keeps_still(fleet, "worker-1")
    if fleet.tick()["decision"] != "holding":
        raise Broken("the autoscaler did not hold")
    live.end()


# --- a tick


def _before_start(fleet: Fleet) -> None:
    """The tick has decided to start an instance, and writes that down; then it looks at the lock once more."""
    live = _Begins(fleet, "dynamodb:PutItem", actor="autoscaler")
    fleet.hosts()
    two_sessions(fleet)
    _holds_back(fleet, live, "ec2:StartInstances")
    live.end()
    if not fleet.tick()["outcome"]["started"]:
        raise Broken("nothing was started when the live session was over")


def _before_stop(fleet: Fleet) -> None:
    """The worker would poll for an hour, so it is the autoscaler that ends it when it has been idle for a second."""
    hosts = fleet.hosts(seconds_per_window=QUICK_WINDOWS, env=NEVER_ENDS)
    two_sessions(fleet)
    fleet.tick()
    fleet.settled()
    until(lambda: _idle_for(fleet, 2.0), "the worker has been idle for two seconds")
    live = _Begins(fleet, "dynamodb:PutItem", actor="autoscaler")
    _holds_back(fleet, live, "ec2:StopInstances")
    if set(hosts.states().values()) != {"running"}:
        raise Broken("the instance did not run on")
    live.end()
    tick_until(fleet, is_stopped(hosts), "the idle instance is stopped when the live session is over")


def _holds_back(fleet: Fleet, live: _Begins, on: str) -> None:
    """A tick at whose decision the live session begins, and the next one, do nothing."""
    before = len(fleet.proxy.journal.calls(on, actor="autoscaler"))
    decisions = [fleet.tick()["decision"], fleet.tick()["decision"]]
    live.wait()
    if decisions != ["holding", "holding"] or len(fleet.proxy.journal.calls(on, actor="autoscaler")) != before:
        raise Broken(f"the autoscaler came to {decisions} in the hold")


def _idle_for(fleet: Fleet, seconds: float) -> bool:
    """Whether the worker of the one host has said that it has been idle for so long."""
    instance = fleet.host(1).instance_id
    clock = SystemClock()
    beat = Ledger(fleet.cloud.dynamodb, fleet.settings, clock).heartbeats([instance]).valid.get(instance)
    return bool(beat and beat.idle_since and clock.now() > beat.idle_since + timedelta(seconds=seconds))


# --- a scan


def _during_listing(fleet: Fleet) -> None:
    live = _Begins(fleet, "s3:ListObjectsV2", actor="scanner")
    fleet.put_session("ada", "morning")
    fleet.start_worker("worker-1")
    if not fleet.scan()["skipped"]:
        raise Broken("the scan queued jobs in a hold")
    live.wait()
    keeps_still(fleet, "worker-1", looks=3)
    live.end()
    if fleet.scan()["enqueued"] != 12:
        raise Broken("the next scan did not queue what was skipped")


def _during_queueing(fleet: Fleet) -> None:
    """A scan that has begun to queue goes on: its jobs wait for the end of the hold like all others."""
    live = _Begins(fleet, "sqs:SendMessageBatch", actor="scanner")
    fleet.put_session("ada", "morning", range(1, 25))
    fleet.start_worker("worker-1", seconds_per_window=WINDOW_TAKES)
    if fleet.scan()["enqueued"] != 24:
        raise Broken("the scan did not queue all")
    live.wait()
    keeps_still(fleet, "worker-1")
    live.end()


_MID_WORK: Final = {
    "fetching": ("s3:GetObject", r"/chunk-\d+\.flac$", "is about to fetch its first chunk"),
    "transcribing": ("model:TranscribeBegin", None, "begins its first window"),
    "publishing": ("s3:PutObject", _TRANSCRIPT, "is about to write its first transcript"),
    "deleting": ("sqs:DeleteMessage", None, "is about to delete its first message"),
}


def _fault(
    name: str, what: str, script: Callable[[Fleet], None], workers: int = 2, settings: Mapping[str, Any] | None = None
) -> Fault:
    return Fault(
        name=f"live-session-{name}",
        group="live",
        what=f"A live session begins {what}.",
        script=script,
        workers=workers,
        settings={**SMALL_WINDOWS, **(settings or {})},
        stop_seconds=30,
    )


FAULTS: Final = (
    *(
        _fault(f"while-{phase}", f"when a worker {what}", partial(_in_mid_work, on=on, target=target))
        for phase, (on, target, what) in _MID_WORK.items()
    ),
    _fault("while-polling", "while a worker polls; the poll brings jobs", _while_polling),
    _fault(
        "while-finalising",
        "when a worker is about to write a session's transcript, and jobs come",
        partial(_while_idle_work_ends, target=r"/transcription\.txt$"),
    ),
    _fault(
        "while-reporting", "when a worker writes its report and would stop its instance", _while_reporting, workers=1
    ),
    _fault("while-booting", "while an instance boots", _while_booting, workers=1),
    _fault(
        "before-start", "between the autoscaler's decision to start an instance and the start", _before_start, workers=1
    ),
    _fault(
        "before-stop",
        "between the autoscaler's decision to stop an idle instance and the stop",
        _before_stop,
        workers=1,
        settings={"idle_limit_seconds": 1},
    ),
    _fault("during-scan", "while a scan lists the bucket", _during_listing),
    _fault("while-queueing", "while a scan queues jobs", _during_queueing),
)
