"""The plan's stops and repairs, rule by rule; the table of whole situations has its own tests."""

from dataclasses import replace
from datetime import timedelta

import pytest

from autoscaler.model import (
    History,
    MarkSuspect,
    Observation,
    RebootInstance,
    StopInstance,
)
from autoscaler.planning.plan import plan
from shared.aws.sqs import QueueDepth
from shared.formats.heartbeat import WorkerState
from shared.state.lock import LockState
from tests.autoscaler.world.situations import NOW, POLICY, ago, beat, decide, instance, stopped, theirs


def test_given_no_work_and_a_worker_idle_beyond_the_limit_then_its_instance_is_stopped() -> None:
    decided = decide(instance("i-1"), beats=(beat("i-1", "idle", idle_minutes=6),))
    assert stopped(decided) == ["i-1"]
    assert decided.reason == "no work waits, 1 instance runs; stopping i-1: idle for 6m 00s"


def test_given_more_stops_than_a_sentence_holds_then_the_rest_is_counted() -> None:
    names = [f"i-{number}" for number in range(8)]
    decided = decide(
        *(instance(name) for name in names), beats=tuple(beat(name, "idle", idle_minutes=6) for name in names)
    )
    assert stopped(decided) == names
    assert decided.reason.endswith("; stopping i-4: idle for 6m 00s; and 3 more")


def test_given_a_worker_idle_within_the_limit_then_it_is_left_alone() -> None:
    assert decide(instance("i-1"), beats=(beat("i-1", "idle", idle_minutes=5),)).actions == ()


@pytest.mark.parametrize("depth", [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_given_work_anywhere_on_the_queues_then_an_idle_worker_is_left_alone(depth: tuple[int, int, int]) -> None:
    visible, in_flight, delayed = depth
    idle = beat("i-1", "idle", idle_minutes=60)
    decided = decide(instance("i-1"), beats=(idle,), visible=visible, in_flight=in_flight, delayed=delayed)
    assert stopped(decided) == []


@pytest.mark.parametrize("state", ["busy", "locked"])
def test_given_a_fresh_worker_that_is_busy_or_locked_then_it_is_never_stopped(state: WorkerState) -> None:
    assert decide(instance("i-1"), beats=(beat("i-1", state, idle_minutes=60),)).actions == ()


def test_given_a_worker_that_drains_without_end_then_its_instance_is_stopped() -> None:
    assert stopped(decide(instance("i-1"), beats=(beat("i-1", "draining", idle_minutes=6),))) == ["i-1"]


def test_given_a_silent_worker_then_tick_by_tick_it_is_marked_rebooted_marked_again_and_stopped_with_an_alarm() -> None:
    """A worker that died at noon: its instance with the tags as each tick finds and leaves them."""
    found, last_beat, now, did = instance("i-1"), beat("i-1", seconds_ago=0), NOW, []
    for _ in range(20):
        now += timedelta(minutes=1)
        observation = Observation(QueueDepth(), LockState(), (found,), {"i-1": last_beat})
        decided = plan(observation, History(), POLICY, now)
        for action in decided.actions:
            did.append((type(action), int((now - NOW).total_seconds() // 60), bool(decided.alarms)))
            if isinstance(action, MarkSuspect):
                found = replace(found, suspect_since=now)
            if isinstance(action, RebootInstance):
                found = replace(found, rebooted_at=now)
        if StopInstance in [kind for kind, _, _ in did]:
            break
    # silent limit 4 min, then a look in between; boot limit 5 min, then a look in between
    assert did == [
        (MarkSuspect, 5, False),
        (RebootInstance, 6, False),
        (MarkSuspect, 12, False),
        (StopInstance, 13, True),
    ]


def test_given_a_marked_worker_that_speaks_again_then_nothing_is_done_and_a_later_silence_begins_with_a_mark() -> None:
    marked = replace(instance("i-1"), suspect_since=ago(30))
    assert decide(marked, beats=(beat("i-1", "busy"),)).actions == ()
    silent_again = decide(marked, beats=(beat("i-1", "busy", seconds_ago=600),))
    assert [type(action) for action in silent_again.actions] == [MarkSuspect]


@pytest.mark.parametrize(("minutes", "expected"), [(5, []), (5.1, [MarkSuspect])])
def test_given_no_heartbeat_since_the_start_then_the_instance_is_marked_after_the_boot_limit(
    minutes: float, expected: list[type]
) -> None:
    assert [type(action) for action in decide(instance("i-1", minutes=minutes)).actions] == expected


def test_given_an_instance_pending_for_hours_then_it_is_not_stopped_because_ec2_would_refuse() -> None:
    assert decide(instance("i-1", "pending", minutes=600)).actions == ()


def test_given_a_persons_instance_then_it_is_never_stopped() -> None:
    assert decide(theirs("i-1"), theirs("i-2"), beats=(beat("i-2", "idle", idle_minutes=60),)).actions == ()


def test_given_an_instance_on_hold_then_it_is_never_stopped() -> None:
    assert decide(instance("i-1", hold=True), beats=(beat("i-1", "idle", idle_minutes=60),)).actions == ()


def test_given_unreadable_heartbeats_then_nothing_is_stopped() -> None:
    assert decide(instance("i-1", minutes=600), beats=None).actions == ()
