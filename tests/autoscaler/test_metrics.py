"""The metrics of a tick, read as CloudWatch's specification of the embedded metric format says."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from autoscaler.metrics import metric_lines
from autoscaler.model import ActionOutcome, Decision, History, Instance, Observation, Plan, Policy
from autoscaler.result import TickResult
from shared.aws.sqs import QueueDepth
from shared.state.lock import Holder, LockState

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PAGE = Path(__file__).parents[2] / "docs" / "autoscaler.md"
POLICY = Policy(
    max_instances=3,
    target_drain_seconds=50,
    rtfx=20,
    chunk_seconds=5,
    boot_limit=timedelta(minutes=5),
    idle_limit=timedelta(minutes=5),
    silent_limit=timedelta(minutes=4),
    price_usd_per_hour=0.5,
)
SEEN = Observation(
    queue=QueueDepth(visible=40),
    lock=LockState(),
    instances=(Instance("i-1", "running", NOW), Instance("i-2", "stopped", NOW), Instance("i-3", "stopped", NOW)),
    heartbeats={},
)
PAST = History(oldest_waits=timedelta(seconds=90), gpu_seconds_today=5400, lock_held_for=timedelta(0))
RESULT = TickResult(
    now=NOW,
    policy=POLICY,
    observation=SEEN,
    history=PAST,
    plan=Plan((), "starting 1", Decision.STARTING, alarms=("look here",)),
    reason="starting 1",
    decision=Decision.STARTING,
    outcome=ActionOutcome(started=("i-2",), stopped=("i-1",)),
)

Value = tuple[str, frozenset[tuple[str, str]], float]


def read(lines: list[dict[str, Any]]) -> Iterator[Value]:
    """Metric, dimensions, value, as CloudWatch takes them from the lines."""
    for text in map(json.dumps, lines):
        line = json.loads(text)
        assert line["_aws"]["Timestamp"] == int(NOW.timestamp() * 1000)
        for directive in line["_aws"]["CloudWatchMetrics"]:
            assert re.fullmatch(r"[A-Za-z0-9_./#:-]{1,256}", directive["Namespace"])
            for dimensions in directive["Dimensions"]:
                assert all(isinstance(line[name], str) for name in dimensions)
                for metric in directive["Metrics"]:
                    assert metric["Unit"] in {"Seconds", "Count", "None"}
                    value = line[metric["Name"]]
                    assert isinstance(value, (int, float))
                    yield metric["Name"], frozenset((name, line[name]) for name in dimensions), value


def values(result: TickResult) -> dict[str, float]:
    """The metrics with no dimension but the fleet's."""
    return {
        name: value
        for name, dimensions, value in read(metric_lines(result, "blue"))
        if dimensions == {("Fleet", "blue")}
    }


def test_given_a_tick_then_its_values_are_those_of_what_it_saw_and_did() -> None:
    assert values(RESULT) == {
        "BacklogSeconds": 10,
        "OldestPendingAgeSeconds": 90,
        "Starts": 1,
        "Stops": 1,
        "CapacityBlocked": 0,
        "Held": 0,
        "Alarms": 1,
        "Problems": 0,
        "Ticks": 1,
        "LongestRunSeconds": 0,
        "SilentInstances": 0,
        "LockHeldSeconds": 0,
        "GpuHoursToday": 1.5,
        "CostTodayUSD": 0.75,
    }


def test_given_instances_then_each_state_is_counted_with_none_for_those_that_nobody_is_in() -> None:
    counted = {
        dict(dimensions)["State"]: value
        for name, dimensions, value in read(metric_lines(RESULT, "blue"))
        if name == "InstancesByState"
    }
    assert counted == {"pending": 0, "running": 1, "stopping": 0, "stopped": 2}


@pytest.mark.parametrize("decision", Decision)
def test_given_a_decision_then_it_is_counted_by_its_word(decision: Decision) -> None:
    found = [
        dict(dimensions)["Decision"]
        for name, dimensions, value in read(metric_lines(replace(RESULT, decision=decision), "blue"))
        if name == "DecisionReason" and value == 1
    ]
    assert found == [str(decision)]


def test_given_parts_that_could_not_be_read_then_their_metrics_have_no_value_instead_of_zero() -> None:
    unread = replace(SEEN, queue=None, instances=None, problems=("a", "b"))
    result = replace(RESULT, observation=unread, history=replace(PAST, oldest_waits=None, gpu_seconds_today=None))
    found = values(result)
    assert set(found) == {
        "Alarms", "CapacityBlocked", "Held", "LockHeldSeconds", "Problems", "Starts", "Stops", "Ticks"
    }  # fmt: skip
    assert found["Problems"] == 2
    names = {name for name, _, _ in read(metric_lines(result, "blue"))}
    assert "InstancesByState" not in names


def test_given_a_lock_that_cannot_be_read_then_it_counts_as_a_problem_because_it_holds_up_everything() -> None:
    unread = replace(SEEN, lock=LockState(problem="batch-lock.json could not be read"))
    assert values(replace(RESULT, observation=unread))["Problems"] == 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"outcome": ActionOutcome(blocked={"i-2": "InsufficientInstanceCapacity"})}, 1),
        ({"decision": Decision.NO_CAPACITY}, 1),
        ({"outcome": ActionOutcome(blocked={"i-2": "IncorrectInstanceState"})}, 0),
    ],
)
def test_given_a_start_that_aws_has_no_room_for_then_capacity_is_blocked(change: dict[str, Any], expected: int) -> None:
    assert values(replace(RESULT, **change))["CapacityBlocked"] == expected


def ran(hours: float, *, owned: bool = True, **more: Any) -> Instance:
    """An instance that has run for so many hours."""
    began = NOW - timedelta(hours=hours)
    return Instance(
        **{"id": f"i-{hours}", "state": "running", "launch_time": began, **more}, owned_since=began if owned else None
    )


def with_instances(*instances: Instance, **parts: Any) -> dict[str, float]:
    return values(replace(RESULT, observation=replace(SEEN, instances=instances, **parts)))


def test_given_several_runs_then_the_longest_of_owned_instances_that_run_is_told_on_hold_or_not() -> None:
    runs = (ran(2), ran(3, hold=True), ran(7, owned=False), ran(9, state="stopped"), ran(8, state="stopping"))
    assert with_instances(*runs)["LongestRunSeconds"] == 3 * 3600


def test_given_workers_that_do_not_speak_then_those_not_on_hold_are_counted() -> None:
    silent = (
        ran(2),
        ran(3, owned=False),
        ran(4, state="pending"),
        ran(5, hold=True),
        ran(6, state="stopped"),
        ran(0.01),
    )
    assert with_instances(*silent)["SilentInstances"] == 3


def test_given_unreadable_heartbeats_then_nothing_is_said_of_silence() -> None:
    assert "SilentInstances" not in with_instances(ran(2), heartbeats=None)


def test_given_a_held_lock_then_its_time_is_told_and_without_the_record_it_is_unknown() -> None:
    lock = LockState(holders=(Holder(user_id="u", session_id="s", timestamp=NOW),))
    held = replace(RESULT, observation=replace(SEEN, lock=lock))
    assert values(replace(held, history=History(lock_held_for=timedelta(hours=13))))["LockHeldSeconds"] == 13 * 3600
    assert "LockHeldSeconds" not in values(replace(held, history=History()))


def test_given_a_live_session_then_the_tick_was_held() -> None:
    assert values(replace(RESULT, decision=Decision.HOLDING))["Held"] == 1


def test_the_page_names_every_metric_and_no_other() -> None:
    table = PAGE.read_text().split("## Metrics")[1]
    named = {name for row in re.findall(r"^\| (`.+?) \|", table, flags=re.MULTILINE) for name in row.split("`")[1::2]}
    assert named == {name for name, _, _ in read(metric_lines(RESULT, "blue"))}
