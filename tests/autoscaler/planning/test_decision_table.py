"""The decision table of docs/autoscaler.md: each row is a situation here, and says what the plan really does in it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from autoscaler.model import (
    Decision,
    History,
    Instance,
    InstanceState,
    MarkSuspect,
    Observation,
    Plan,
    Policy,
    ProbeResult,
    RebootInstance,
    StartInstance,
    StopInstance,
    Surplus,
)
from autoscaler.planning.plan import plan
from autoscaler.policy import QuietHours
from shared.aws.sqs import QueueDepth
from shared.formats.heartbeat import Heartbeat, WorkerState
from shared.state.lock import Holder, LockState

PAGE = Path(__file__).parents[3] / "docs" / "autoscaler.md"
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
VERBS = {StartInstance: "start", StopInstance: "stop", MarkSuspect: "suspect", RebootInstance: "reboot"}
# 200 jobs x 5 s / 20 = 50 s of work: what one instance drains in the target time.
POLICY = Policy(
    max_instances=3,
    target_drain_seconds=50,
    rtfx=20,
    chunk_seconds=5,
    boot_limit=timedelta(minutes=5),
    idle_limit=timedelta(minutes=5),
    silent_limit=timedelta(minutes=4),
    surplus_limit=timedelta(minutes=15),
    stuck_limit=timedelta(minutes=30),
    max_run=timedelta(hours=12),
    price_usd_per_hour=0.5,
)
ONE = replace(POLICY, max_instances=1)
ACCUMULATING = replace(POLICY, start_min_jobs=50, start_max_wait=timedelta(minutes=30))
BUDGET = replace(POLICY, daily_gpu_seconds=4 * 3600)
QUIET = replace(POLICY, quiet_hours=QuietHours(time(11), time(14)))
HELD = LockState(holders=(Holder(user_id="u", session_id="talk-7", timestamp=NOW - timedelta(minutes=3)),))
FREE, NINE, NONE = LockState(), QueueDepth(visible=9), QueueDepth()
STOPPED_ZONE = Instance("i-1", "stopped", NOW - timedelta(days=1), availability_zone="us-east-1a")


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def owned(name: str, state: InstanceState = "running", *, up: float = 60, **more: Any) -> Instance:
    return Instance(name, state, launch_time=ago(up), owned_since=ago(up), **more)


def stopped(name: str = "i-1", **more: Any) -> Instance:
    return Instance(name, "stopped", launch_time=ago(600), **more)


def beat(name: str, state: WorkerState = "busy", *, seconds_ago: float = 10, **more: Any) -> Heartbeat:
    return Heartbeat(instance_id=name, state=state, beat_at=NOW - timedelta(seconds=seconds_ago), **more)


def idle(name: str = "i-1", minutes: float = 50) -> Heartbeat:
    return beat(name, "idle", idle_since=ago(minutes))


@dataclass(frozen=True)
class Case:
    """What is seen in one situation, and under which policy."""

    instances: tuple[Instance, ...] | None = (stopped(),)
    queue: QueueDepth | None = NINE
    beats: tuple[Heartbeat, ...] | None = ()
    policy: Policy = POLICY
    lock: LockState = FREE
    problems: tuple[str, ...] = ()
    history: History = field(default_factory=History)
    more: Mapping[str, Any] = field(default_factory=dict)

    def decide(self) -> Plan:
        observation = Observation(
            queue=self.queue,
            lock=self.lock,
            instances=self.instances,
            heartbeats=None if self.beats is None else {found.instance_id: found for found in self.beats},
            problems=self.problems,
            **self.more,
        )
        return plan(observation, self.history, self.policy, NOW)


UNREADABLE = ("could not read the heartbeats (ThrottlingException)",)
WAITED = timedelta(minutes=1)
CASES: dict[str, Case] = {
    # --- nothing is touched
    "a live session holds the lock": Case((stopped(), owned("i-2")), beats=(idle("i-2"),), lock=HELD),
    "the lock cannot be read": Case(lock=LockState(problem="s3://b/batch-lock.json could not be read (AccessDenied)")),
    "the queues cannot be read": Case(queue=None, problems=("could not read the queue jobs (AccessDenied)",)),
    "the instances cannot be read": Case(None, problems=("could not read the instances (AccessDenied)",)),
    # --- starting
    "no work, nothing runs": Case(queue=NONE),
    "jobs only in flight or delayed": Case(queue=QueueDepth(in_flight=4, delayed=2)),
    "work waits, nothing runs": Case(),
    "work waits, the first look alone saw it": Case(more={"confirmations": (NONE,)}),
    "more work than one instance does in the target time, a look finds a message": Case(
        (stopped("i-1"), stopped("i-2"), stopped("i-3")),
        QueueDepth(visible=300),
        more={"sighting": ProbeResult.MESSAGE},
    ),
    "more work than one instance does in the target time, a look finds no message": Case(
        (stopped("i-1"), stopped("i-2"), stopped("i-3")),
        QueueDepth(visible=300),
        more={"sighting": ProbeResult.NOTHING},
    ),
    "more work than two instances do in the target time, one is at work": Case(
        (owned("i-1"), stopped("i-2"), stopped("i-3")),
        QueueDepth(visible=500),
        beats=(beat("i-1"),),
        history=History(last_start=ago(60), last_work=ago(0.2)),
    ),
    "enough instances at work": Case((owned("i-1"), stopped("i-2")), beats=(beat("i-1"),)),
    "the workers are faster than the setting says": Case(
        (owned("i-1"), stopped("i-2")), QueueDepth(visible=300), beats=(beat("i-1", rtfx=40.0),)
    ),
    "an instance boots within the boot limit": Case((owned("i-1", "pending", up=4), stopped("i-2"))),
    "an instance was started a moment ago, EC2 still says stopped": Case(
        (Instance("i-1", "stopped", launch_time=ago(900), owned_since=ago(0.1)), stopped("i-2"))
    ),
    "the only instance is stopping": Case((owned("i-1", "stopping"),), policy=ONE),
    "the only instance is draining": Case((owned("i-1"),), beats=(beat("i-1", "draining"),), policy=ONE),
    "every instance that could start is on hold": Case((stopped(hold=True),)),
    "max_instances is 0": Case(policy=replace(POLICY, max_instances=0)),
    "fewer jobs than the threshold, for less than the longest wait": Case(
        policy=ACCUMULATING, history=History(oldest_waits=WAITED)
    ),
    "fewer jobs than the threshold, for the longest wait": Case(
        policy=ACCUMULATING, history=History(oldest_waits=timedelta(minutes=30))
    ),
    "fewer jobs than the threshold, for an unknown time": Case(policy=ACCUMULATING),
    "as many jobs as the threshold": Case(
        queue=QueueDepth(visible=50), policy=ACCUMULATING, history=History(oldest_waits=WAITED)
    ),
    "the last run found no work, a look finds no message": Case(
        history=History(last_start=ago(10)), more={"sighting": ProbeResult.NOTHING}
    ),
    "the last run found no work, a look finds a message": Case(
        history=History(last_start=ago(10)), more={"sighting": ProbeResult.MESSAGE}
    ),
    "the last run found no work, the queues cannot be asked": Case(
        problems=("could not look for a message on the queue jobs (AccessDenied)",),
        history=History(last_start=ago(10)),
        more={"sighting": ProbeResult.REFUSED},
    ),
    "the last run found no work, a dry run does not look": Case(history=History(last_start=ago(10), last_work=ago(11))),
    "the last run found no work, an hour ago": Case(history=History(last_start=ago(60), last_work=ago(61))),
    "the last run did some work": Case(history=History(last_start=ago(10), last_work=ago(9))),
    "quiet hours": Case(policy=QUIET),
    "the daily budget is used up": Case(policy=BUDGET, history=History(gpu_seconds_today=4.2 * 3600)),
    "the daily budget is used up, and overridden": Case(
        policy=replace(BUDGET, budget_override_until=NOW + timedelta(hours=1)),
        history=History(gpu_seconds_today=4.2 * 3600),
    ),
    "there is a daily budget, its use is unknown": Case(policy=BUDGET),
    "the only zone has just had no capacity": Case(
        (STOPPED_ZONE,), history=History(blocked_zones={"us-east-1a": NOW + timedelta(minutes=4)})
    ),
    "one zone of two has just had no capacity": Case(
        (STOPPED_ZONE, replace(STOPPED_ZONE, id="i-2", availability_zone="us-east-1b")),
        history=History(blocked_zones={"us-east-1a": NOW + timedelta(minutes=4)}),
    ),
    "no work, fewer run than min_instances": Case(queue=NONE, policy=replace(POLICY, min_instances=1)),
    "the heartbeats cannot be read, work waits, an instance runs": Case(
        (owned("i-1"), stopped("i-2")), beats=None, problems=UNREADABLE
    ),
    "the heartbeats cannot be read, work waits, nothing runs": Case(beats=None, problems=UNREADABLE),
    # --- stopping
    "no work, an owned worker is idle beyond the limit": Case((owned("i-1"),), NONE, (idle(),)),
    "no work, an owned worker is idle within the limit": Case((owned("i-1"),), NONE, (idle(minutes=4),)),
    "no work, an idle worker is one of min_instances": Case(
        (owned("i-1"),), NONE, (idle(),), replace(POLICY, min_instances=1)
    ),
    "a worker is idle while jobs are in flight": Case((owned("i-1"),), QueueDepth(in_flight=1), (idle(),)),
    "an idle instance that a person started": Case((Instance("i-1", "running", ago(60)),), NONE, (idle(),)),
    "an idle instance on hold": Case((owned("i-1", hold=True),), NONE, (idle(),)),
    "the heartbeats cannot be read, no work": Case((owned("i-1"),), NONE, None, problems=UNREADABLE),
    "one worker's heartbeat cannot be understood, another is idle": Case(
        (owned("i-1"), owned("i-2")), NONE, (idle("i-2"),), more={"invalid_heartbeats": frozenset({"i-1"})}
    ),
    "up beyond the longest run, not busy": Case(
        (owned("i-1", up=13 * 60),), QueueDepth(visible=9), (beat("i-1", "idle", idle_since=ago(0)),)
    ),
    "up beyond the longest run, busy": Case((owned("i-1", up=13 * 60),), beats=(beat("i-1"),)),
    "up beyond the longest run, the heartbeats cannot be read": Case(
        (owned("i-1", up=13 * 60),), NONE, None, problems=UNREADABLE
    ),
    "more at work than any tick has wanted for the span, two idle": Case(
        (owned("i-1"), owned("i-2"), owned("i-3")),
        beats=(beat("i-1"), idle("i-2", 0.2), idle("i-3", 0.3)),
        history=History(surplus=Surplus(since=ago(15), most_wanted=1)),
    ),
    "more at work than any tick has wanted for the span, but two were wanted at times": Case(
        (owned("i-1"), owned("i-2"), owned("i-3")),
        beats=(beat("i-1"), idle("i-2", 0.2), idle("i-3", 0.3)),
        history=History(surplus=Surplus(since=ago(15), most_wanted=2)),
    ),
    "more at work than any tick has wanted for the span, all busy": Case(
        (owned("i-1"), owned("i-2")),
        beats=(beat("i-1"), beat("i-2")),
        history=History(surplus=Surplus(since=ago(15), most_wanted=1)),
    ),
    "more at work than wanted for less than the span": Case(
        (owned("i-1"), owned("i-2")),
        beats=(beat("i-1"), idle("i-2", 0.2)),
        history=History(surplus=Surplus(since=ago(14), most_wanted=1)),
    ),
    # --- dead or hung workers
    "no heartbeat since the start, beyond the boot limit": Case((owned("i-1", up=6),), NONE),
    "silent beyond the limit, not marked yet": Case((owned("i-1"),), NONE, (beat("i-1", seconds_ago=300),)),
    "silent, marked within this very minute": Case(
        (owned("i-1", suspect_since=ago(0.2)),), NONE, (beat("i-1", seconds_ago=300),)
    ),
    "silent, marked by an earlier tick": Case(
        (owned("i-1", suspect_since=ago(1)),), NONE, (beat("i-1", seconds_ago=300),)
    ),
    "silent again, marked in an earlier spell": Case(
        (owned("i-1", suspect_since=ago(20)),), NONE, (beat("i-1", seconds_ago=300),)
    ),
    "rebooted, within the boot limit": Case(
        (owned("i-1", suspect_since=ago(5), rebooted_at=ago(4)),), NONE, (beat("i-1", seconds_ago=600),)
    ),
    "rebooted, still silent and marked again": Case(
        (owned("i-1", suspect_since=ago(1), rebooted_at=ago(7)),), NONE, (beat("i-1", seconds_ago=900),)
    ),
    "busy, but no job finished beyond the limit": Case(
        (owned("i-1"),), QueueDepth(in_flight=1), (beat("i-1", progress_at=ago(31)),)
    ),
    "without a job beyond the limit, while some have waited as long": Case(
        (owned("i-1"),), beats=(idle("i-1", 31),), policy=ONE, history=History(oldest_waits=timedelta(minutes=31))
    ),
    "without a job beyond the limit, and some wait for a minute": Case(
        (owned("i-1"),), beats=(idle("i-1", 31),), policy=ONE, history=History(oldest_waits=WAITED)
    ),
    "the worker's clock is far ahead": Case((owned("i-1"),), NONE, (beat("i-1", seconds_ago=-600),)),
    "silent, on hold": Case((owned("i-1", hold=True),), NONE, (beat("i-1", seconds_ago=300),)),
    "silent, started by a person": Case((Instance("i-1", "running", ago(60)),), NONE),
    "silent, while work waits": Case((owned("i-1"), stopped("i-2")), beats=(beat("i-1", seconds_ago=300),)),
}


def row(situation: str) -> tuple[str, str, str, str]:
    """What really happens in a situation, as the page writes it: decision, actions, alarm, reason."""
    decided = CASES[situation].decide()
    acts = ", ".join(dict.fromkeys(f"{VERBS[type(action)]}{_count(action)}" for action in decided.actions))
    return (f"`{decided.decision}`", acts or "-", "yes" if decided.alarms else "-", decided.reason)


def _count(action: object) -> str:
    return f" {action.count}" if isinstance(action, StartInstance) else ""


def rows_of_page() -> dict[str, tuple[str, ...]]:
    """The five-column tables of the page, by their first column."""
    lines = re.findall(r"^\| (.+) \|$", PAGE.read_text(), flags=re.MULTILINE)
    cells = [tuple(line.split(" | ")) for line in lines]
    return {line[0]: line[1:] for line in cells if len(line) == 5 and line[0] != "situation"}


@pytest.mark.parametrize("situation", CASES)
def test_the_page_says_what_is_decided_and_done_in(situation: str) -> None:
    assert rows_of_page().get(situation) == row(situation)


def test_the_page_has_no_row_without_a_situation_that_is_tested() -> None:
    assert set(rows_of_page()) == set(CASES)


def test_every_decision_that_a_plan_can_come_to_has_a_row() -> None:
    found = {CASES[situation].decide().decision for situation in CASES}
    assert found == set(Decision) - {Decision.SUPERSEDED}
