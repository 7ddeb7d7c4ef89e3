"""Which instances a fleet does without after its peak, tick by tick and for any fleet."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.model import History, Instance, Observation, Plan, Policy, StopInstance, Surplus
from autoscaler.planning.plan import plan
from shared.aws.sqs import QueueDepth
from shared.formats.heartbeat import Heartbeat, WorkerState
from shared.state.lock import Holder, LockState

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SPAN = timedelta(minutes=15)
# 200 jobs x 5 s / 20 = 50 s of work: what one instance drains in the target time.
POLICY = Policy(
    max_instances=9,
    target_drain_seconds=50,
    rtfx=20,
    chunk_seconds=5,
    boot_limit=timedelta(minutes=5),
    idle_limit=timedelta(minutes=5),
    silent_limit=timedelta(minutes=4),
    surplus_limit=SPAN,
)


def owned(number: int, **more: Any) -> Instance:
    began = NOW - timedelta(hours=2)
    return Instance(f"i-{number}", "running", began, **{"owned_since": began, **more})


def beat(number: int, state: WorkerState, now: datetime = NOW, *, idle_seconds: float = 20) -> Heartbeat:
    since = None if state in {"busy", "locked"} else now - timedelta(seconds=idle_seconds)
    return Heartbeat(instance_id=f"i-{number}", state=state, beat_at=now, idle_since=since)


def seen(states: Iterable[WorkerState], jobs: int, now: datetime = NOW, **more: Any) -> Observation:
    """Owned instances whose workers are in these states, and so many jobs."""
    workers = list(enumerate(states))
    known: dict[str, Any] = {
        "queue": QueueDepth(visible=jobs),
        "lock": LockState(),
        "instances": tuple(owned(number) for number, _ in workers),
        "heartbeats": {f"i-{number}": beat(number, state, now) for number, state in workers},
        **more,
    }
    return Observation(**known)


def over(most_wanted: int = 1) -> Surplus:
    """A span that is over just now."""
    return Surplus(since=NOW - SPAN, most_wanted=most_wanted)


def past(most_wanted: int = 1) -> History:
    """Ticks that were in such a span."""
    return History(surplus=over(most_wanted))


def stops(decided: Plan) -> list[str]:
    return [action.instance_id for action in decided.actions if isinstance(action, StopInstance)]


# --- tick by tick


def test_given_a_peak_that_is_over_then_after_a_whole_span_the_fleet_comes_down_to_the_peak_it_wanted_in_it() -> None:
    surplus, stopped, now = None, {}, NOW
    wanted = [6, 6, 5, 4, 3, 2, 2, 4, 2, *[2] * 11]  # each minute, of six at work
    for minute, count in enumerate(wanted):
        now = NOW + timedelta(minutes=minute)
        decided = plan(seen(["idle"] * 6, 200 * count - 1, now), History(surplus=surplus), POLICY, now)
        surplus = decided.surplus
        stopped[minute] = len(stops(decided))
    # The span begins in minute 2, with the first tick that wanted fewer than six.
    assert {minute: count for minute, count in stopped.items() if count} == {17: 1, 18: 1, 19: 1}


def test_given_stops_that_are_done_then_the_span_begins_anew_with_what_is_wanted_now() -> None:
    after = plan(seen(["idle"] * 5, 399), past(5), POLICY, NOW)
    assert (stops(after), after.surplus) == ([], Surplus(since=NOW, most_wanted=2))


def test_given_a_tick_that_wants_all_that_are_at_work_then_the_span_is_over() -> None:
    assert plan(seen(["idle"] * 3, 600), past(), POLICY, NOW).surplus is None


def test_given_counts_that_differ_from_look_to_look_then_the_highest_says_what_is_wanted() -> None:
    looks = seen(["idle"] * 4, 10, confirmations=(QueueDepth(in_flight=700), QueueDepth(visible=3)))
    assert stops(plan(looks, past(), POLICY, NOW)) == []


# --- whom it takes


def test_given_busy_and_idle_workers_then_only_idle_ones_are_stopped_those_first_that_were_idle_longest() -> None:
    fleet = seen(["idle", "busy", "idle", "starting", "idle"], 5)
    beats = dict(fleet.heartbeats or {}) | {"i-4": beat(4, "idle", idle_seconds=50)}
    assert stops(plan(replace(fleet, heartbeats=beats), past(3), POLICY, NOW)) == ["i-4", "i-0"]


def test_given_a_busy_fleet_then_nobody_is_stopped_and_the_first_that_is_idle_later_is() -> None:
    busy = plan(seen(["busy"] * 4, 5), past(), POLICY, NOW)
    assert (stops(busy), busy.surplus) == ([], over())
    later = NOW + timedelta(minutes=1)
    decided = plan(seen(["busy", "busy", "idle", "busy"], 5, later), History(surplus=busy.surplus), POLICY, later)
    assert stops(decided) == ["i-2"]


@pytest.mark.parametrize("change", [{"hold": True}, {"owned_since": None}, {"state": "pending", "owned_since": NOW}])
def test_given_instances_that_are_not_the_autoscalers_to_stop_then_they_stay_and_count_as_at_work(
    change: dict[str, Any],
) -> None:
    fleet = seen(["idle", "idle"], 5)
    theirs = replace(fleet, instances=(owned(0), replace(owned(1), **change)))
    assert stops(plan(theirs, past(), POLICY, NOW)) == ["i-0"]


def test_given_an_instance_that_is_stopped_for_another_reason_then_it_counts_towards_the_surplus() -> None:
    fleet = seen(["idle"] * 3, 5)
    up_too_long = replace(POLICY, max_run=timedelta(minutes=100))
    young = replace(owned(1), launch_time=NOW - timedelta(hours=1), owned_since=NOW - timedelta(hours=1))
    instances = (owned(0), young, replace(young, id="i-2"))
    assert stops(plan(replace(fleet, instances=instances), past(2), up_too_long, NOW)) == ["i-0"]


# --- when it takes nobody


@pytest.mark.parametrize(
    "unknown", [{"queue": None}, {"instances": None}, {"heartbeats": None}, {"lock": LockState(problem="unreadable")}]
)
def test_given_a_part_that_could_not_be_read_then_nobody_is_stopped_and_the_span_begins_anew(
    unknown: dict[str, Any],
) -> None:
    decided = plan(seen(["idle"] * 4, 5, **unknown), past(), POLICY, NOW)
    assert (stops(decided), decided.surplus) == ([], None)


def test_given_the_lock_is_held_then_nobody_is_stopped_and_the_span_begins_anew() -> None:
    held = LockState(holders=(Holder(user_id="u", session_id="s", timestamp=NOW),))
    decided = plan(seen(["idle"] * 4, 5, lock=held), past(), POLICY, NOW)
    assert (decided.actions, decided.surplus) == ((), None)


def test_given_instances_that_are_kept_without_work_then_so_many_stay() -> None:
    kept = replace(POLICY, min_instances=3)
    assert len(stops(plan(seen(["idle"] * 4, 5), past(), kept, NOW))) == 1


# --- for any fleet

states = st.lists(st.sampled_from(["idle", "idle", "busy", "locked", "draining", "starting"]), min_size=1, max_size=6)
spans = st.none() | st.builds(
    Surplus, since=st.integers(0, 40).map(lambda m: NOW - timedelta(minutes=m)), most_wanted=st.integers(1, 6)
)
policies = st.builds(
    replace, st.just(POLICY), max_instances=st.sampled_from([1, 2, 9]), min_instances=st.integers(0, 3)
)


@given(states, st.integers(1, 1400), spans, policies)
def test_while_there_is_work_the_stops_leave_all_that_the_span_has_wanted_and_every_busy_worker(
    fleet: list[WorkerState], jobs: int, span: Surplus | None, policy: Policy
) -> None:
    decided = plan(seen(fleet, jobs), History(surplus=span), policy, NOW)
    stopped = stops(decided)
    assert all(fleet[int(name.removeprefix("i-"))] == "idle" for name in stopped)
    if stopped:
        assert span is not None
        assert NOW - span.since >= SPAN
        left = sum(state != "draining" for state in fleet) - len(stopped)
        wanted = max(span.most_wanted, -(-jobs // 200) if policy.max_instances > 1 else 1, policy.min_instances)
        assert left >= min(wanted, policy.max_instances)
        # and of those that could go, none stays without need
        assert left == wanted or fleet.count("idle") == len(stopped)


@given(states.filter(lambda fleet: len(fleet) == 1), st.integers(0, 1400), spans)
def test_a_fleet_of_one_knows_no_surplus(fleet: list[WorkerState], jobs: int, span: Surplus | None) -> None:
    decided = plan(seen(fleet, jobs), History(surplus=span), replace(POLICY, max_instances=1), NOW)
    assert decided.surplus is None
    assert stops(decided) == []
