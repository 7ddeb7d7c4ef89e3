"""Situations for the plan, put together in a line, and what it decides in them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from autoscaler.model import (
    History,
    Instance,
    InstanceState,
    Observation,
    Plan,
    Policy,
    ProbeResult,
    StartInstance,
    StopInstance,
)
from autoscaler.planning.plan import plan
from shared.aws.sqs import QueueDepth
from shared.formats.heartbeat import Heartbeat, WorkerState
from shared.state.lock import Holder, LockState

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
# 200 jobs x 5 s / 20 = 50 s of work: what one instance drains in the target time.
POLICY = Policy(
    max_instances=3,
    target_drain_seconds=50,
    rtfx=20,
    chunk_seconds=5,
    boot_limit=timedelta(minutes=5),
    idle_limit=timedelta(minutes=5),
    silent_limit=timedelta(minutes=4),
)
ONE = replace(POLICY, max_instances=1)
HELD = LockState(holders=(Holder(user_id="u", session_id="talk-7", timestamp=NOW - timedelta(minutes=3)),))


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def instance(name: str, state: InstanceState = "running", *, minutes: float = 60, hold: bool = False) -> Instance:
    """An instance whose run the autoscaler began `minutes` ago."""
    return Instance(name, state, launch_time=ago(minutes), owned_since=ago(minutes), hold=hold)


def theirs(name: str, state: InstanceState = "running", *, minutes: float = 60) -> Instance:
    """An instance whose run a person began."""
    return Instance(name, state, launch_time=ago(minutes))


def beat(
    name: str, state: WorkerState = "busy", *, seconds_ago: float = 10, idle_minutes: float | None = None
) -> Heartbeat:
    return Heartbeat(
        instance_id=name,
        state=state,
        beat_at=NOW - timedelta(seconds=seconds_ago),
        idle_since=None if idle_minutes is None else ago(idle_minutes),
    )


def decide(
    *instances: Instance,
    beats: tuple[Heartbeat, ...] | None = (),
    policy: Policy = POLICY,
    lock: LockState | None = None,
    sighting: ProbeResult | None = None,
    **depth: int,
) -> Plan:
    observation = Observation(
        queue=QueueDepth(**depth),
        lock=lock or LockState(),
        instances=instances,
        heartbeats=None if beats is None else {heartbeat.instance_id: heartbeat for heartbeat in beats},
        problems=() if beats is not None else ("could not read the heartbeats (throttled)",),
        sighting=sighting,
    )
    return plan(observation, History(), policy, NOW)


def started(decided: Plan) -> tuple[int, tuple[str, ...]]:
    """How many are to be started, from which candidates."""
    starts = [action for action in decided.actions if isinstance(action, StartInstance)]
    assert len(starts) <= 1
    return (starts[0].count, starts[0].candidates) if starts else (0, ())


def stopped(decided: Plan) -> list[str]:
    return [action.instance_id for action in decided.actions if isinstance(action, StopInstance)]
