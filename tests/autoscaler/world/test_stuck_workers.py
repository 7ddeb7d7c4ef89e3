"""Workers that speak and get nothing done: told from those that rest, marked, rebooted, given up."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from autoscaler.model import History, Instance, MarkSuspect, Observation, Policy, RebootInstance, StopInstance
from autoscaler.planning.plan import plan
from autoscaler.planning.status import InstanceStatus, standing
from shared.aws.sqs import QueueDepth
from shared.formats.heartbeat import Heartbeat, WorkerState
from shared.state.lock import LockState

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
POLICY = Policy(
    max_instances=1,
    target_drain_seconds=900,
    rtfx=20,
    chunk_seconds=5,
    boot_limit=timedelta(minutes=5),
    idle_limit=timedelta(minutes=5),
    silent_limit=timedelta(minutes=4),
    stuck_limit=timedelta(minutes=30),
)


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def beat(state: WorkerState, minute: float, **more: Any) -> Heartbeat:
    return Heartbeat(instance_id="i-1", state=state, beat_at=at(minute), **more)


def seen(heartbeat: Heartbeat, instance: Instance | None = None) -> Observation:
    """One owned instance with this heartbeat, and a job that waits."""
    return Observation(
        QueueDepth(visible=1),
        LockState(),
        (instance or Instance("i-1", "running", at(-60), at(-60)),),
        {"i-1": heartbeat},
    )


def waits(minutes: float | None) -> History:
    return History(oldest_waits=None if minutes is None else timedelta(minutes=minutes))


@pytest.mark.parametrize("state", ["idle", "starting"])
@pytest.mark.parametrize(
    ("idle", "waited", "expected"),
    [
        (31, 31, InstanceStatus.STUCK),
        (30, 31, InstanceStatus.AT_WORK),
        (31, 30, InstanceStatus.AT_WORK),
        (31, 0, InstanceStatus.AT_WORK),
        (31, None, InstanceStatus.AT_WORK),
    ],
)
def test_a_worker_is_stuck_where_it_and_the_work_have_both_waited_beyond_the_limit(
    state: WorkerState, idle: float, waited: float | None, expected: InstanceStatus
) -> None:
    observation = seen(beat(state, 0, idle_since=at(-idle)))
    assert observation.instances
    assert standing(observation.instances[0], observation, waits(waited), POLICY, NOON) is expected


@pytest.mark.parametrize(
    "heartbeat", [beat("busy", 0, progress_at=at(-29)), beat("locked", 0), beat("busy", 0, idle_since=None)]
)
def test_a_worker_that_gets_on_or_holds_still_for_a_live_session_is_not_stuck_however_long_work_waits(
    heartbeat: Heartbeat,
) -> None:
    observation = seen(heartbeat)
    assert observation.instances
    assert standing(observation.instances[0], observation, waits(600), POLICY, NOON) is InstanceStatus.AT_WORK


def test_given_a_worker_that_takes_no_job_though_some_wait_then_it_is_marked_rebooted_and_at_last_given_up() -> None:
    """It beats on all the while; each boot of its host begins its idleness anew."""
    found, idle_since, did = Instance("i-1", "running", at(0), at(0)), at(0), []
    for minute in range(1, 120):
        observation = seen(beat("idle", minute, idle_since=idle_since), found)
        decided = plan(observation, waits(minute), POLICY, at(minute))
        for action in decided.actions:
            did.append((type(action), minute, bool(decided.alarms)))
            if isinstance(action, MarkSuspect):
                found = replace(found, suspect_since=at(minute))
            if isinstance(action, RebootInstance):
                found, idle_since = replace(found, rebooted_at=at(minute)), at(minute)
        if StopInstance in [kind for kind, _, _ in did]:
            break
    assert did == [
        (MarkSuspect, 31, False),
        (RebootInstance, 32, False),
        (MarkSuspect, 63, False),
        (StopInstance, 64, True),
    ]
