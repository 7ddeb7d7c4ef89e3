from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from autoscaler.model import Instance, Observation
from deploy.selftest.stage import Look, Step, stage_of
from shared.aws.sqs import QueueDepth
from shared.formats.heartbeat import Heartbeat, WorkerState
from shared.state.lock import Holder, LockState

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HELD = LockState(holders=(Holder(user_id="alice", session_id="talk-7", timestamp=NOON),))
QUEUED = {"status": "queued"}
NOTHING_RUNS = "queued: no instance runs, the autoscaler decides each minute"


def instance(state: Any = "running", name: str = "i-1") -> Instance:
    return Instance(name, state, NOON - timedelta(minutes=3))


def look(
    job: Mapping[str, object] | None = None,
    *instances: Instance,
    beats: dict[str, WorkerState] | None = None,
    lock: LockState | None = None,
    published: bool = False,
    scan_in: float | None = None,
) -> Look:
    heartbeats = {name: Heartbeat(instance_id=name, state=state, beat_at=NOON) for name, state in (beats or {}).items()}
    observation = Observation(QueueDepth(visible=1), lock or LockState(), instances, heartbeats)
    return Look(observation, job or {}, published, scan_in)


@pytest.mark.parametrize(
    ("seen", "step", "text"),
    [
        (look(QUEUED), Step.QUEUED, NOTHING_RUNS),
        (look(QUEUED, instance("stopped")), Step.QUEUED, NOTHING_RUNS),
        (look(QUEUED, instance("stopping")), Step.QUEUED, f"{NOTHING_RUNS}; i-1 is stopping"),
        (
            look(QUEUED, instance(), beats={"i-1": "draining"}),
            Step.QUEUED,
            f"{NOTHING_RUNS}; i-1 ends its run and takes no more jobs",
        ),
        (look(QUEUED, instance("pending")), Step.STARTING, "i-1 is starting"),
        (look(QUEUED, instance()), Step.STARTING, "i-1 boots; its worker has not been heard yet"),
        (look(QUEUED, instance(), beats={"i-1": "starting"}), Step.LOADING, "the worker on i-1 loads the model"),
        (
            look(QUEUED, instance(), beats={"i-1": "idle"}),
            Step.READY,
            "the worker on i-1 is idle; it takes the job with one of its next polls",
        ),
        (look({"status": "processing", "workerId": "i-1"}, instance()), Step.WORKING, "i-1 is at work on it"),
        (
            look({"status": "processing", "workerId": "i-1", "attempts": 2, "error": "SlowDown"}),
            Step.WORKING,
            "i-1 is at work on it, try 2, came back once: SlowDown",
        ),
        (look({"status": "completed"}, published=True), Step.PUBLISHED, "the transcript is published"),
        (look({}, published=True), Step.PUBLISHED, "the transcript is published"),
        (look({"status": "failed", "error": "audio-empty: x"}), Step.FAILED, "the job failed for good: audio-empty: x"),
        (
            look(QUEUED, instance(), lock=HELD),
            Step.LOCKED,
            "live session talk-7 since 12:00: the fleet waits for it, and so does this test",
        ),
        (
            look({}, scan_in=30),
            Step.YOUNG,
            "the chunk is too young for a scan; the scanner is invoked when it is old enough",
        ),
        (look({}, scan_in=0.0), Step.UNSEEN, "the scanner has been invoked; it lists the whole bucket"),
        (look(QUEUED, instance("pending"), scan_in=0.0), Step.STARTING, "i-1 is starting"),
    ],
)
def test_a_look_tells_where_the_job_is(seen: Look, step: Step, text: str) -> None:
    stage = stage_of(seen)

    assert (stage.step, stage.text) == (step, text)


def test_given_several_instances_then_the_one_that_is_furthest_is_told() -> None:
    seen = look(QUEUED, instance("pending", "i-1"), instance(name="i-2"), instance(name="i-3"), beats={"i-3": "busy"})

    assert stage_of(seen).step is Step.READY


def test_given_a_transcript_whose_job_is_still_in_work_then_it_waits_for_the_worker_to_be_done_with_it() -> None:
    # the worker deletes its message right after the ledger says completed; cleaning up before would race with it
    seen = look({"status": "processing", "workerId": "i-1"}, published=True)

    assert not stage_of(seen).over


def test_given_a_heartbeat_of_the_run_before_then_the_instance_still_boots() -> None:
    late = Instance("i-1", "running", NOON + timedelta(minutes=1))

    assert stage_of(look(QUEUED, late, beats={"i-1": "idle"})).step is Step.STARTING


def test_only_a_result_ends_the_waiting() -> None:
    over = {
        stage_of(seen).step for seen in (look({"status": "failed"}), look({}, published=True)) if stage_of(seen).over
    }

    assert over == {Step.FAILED, Step.PUBLISHED}
