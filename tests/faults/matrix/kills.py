"""Workers killed (SIGKILL, as by the kernel when memory is short) before and after each of their side effects."""

import time
from collections.abc import Iterator
from functools import partial
from signal import SIGKILL
from typing import Final

from shared.formats.layout import metadata_key
from tests.faults.harness.call import Call
from tests.faults.harness.effects import Kill, Order, Then
from tests.faults.harness.fleet import Fleet
from tests.faults.harness.rules import Rule
from tests.faults.harness.scenario import Broken, Fault
from tests.faults.matrix.baseline import two_sessions
from tests.faults.matrix.moments import (
    BEGIN,
    CHUNK_5,
    COMPLETE,
    DELETE,
    FETCH,
    HEAR,
    HEARD,
    LETTER,
    LOOK_UP,
    METADATA,
    PATIENCE_SECONDS,
    PUBLISH,
    RECEIVE,
    REPORT,
    REPORT_PAGE,
    SESSION,
    SESSION_TEXT,
    STOP,
    Moment,
)
from tests.faults.matrix.steps import scan_finishes_sessions, wait_ended

_RECORDED: Final = b'{"title": "a morning", "duration": 60}'
_ROUNDS: Final = 3
_POLL_INTERVAL_SECONDS: Final = 0.1
_HOST_KILLS: Final = 3


def _kill_and_take_over(fleet: Fleet, moment: Moment, *, before: bool, nth: int = 1, by: str) -> None:
    """Worker-1 dies, and `by` finds what it has left: another worker, or worker-1 started again."""
    two_sessions(fleet)
    moment.strike(fleet, Kill(before=before), nth=nth)
    wait_ended(fleet.start_worker("worker-1"), -SIGKILL)
    fleet.start_worker(by)


def _kill_at_a_letter(fleet: Fleet, *, before: bool) -> None:
    """The model fails on one chunk, which is to become a dead letter when worker-1 dies."""
    fleet.proxy.add(Rule(HEAR.on, Order("window"), target=CHUNK_5))
    _kill_and_take_over(fleet, LETTER, before=before, by="worker-2")


def _kill_at_the_end(fleet: Fleet, moment: Moment, *, before: bool) -> None:
    """Worker-1 dies when all gaps are filled. Nothing is left on the queue, so the next scan has to do the rest."""
    for session in (fleet.put_session("ada", "morning", transcribed={1, 2, 7}), fleet.put_session("grace", "evening")):
        fleet.recordings.put_metadata(session, _RECORDED)
    fleet.scan()
    moment.strike(fleet, Kill(before=before))
    wait_ended(fleet.start_worker("worker-1"), -SIGKILL)
    fleet.settled(PATIENCE_SECONDS)
    scan_finishes_sessions(fleet)
    _metadata_tells(fleet)


def _metadata_tells(fleet: Fleet) -> None:
    """Each session's metadata.json says that it is transcribed, and still what the recorder said."""
    for session in fleet.sessions:
        answer = fleet.cloud.s3.get_object(Bucket=fleet.settings.bucket, Key=metadata_key(session.path))
        body = answer["Body"].read().decode()
        if '"transcriptionStatus": "completed"' not in body or "a morning" not in body:
            raise Broken(f"{session.session}: its metadata says {body}")


def _kill_at_its_stop(fleet: Fleet, *, before: bool) -> None:
    two_sessions(fleet)
    STOP.strike(fleet, Kill(before=before))
    fleet.hosts()
    fleet.tick()
    fleet.proxy.wait_for(STOP.on, actor="worker-1", timeout=PATIENCE_SECONDS)


def _kill_on_its_host(fleet: Fleet) -> None:
    two_sessions(fleet)
    fleet.proxy.add(Rule(HEAR.on, Kill(), times=_HOST_KILLS))
    fleet.hosts()
    fleet.tick()
    fleet.proxy.wait_for(HEAR.on, count=_HOST_KILLS + 1, timeout=PATIENCE_SECONDS)
    if fleet.host(1).starts != _HOST_KILLS + 1:
        raise Broken(f"the host has started its worker {fleet.host(1).starts} times")


def _crash_loop(fleet: Fleet) -> None:
    """One worker after the other is killed with every job in its hands."""
    two_sessions(fleet)
    for number in range(1, _ROUNDS + 1):
        actor = f"worker-{2 - number % 2}"
        rules = [
            HEAR.strike(fleet, Then(partial(_wait_begun, fleet, number)), actor=actor),
            HEAR.strike(fleet, Kill(), actor=actor),
        ]
        wait_ended(fleet.start_worker(actor), -SIGKILL)
        for rule in rules:
            fleet.proxy.remove(rule)
    fleet.start_workers()


def _wait_begun(fleet: Fleet, attempts: int, _call: Call) -> None:
    """Hold the first window back until every job was begun so often, by the ledger."""
    jobs = sum(len(session.gaps) for session in fleet.sessions)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (begun := _begun(fleet, attempts)) < jobs:
        if time.monotonic() > deadline:
            raise Broken(f"of {jobs} jobs {begun} were begun {attempts} times")
        time.sleep(_POLL_INTERVAL_SECONDS)


def _begun(fleet: Fleet, attempts: int) -> int:
    items = fleet.cloud.dynamodb.scan(TableName=fleet.settings.table_name)["Items"]
    return sum(int(item.get("attempts", {"N": "0"})["N"]) >= attempts for item in items)


def _on_the_way() -> Iterator[Fault]:
    """The life of a job. After what is struck before a side effect, another worker goes on; after it, the same one."""
    moments = {"look-up": LOOK_UP, "ledger-begin": BEGIN, "fetch": FETCH, "publish": PUBLISH}
    moments |= {"ledger-complete": COMPLETE, "delete": DELETE}
    for name, moment in moments.items():
        yield Fault(
            name=f"kill-before-{name}" if moment is not PUBLISH else "kill-between-publishes",
            group="kills",
            what=f"A worker is killed when it is about to {moment.what}; another takes over.",
            script=partial(_kill_and_take_over, moment=moment, before=True, nth=3, by="worker-2"),
        )
        yield Fault(
            name=f"kill-after-{name}",
            group="kills",
            what=f"A worker is killed right after its call to {moment.what} was carried out; it is started again.",
            script=partial(_kill_and_take_over, moment=moment, before=False, by="worker-1"),
        )


def _at_the_end() -> Iterator[Fault]:
    moments = {
        "session-text": SESSION_TEXT,
        "session-transcript": SESSION,
        "metadata": METADATA,
        "report": REPORT,
        "report-page": REPORT_PAGE,
    }
    for name, moment in moments.items():
        for before in (True, False):
            when = f"when it is about to {moment.what}"
            if not before:
                when = f"right after its call to {moment.what} was carried out"
            yield Fault(
                name=f"kill-{'before' if before else 'after'}-{name}",
                group="kills",
                what=f"The only worker is killed {when}; the next scan makes up for it.",
                script=partial(_kill_at_the_end, moment=moment, before=before),
            )


FAULTS: Final = (
    Fault(
        name="kill-while-receiving",
        group="kills",
        what="A worker is killed when SQS has given it jobs and the answer is on its way.",
        script=partial(_kill_and_take_over, moment=RECEIVE, before=False, by="worker-2"),
    ),
    *_on_the_way(),
    Fault(
        name="kill-before-transcribing",
        group="kills",
        what="A worker is killed when its model gets the first window; it is started again.",
        script=partial(_kill_and_take_over, moment=HEAR, before=True, by="worker-1"),
    ),
    Fault(
        name="kill-after-transcribing",
        group="kills",
        what="A worker is killed when its model has heard the first window and nothing is published yet.",
        script=partial(_kill_and_take_over, moment=HEARD, before=False, by="worker-2"),
    ),
    Fault(
        name="kill-before-dead-letter",
        group="kills",
        what="A worker is killed when it is about to put a job on the dead-letter queue; another does.",
        script=partial(_kill_at_a_letter, before=True),
        settings={"max_receives": 2},
        expect_dead_letters={"attempts-exhausted": 1},
    ),
    Fault(
        name="kill-after-dead-letter",
        group="kills",
        what="A worker is killed between a dead letter and the deletion of its job, which becomes a letter once more.",
        script=partial(_kill_at_a_letter, before=False),
        settings={"max_receives": 2},
        expect_dead_letters={"attempts-exhausted": 2},
    ),
    *_at_the_end(),
    Fault(
        name="kill-before-stop",
        group="kills",
        what="A worker is killed when it is about to stop its own instance; its host starts it again.",
        script=partial(_kill_at_its_stop, before=True),
        workers=1,
        tick_seconds=2,
        stop_seconds=60,
    ),
    Fault(
        name="kill-after-stop",
        group="kills",
        what="A worker is killed when EC2 has taken its order to stop its own instance.",
        script=partial(_kill_at_its_stop, before=False),
        workers=1,
        tick_seconds=2,
        stop_seconds=60,
    ),
    Fault(
        name="kill-again-and-again-on-its-host",
        group="kills",
        what="A worker is killed at its first window three times over; its host's service manager starts it each time.",
        script=_kill_on_its_host,
        workers=1,
        tick_seconds=2,
        stop_seconds=60,
    ),
    Fault(
        name="kill-one-worker-after-the-other",
        group="kills",
        what="Three workers are killed one after the other, each with every job in its hands.",
        script=_crash_loop,
        settings={"max_jobs_in_hand": 60},
        bounds_seconds=120,
    ),
)
