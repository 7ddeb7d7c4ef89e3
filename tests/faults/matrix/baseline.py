"""The run without faults, which all others are compared with, and the plainest faults there are."""

from signal import SIGTERM
from typing import Final

from tests.faults.harness.effects import SLOW_DOWN, Kill
from tests.faults.harness.fleet import Fleet
from tests.faults.harness.rules import Rule
from tests.faults.harness.scenario import Fault

_TRANSCRIPT: Final = r"/transcription-chunk-\d+\.json$"


def two_sessions(fleet: Fleet) -> None:
    """Two sessions of twelve chunks, a few of them transcribed live, and their gaps on the queue."""
    fleet.put_session("ada", "morning", transcribed={1, 2, 7})
    fleet.put_session("grace", "evening", transcribed={12})
    fleet.scan()


def _none(fleet: Fleet) -> None:
    two_sessions(fleet)
    fleet.start_workers()


def _kill_before_publish(fleet: Fleet) -> None:
    two_sessions(fleet)
    fleet.proxy.add(Rule("s3:PutObject", Kill(before=True), actor="worker-1", target=_TRANSCRIPT, nth=1))
    fleet.start_worker("worker-1")
    fleet.proxy.wait_for("s3:PutObject", actor="worker-1", target=_TRANSCRIPT, timeout=30)
    fleet.start_worker("worker-2")


def _slow_down(fleet: Fleet) -> None:
    two_sessions(fleet)
    fleet.proxy.add(Rule("s3:*", SLOW_DOWN, probability=0.1))
    fleet.start_workers()


def _terminate(fleet: Fleet) -> None:
    two_sessions(fleet)
    first = fleet.start_worker("worker-1")
    fleet.proxy.wait_for("model:TranscribeBegin", actor="worker-1", timeout=30, arrived=True)
    first.signal(SIGTERM)
    fleet.start_worker("worker-2")
    first.wait(30)


FAULTS: Final = (
    Fault(
        name="none",
        group="baseline",
        what="Nothing goes wrong.",
        script=_none,
        quick=True,
        harmless=True,
    ),
    Fault(
        name="kill-before-publish",
        group="baseline",
        what="A worker is killed (SIGKILL) when it is about to write its first transcript.",
        script=_kill_before_publish,
        quick=True,
    ),
    Fault(
        name="s3-slow-down",
        group="baseline",
        what="S3 answers a tenth of all calls with 503 SlowDown, throughout.",
        script=_slow_down,
    ),
    Fault(
        name="terminate-in-mid-work",
        group="baseline",
        what="A worker is asked to end (SIGTERM) while it transcribes.",
        script=_terminate,
        injected=1,
    ),
)
