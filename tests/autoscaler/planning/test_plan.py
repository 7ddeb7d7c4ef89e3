"""The plan's starts, rule by rule; the table of whole situations has its own tests."""

from dataclasses import replace
from typing import Any

import pytest

from autoscaler.model import (
    Decision,
    History,
    InstanceState,
    Observation,
    Plan,
    ProbeResult,
)
from autoscaler.planning.plan import plan
from shared.aws.sqs import QueueDepth
from shared.formats.heartbeat import WorkerState
from shared.state.lock import LockState
from tests.autoscaler.world.situations import HELD, NOW, ONE, POLICY, beat, decide, instance, started, stopped, theirs

# --- nothing is touched


def test_given_a_live_session_holds_the_lock_then_nothing_is_done_and_the_reason_names_it() -> None:
    idle = instance("i-1")
    decided = decide(
        idle, instance("i-2", "stopped"), beats=(beat("i-1", "idle", idle_minutes=50),), lock=HELD, visible=9
    )
    assert decided == Plan((), "holding: live session talk-7 since 11:57", Decision.HOLDING)


def test_given_an_unreadable_lock_then_nothing_is_done_and_the_reason_says_which_object() -> None:
    unreadable = LockState(problem="s3://recordings/batch-lock.json is not a valid lock object")
    decided = decide(instance("i-1", "stopped"), lock=unreadable, visible=9)
    assert decided.actions == ()
    assert "s3://recordings/batch-lock.json is not a valid lock object" in decided.reason


@pytest.mark.parametrize("unknown", ["queue", "instances"])
def test_given_an_unreadable_part_that_decisions_need_then_it_waits_and_says_what_it_could_not_read(
    unknown: str,
) -> None:
    parts: dict[str, Any] = {
        "queue": QueueDepth(visible=9),
        "instances": (instance("i-1"), instance("i-2", "stopped")),
        "heartbeats": {},
        unknown: None,
    }
    observation = Observation(lock=LockState(), problems=(f"could not read the {unknown} (AccessDenied)",), **parts)
    expected = Plan((), f"waiting: could not read the {unknown} (AccessDenied)", Decision.OBSERVATION_FAILED)
    assert plan(observation, History(), POLICY, NOW) == expected


# --- starting


def test_given_a_waiting_job_and_a_stopped_instance_then_one_instance_is_started() -> None:
    decided = decide(instance("i-1", "stopped"), visible=1)
    assert started(decided) == (1, ("i-1",))
    assert decided.reason == "starting 1: 1 job waits, 0 of 1 instance at work"


def test_given_no_work_then_nothing_is_started_and_the_reason_says_so() -> None:
    assert decide(instance("i-1", "stopped")) == Plan((), "nothing to do: no work waits, 0 instances run")


def test_given_only_jobs_in_flight_or_delayed_then_nothing_is_started() -> None:
    decided = decide(instance("i-1", "stopped"), in_flight=900, delayed=900)
    assert decided == Plan((), "nothing to do: no work waits (900 in flight, 900 delayed), 0 instances run")


@pytest.mark.parametrize(
    ("visible", "in_flight", "delayed", "expected"),
    [(1, 0, 0, 1), (200, 0, 0, 1), (201, 0, 0, 2), (1, 200, 0, 2), (1, 200, 200, 3), (100_000, 0, 0, 3)],
)
def test_given_a_backlog_then_as_many_start_as_drain_all_of_it_in_the_target_time_within_the_limit(
    visible: int, in_flight: int, delayed: int, expected: int
) -> None:
    pool = [instance(f"i-{number}", "stopped") for number in range(5)]
    decided = decide(*pool, visible=visible, in_flight=in_flight, delayed=delayed, sighting=ProbeResult.MESSAGE)
    assert started(decided)[0] == expected


def test_given_several_stopped_instances_then_all_are_candidates_in_the_order_of_their_ids() -> None:
    pool = [instance(name, "stopped") for name in ("i-3", "i-1", "i-2")]
    assert started(decide(*pool, visible=1)) == (1, ("i-1", "i-2", "i-3"))


def test_given_an_instance_on_hold_then_it_is_no_candidate() -> None:
    held = instance("i-1", "stopped", hold=True)
    assert started(decide(held, instance("i-2", "stopped"), visible=1)) == (1, ("i-2",))


def test_given_a_persons_stopped_instance_then_it_may_be_started() -> None:
    assert started(decide(theirs("i-1", "stopped"), visible=1)) == (1, ("i-1",))


def test_given_enough_instances_at_work_then_nothing_is_started_and_the_reason_counts_them() -> None:
    decided = decide(instance("i-1"), instance("i-2", "stopped"), beats=(beat("i-1"),), visible=12)
    assert decided == Plan((), "enough: 12 jobs wait, 1 of 1 instance at work", Decision.ENOUGH)


def test_given_max_instances_of_zero_then_nothing_is_started_and_the_reason_names_the_limit() -> None:
    none = replace(POLICY, max_instances=0)
    decided = decide(instance("i-1", "stopped"), policy=none, visible=2)
    assert decided == Plan((), "not starting: 2 jobs wait, but max_instances is 0", Decision.WAITING)


# --- what counts as capacity


@pytest.mark.parametrize("state", ["pending", "running"])
def test_given_an_instance_within_the_boot_limit_then_it_counts_as_capacity(state: InstanceState) -> None:
    decided = decide(instance("i-1", state, minutes=5), instance("i-2", "stopped"), visible=1)
    assert decided.actions == ()


@pytest.mark.parametrize("state", ["pending", "running"])
def test_given_an_instance_beyond_the_boot_limit_without_a_heartbeat_then_another_is_started(
    state: InstanceState,
) -> None:
    decided = decide(instance("i-1", state, minutes=5.1), instance("i-2", "stopped"), visible=1)
    assert started(decided) == (1, ("i-2",))
    assert stopped(decided) == []


@pytest.mark.parametrize("state", ["starting", "idle", "busy", "locked"])
def test_given_a_worker_with_a_fresh_heartbeat_then_it_counts_as_capacity(state: WorkerState) -> None:
    decided = decide(instance("i-1"), instance("i-2", "stopped"), beats=(beat("i-1", state),), visible=1)
    assert decided.actions == ()


def test_given_a_draining_worker_then_it_is_no_capacity_and_another_is_started() -> None:
    decided = decide(instance("i-1"), instance("i-2", "stopped"), beats=(beat("i-1", "draining"),), visible=1)
    assert started(decided) == (1, ("i-2",))


def test_given_a_silent_worker_then_it_is_no_capacity_and_another_is_started() -> None:
    decided = decide(theirs("i-1"), instance("i-2", "stopped"), beats=(beat("i-1", seconds_ago=241),), visible=1)
    assert started(decided) == (1, ("i-2",))


def test_given_draining_from_the_run_before_then_the_new_run_counts_as_booting() -> None:
    old = beat("i-1", "draining", seconds_ago=180)
    decided = decide(instance("i-1", minutes=2), instance("i-2", "stopped"), beats=(old,), visible=1)
    assert decided.actions == ()


def test_given_unreadable_heartbeats_then_a_running_instance_counts_and_a_missing_one_is_still_started() -> None:
    assert decide(instance("i-1"), instance("i-2", "stopped"), beats=None, visible=1).actions == ()
    assert started(decide(instance("i-2", "stopped"), beats=None, visible=1)) == (1, ("i-2",))


# --- waiting


def test_given_the_only_instance_is_stopping_then_it_waits_for_it() -> None:
    decided = decide(instance("i-1", "stopping"), policy=ONE, visible=1)
    assert decided.actions == ()
    assert decided.reason.startswith("waiting: i-1 is stopping, will retry")


def test_given_a_message_that_comes_while_the_instance_stops_then_a_later_tick_starts_it() -> None:
    states: tuple[InstanceState, ...] = ("running", "stopping", "stopped")
    ticks = [decide(instance("i-1", s), beats=(beat("i-1", "draining"),), policy=ONE, visible=1) for s in states]
    assert [started(tick)[0] for tick in ticks] == [0, 0, 1]


def test_given_the_limit_is_used_up_by_a_useless_instance_then_it_waits_and_names_it() -> None:
    decided = decide(
        instance("i-1"), instance("i-2", "stopped"), beats=(beat("i-1", "draining"),), policy=ONE, visible=1
    )
    assert decided.actions == ()
    assert decided.reason.startswith("waiting: i-1 is draining and max_instances is 1, will retry")


def test_given_no_instance_that_could_ever_be_started_then_the_reason_says_that_the_pool_is_exhausted() -> None:
    decided = decide(instance("i-1", "stopped", hold=True), visible=4)
    assert decided.actions == ()
    assert decided.reason == (
        "waiting: the pool is exhausted: none of its 1 instance can be started, 1 on hold; "
        "4 jobs wait, 0 of 1 instance at work"
    )


def test_given_more_instances_on_their_way_out_than_a_sentence_holds_then_the_rest_is_counted() -> None:
    decided = decide(*(instance(f"i-{number}", "stopping") for number in range(5)), visible=1)
    assert "i-2 is stopping and 2 more, will retry" in decided.reason


@pytest.mark.parametrize("speed", [0.0, 5e-324, 0.009])
def test_given_a_worker_that_tells_a_speed_of_almost_nothing_then_the_setting_counts(speed: float) -> None:
    strange = beat("i-1").model_copy(update={"rtfx": speed})
    decided = decide(instance("i-1"), instance("i-2", "stopped"), beats=(strange,), visible=200)
    assert decided.reason == "enough: 200 jobs wait, 1 of 1 instance at work"
