"""What ticks tell each other: the waiting time, the day's GPU seconds, the zones that rest."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.model import ActionOutcome, Instance, InstanceState, Observation, ProbeResult
from autoscaler.record import NO_CAPACITY, TickRecord, ZoneBlock, back_off
from shared.aws.sqs import QueueDepth
from shared.formats.heartbeat import Heartbeat, WorkerState
from shared.state.lock import Holder, LockState

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def seen(*instances: Instance, visible: int = 0, **parts: Any) -> Observation:
    known: dict[str, Any] = {"queue": QueueDepth(visible=visible), "instances": instances, "heartbeats": {}}
    return Observation(**{"lock": LockState(), **known, **parts})


def run(
    begin: float, end: float | None = None, *, name: str = "i-1", owned: bool = True, zone: str = "us-east-1a"
) -> Instance:
    """An instance that has run since minute `begin`, up to minute `end`."""
    state: InstanceState = "running" if end is None else "stopped"
    stopped_at = None if end is None else at(end)
    return Instance(name, state, at(begin), at(begin) if owned else None, availability_zone=zone, stopped_at=stopped_at)


# --- for how long work waits


def test_given_work_that_waits_over_several_ticks_then_its_time_counts_from_the_first_that_saw_it() -> None:
    record = TickRecord().after(seen(), at(0)).after(seen(visible=3), at(1)).after(seen(visible=9), at(5))
    assert record.history(seen(visible=9), at(5)).oldest_waits == timedelta(minutes=4)


def test_given_a_tick_that_sees_no_work_then_the_time_begins_anew() -> None:
    record = TickRecord().after(seen(visible=3), at(0)).after(seen(), at(1)).after(seen(visible=1), at(2))
    assert record.history(seen(visible=1), at(2)).oldest_waits == timedelta(0)


def test_given_unreadable_queues_then_the_time_goes_on_and_is_unknown_to_that_tick() -> None:
    blind = seen(queue=None)
    record = TickRecord().after(seen(visible=3), at(0)).after(blind, at(1))
    assert record.history(blind, at(1)).oldest_waits is None
    later = record.after(seen(visible=3), at(2))
    assert later.history(seen(visible=3), at(2)).oldest_waits == timedelta(minutes=2)


def test_given_a_second_look_that_sees_nothing_then_nothing_waits() -> None:
    spike = seen(visible=40, confirmations=(QueueDepth(),))
    assert TickRecord().after(spike, at(0)).waiting_since is None


# --- for how long the lock is held


def held(*refreshed: float) -> Observation:
    """What a tick sees while live sessions hold the lock, each refreshed at the minute given."""
    holders = (Holder(user_id="u", session_id=f"s{minute}", timestamp=at(minute)) for minute in refreshed)
    return seen(lock=LockState(holders=tuple(holders)))


def test_given_a_hold_that_is_refreshed_for_half_a_day_then_its_whole_time_counts() -> None:
    record = TickRecord().after(seen(), at(0))
    for minute in range(5, 725, 5):
        record = record.after(held(minute - 1), at(minute))
    assert record.history(held(719), at(720)).lock_held_for == timedelta(minutes=716)


def test_given_live_sessions_that_relieve_each_other_then_the_lock_has_not_been_free() -> None:
    record = TickRecord().after(held(0), at(1)).after(held(0, 9), at(10)).after(held(19), at(20))
    assert record.history(held(19), at(20)).lock_held_for == timedelta(minutes=20)


def test_given_a_tick_that_sees_the_lock_free_then_its_time_begins_anew() -> None:
    record = TickRecord().after(held(0), at(1)).after(seen(), at(10)).after(held(11), at(12))
    assert record.history(held(11), at(12)).lock_held_for == timedelta(minutes=1)
    assert record.after(seen(), at(13)).history(seen(), at(13)).lock_held_for == timedelta(0)


def test_given_a_lock_that_cannot_be_read_then_it_counts_as_held_since_the_tick_that_found_it_so() -> None:
    unreadable = seen(lock=LockState(problem="no permission"))
    record = TickRecord().after(unreadable, at(0)).after(unreadable, at(30))
    assert record.history(unreadable, at(30)).lock_held_for == timedelta(minutes=30)


# --- what the day costs


def test_given_an_owned_run_then_its_seconds_add_up_tick_by_tick_to_its_whole_length() -> None:
    record = TickRecord()
    for minute in range(1, 31):
        record = record.after(seen(run(0.5)), at(minute))
    assert record.after(seen(run(0.5, 30.25)), at(31)).gpu_seconds == pytest.approx(29.75 * 60)


def test_given_missed_ticks_then_the_run_in_between_is_counted_by_its_stop_time() -> None:
    record = TickRecord().after(seen(), at(0)).after(seen(run(2, 9)), at(30))
    assert record.gpu_seconds == pytest.approx(7 * 60)
    assert record.after(seen(run(2, 9)), at(31)).gpu_seconds == pytest.approx(7 * 60)


def test_given_a_run_of_seconds_then_it_counts_as_a_minute_and_only_once() -> None:
    record = TickRecord().after(seen(), at(0)).after(seen(run(0.2, 0.5)), at(1)).after(seen(run(0.2, 0.5)), at(2))
    assert record.gpu_seconds == pytest.approx(60)


def test_given_a_persons_instance_then_it_costs_the_budget_nothing() -> None:
    assert TickRecord().after(seen(run(0, owned=False)), at(60)).gpu_seconds == 0


def test_given_midnight_then_the_day_begins_with_what_ran_since() -> None:
    record = TickRecord().after(seen(run(0)), at(11 * 60 + 59))
    assert record.gpu_seconds == pytest.approx((11 * 60 + 59) * 60)
    assert record.after(seen(run(0)), at(12 * 60 + 2)).gpu_seconds == pytest.approx(120)


def test_given_unreadable_instances_then_their_time_is_counted_by_the_next_tick_that_sees_them() -> None:
    record = TickRecord().after(seen(run(0)), at(1)).after(seen(instances=None), at(2))
    assert record.history(seen(instances=None), at(2)).gpu_seconds_today is None
    assert record.after(seen(run(0)), at(3)).gpu_seconds == pytest.approx(180)


@given(st.floats(0, 100), st.floats(0.02, 300), st.lists(st.floats(0, 500), max_size=20))
def test_whatever_the_ticks_the_seconds_of_a_run_are_its_length_but_a_minute_at_least(
    begin: float, length: float, ticks: list[float]
) -> None:
    end = begin + length
    record = TickRecord()
    for minute in [*sorted(ticks), 600]:
        found = seen() if minute < begin else seen(run(begin, end if minute >= end else None))
        record = record.after(found, at(minute))
    assert record.gpu_seconds == pytest.approx(max(length * 60, 60), abs=0.01)


# --- zones


def refused(name: str = "i-1", code: str = NO_CAPACITY) -> ActionOutcome:
    return ActionOutcome(blocked={name: code})


def test_given_no_capacity_again_and_again_then_the_zone_rests_longer_each_time_up_to_15_minutes() -> None:
    record, rests = TickRecord(), []
    for _ in range(6):
        record = record.with_zones([run(0)], refused(), "fleet", at(0))
        rests.append((record.zones["us-east-1a"].until - at(0)).total_seconds() / 60)
    for rest, minutes in zip(rests, (1, 2, 4, 8, 15, 15), strict=True):
        assert 0.75 * minutes <= rest <= 1.25 * minutes


def test_given_a_start_in_the_zone_then_it_rests_no_more() -> None:
    full = TickRecord().with_zones([run(0)], refused(), "fleet", at(0))
    assert full.with_zones([run(0)], ActionOutcome(started=("i-1",)), "fleet", at(1)).zones == {}


def test_given_another_refusal_or_an_unknown_zone_then_no_zone_rests() -> None:
    record = TickRecord()
    assert record.with_zones([run(0)], refused(code="IncorrectInstanceState"), "fleet", at(0)) is record
    assert record.with_zones([run(0, zone="")], refused(), "fleet", at(0)) is record


def test_given_a_rest_that_is_over_then_the_zone_is_asked_again_and_a_new_refusal_rests_longer() -> None:
    record = TickRecord().with_zones([run(0)], refused(), "fleet", at(0)).after(seen(), at(5))
    assert record.history(seen(), at(5)).blocked_zones == {}
    assert record.with_zones([run(0)], refused(), "fleet", at(5)).zones["us-east-1a"].failures == 2


def test_given_an_hour_without_a_refusal_then_the_next_one_is_a_first_again() -> None:
    record = TickRecord().with_zones([run(0)], refused(), "fleet", at(0)).after(seen(), at(90))
    assert record.zones == {}


def test_given_a_rest_until_the_end_of_time_then_the_record_can_still_be_brought_up_to_date() -> None:
    record = TickRecord(zones={"us-east-1a": ZoneBlock(failures=1, until=datetime.max.replace(tzinfo=UTC))})
    assert record.after(seen(), at(0)).zones == record.zones


def test_the_same_refusal_rests_equally_long_each_time_and_differently_for_another_fleet() -> None:
    assert back_off("a", "us-east-1a", 3) == back_off("a", "us-east-1a", 3)
    assert len({back_off(fleet, "us-east-1a", 3) for fleet in "abcdefgh"}) > 4


def test_the_record_survives_its_json() -> None:
    record = TickRecord().after(seen(run(0), visible=1), at(1)).with_zones([run(0)], refused(), "fleet", at(1))
    assert TickRecord.model_validate_json(record.to_json()) == record


# --- the last start, and whether it has found work


def beats(*found: Heartbeat) -> dict[str, Heartbeat]:
    return {beat.instance_id: beat for beat in found}


def a_beat(state: WorkerState, beat_at: float, **more: Any) -> Heartbeat:
    return Heartbeat(instance_id="i-1", state=state, beat_at=at(beat_at), **more)


def test_given_owned_runs_then_the_latest_start_is_kept_when_its_instance_is_gone_as_a_groups_members_are() -> None:
    record = TickRecord().after(seen(run(1), run(4, name="i-2"), run(5, name="i-3", owned=False)), at(6))
    assert record.after(seen(), at(7)).history(seen(), at(7)).last_start == at(4)


@pytest.mark.parametrize(
    ("beat", "expected"),
    [
        (a_beat("busy", 9, progress_at=at(3)), 9),
        (a_beat("idle", 9, idle_since=at(7), jobs_done=2), 7),
        (a_beat("draining", 9, idle_since=at(7), jobs_done=2), 7),
        (a_beat("idle", 9, idle_since=at(1)), None),
        (a_beat("draining", 9, idle_since=at(1)), None),
        (a_beat("starting", 9, idle_since=at(1)), None),
        (a_beat("busy", 60), None),
    ],
)
def test_a_worker_had_work_when_it_was_busy_or_since_it_is_idle_after_some_but_not_where_it_found_none(
    beat: Heartbeat, expected: float | None
) -> None:
    record = TickRecord().after(seen(run(1), heartbeats=beats(beat)), at(10))
    assert record.last_work == (None if expected is None else at(expected))


def test_given_an_older_heartbeat_or_none_then_the_last_work_stays() -> None:
    record = TickRecord().after(seen(heartbeats=beats(a_beat("busy", 9))), at(9))
    assert record.after(seen(heartbeats=beats(a_beat("busy", 2))), at(10)).last_work == at(9)
    assert record.after(seen(heartbeats=None), at(10)).last_work == at(9)


def test_given_a_look_that_found_a_message_then_the_time_of_it_is_kept_and_one_that_did_not_changes_nothing() -> None:
    record = (
        TickRecord().after(seen(sighting=ProbeResult.MESSAGE), at(1)).after(seen(sighting=ProbeResult.NOTHING), at(2))
    )
    assert record.history(seen(), at(2)).last_sighting == at(1)


# --- starts that EC2 does not show yet


def test_given_a_start_whose_mark_is_not_shown_yet_then_it_is_known_from_the_record() -> None:
    record = TickRecord().with_starts(ActionOutcome(started=("i-1",)), at(10)).after(seen(visible=1), at(10.2))
    before = run(0, 5, owned=False)
    (instance,) = record.with_own_starts(seen(before)).instances or ()
    assert instance == replace(before, owned_since=at(10))


def test_given_a_later_mark_or_a_run_that_shows_then_the_record_changes_nothing() -> None:
    record = TickRecord().with_starts(ActionOutcome(started=("i-1", "i-2")), at(10))
    later = replace(run(0, 5), owned_since=at(10.1))
    by_a_person = run(12, owned=False, name="i-2")
    assert record.with_own_starts(seen(later, by_a_person)).instances == (later, by_a_person)


def test_given_a_start_of_a_while_ago_then_it_is_forgotten() -> None:
    record = TickRecord().with_starts(ActionOutcome(started=("i-1",)), at(10))
    assert record.after(seen(), at(14)).starts == {"i-1": at(10)}
    assert record.after(seen(), at(15)).starts == {}
    assert record.with_starts(ActionOutcome(), at(11)) is record
