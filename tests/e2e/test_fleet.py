"""The fleet's promises with real processes: a scanner, an autoscaler, hosts, workers with the real model."""

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sample_tree import CHUNKS, add_session

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.conftest import RunningFleet

pytestmark = [pytest.mark.e2e, pytest.mark.model]


def wait_until(condition: "Callable[[], bool]", what: str, *, look_seconds: float = 0.2) -> None:
    """Waits for other processes; the patience is a net for a broken fleet, not a measure.

    Each look asks the emulator, which shares the cores with what is waited for: only what soon passes is looked for
    more often.
    """
    deadline = time.monotonic() + 180
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(look_seconds)


def ticking(fleet: "RunningFleet", condition: "Callable[[], bool]") -> "Callable[[], bool]":
    """The condition, with a tick of the autoscaler about once a second while it is waited for."""
    last = 0.0

    def look() -> bool:
        nonlocal last
        if time.monotonic() - last >= 1:
            last = time.monotonic()
            fleet.tick()
        return condition()

    return look


def test_a_worker_killed_in_mid_transcription_loses_nothing(fleet: "RunningFleet", tmp_path: Path) -> None:
    # given: a worker at work on a session of four gaps
    session = add_session(tmp_path / "tree", "alice", "s1", gaps=("002", "003", "004", "005"))
    fleet.upload(tmp_path / "tree")
    assert fleet.scan() == 4
    fleet.tick()
    wait_until(lambda: "processing" in fleet.statuses(session).values(), "a job in work", look_seconds=0.05)
    killed = next(iter(fleet.supervisor.worker_pids().values()))
    # when
    os.kill(killed, signal.SIGKILL)
    left = set(CHUNKS) - fleet.transcripts(session)
    assert left, "the worker was killed before it was done"
    # then: the host starts another one, the jobs come back when their leases end, and the instance stops at the end
    wait_until(ticking(fleet, lambda: fleet.transcripts(session) == set(CHUNKS)), "all transcripts")
    wait_until(ticking(fleet, lambda: fleet.instance_states() == ["stopped"]), "the instance stopped")
    assert set(fleet.statuses(session).values()) == {"completed"}


def test_work_that_comes_after_the_instance_stopped_starts_it_again(fleet: "RunningFleet", tmp_path: Path) -> None:
    # given: a run that is over
    first = add_session(tmp_path / "one", "alice", "s1", gaps=("010",))
    fleet.upload(tmp_path / "one")
    fleet.scan()
    wait_until(ticking(fleet, lambda: fleet.transcripts(first) == set(CHUNKS)), "the first transcripts")
    wait_until(lambda: fleet.instance_states() == ["stopped"], "the instance stopped itself")
    # when
    second = add_session(tmp_path / "two", "bob", "s2", gaps=("010",))
    fleet.upload(tmp_path / "two")
    assert fleet.scan() == 1
    # then
    wait_until(ticking(fleet, lambda: fleet.transcripts(second) == set(CHUNKS)), "the second transcripts")
    wait_until(lambda: fleet.instance_states() == ["stopped"], "the instance stopped itself again")
    reports = fleet.cloud.s3().list_objects_v2(Bucket=fleet.stack.bucket, Prefix="batch-reports/")["Contents"]
    assert sum(item["Key"].endswith(".json") for item in reports) == 2


def test_a_worker_told_to_stop_hands_its_work_back_at_once(fleet: "RunningFleet", tmp_path: Path) -> None:
    # given: a worker with more jobs in hand than it can do soon
    sessions = [add_session(tmp_path / "tree", "alice", f"s{number}", gaps=CHUNKS[:4]) for number in range(3)]

    def left() -> int:
        return sum(len(CHUNKS) - len(fleet.transcripts(session)) for session in sessions)

    fleet.upload(tmp_path / "tree")
    assert fleet.scan() == 12
    fleet.tick()
    wait_until(lambda: "processing" in fleet.statuses(sessions[0]).values(), "a job in work", look_seconds=0.05)
    # when: its host is shut down
    fleet.cloud.ec2().stop_instances(InstanceIds=list(fleet.stack.instance_ids))
    wait_until(lambda: not fleet.supervisor.worker_pids(), "the worker ended")
    # then: nothing is in flight any more, and the rest is done in the next run
    counts = fleet.cloud.sqs().get_queue_attributes(
        QueueUrl=fleet.stack.jobs_queue_url,
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )["Attributes"]
    assert counts["ApproximateNumberOfMessagesNotVisible"] == "0"
    assert int(counts["ApproximateNumberOfMessages"]) == left() > 0
    wait_until(ticking(fleet, lambda: left() == 0), "all transcripts")
