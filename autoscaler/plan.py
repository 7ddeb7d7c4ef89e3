"""Decides when GPUs run: from what was seen, the policy and the time, to actions and a reason.

Pure, and without memory: it reads no clock, calls nothing and logs nothing. Each tick decides anew from what it sees,
so a start that failed or an instance that was still stopping is simply decided on again a minute later.

    lock held or unreadable           nothing at all
    queue or instances unreadable     nothing
    work waits, too little capacity   start stopped instances that are not on hold
    an owned worker is idle, no work  stop it
    an owned worker is silent         stop it
    heartbeats unreadable             nothing is stopped
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from autoscaler.model import Instance, Observation, Plan, Policy, StartInstance, StopInstance
from autoscaler.standing import Standing, standing
from shared.clock import human_duration
from shared.ledger import Heartbeat
from shared.queues import QueueDepth

_MOST_NAMES = 3


@dataclass(frozen=True, slots=True)
class _Member:
    """An instance with its heartbeat of this run and what it is worth."""

    instance: Instance
    heartbeat: Heartbeat | None
    standing: Standing

    @property
    def runs(self) -> bool:
        return self.instance.state in {"pending", "running"}

    @property
    def startable(self) -> bool:
        return self.standing is Standing.STOPPED and not self.instance.hold


_Fleet = tuple[_Member, ...]


def plan(observation: Observation, policy: Policy, now: datetime) -> Plan:
    """What to do at `now`, and why.

    Returns:
        Stops come before starts. The reason is one sentence for people, also when there is nothing to do.
    """
    if observation.lock.held:
        return Plan((), f"holding: {observation.lock.describe()}")
    if observation.queue is None or observation.instances is None:
        return Plan((), f"waiting: {'; '.join(observation.problems)}")
    fleet = tuple(
        _Member(instance, observation.heartbeat_of(instance), standing(instance, observation, policy, now))
        for instance in sorted(observation.instances, key=lambda instance: instance.id)
    )
    stops = _stops(fleet, observation.queue, policy, now) if observation.heartbeats is not None else ()
    start, reason = _start(fleet, observation.queue, policy)
    if not observation.queue.visible and not stops:
        return Plan((), f"nothing to do: {reason}")
    reasons = [reason, *(f"stopping {stop.instance_id}: {stop.reason}" for stop in stops)]
    return Plan((*stops, *((start,) if start else ())), "; ".join(reasons))


# --- starting


def desired_instances(queue: QueueDepth, policy: Policy) -> int:
    """How many instances drain the whole backlog in the target time; at least one while a job waits.

    Jobs in flight and delayed count towards how many, but never start one by themselves: those of a worker that died
    become visible when their leases end, and those of a live one are being worked on.
    """
    if not queue.visible:
        return 0
    return min(max(1, math.ceil(backlog_seconds(queue, policy) / policy.target_drain_seconds)), policy.max_instances)


def backlog_seconds(queue: QueueDepth, policy: Policy) -> float:
    """Seconds that one worker needs for all jobs on the queues."""
    return queue.total * policy.chunk_seconds / policy.real_time_factor


def _start(fleet: _Fleet, queue: QueueDepth, policy: Policy) -> tuple[StartInstance | None, str]:
    """The start that is due, if any, and why or why not."""
    runs = sum(member.runs for member in fleet)
    if not queue.visible:
        return None, f"no work waits{_out_of_sight(queue)}, {_instances(runs)} {'runs' if runs == 1 else 'run'}"
    if not policy.max_instances:
        return None, f"not starting: {_jobs(queue)}, but max_instances is 0"
    desired = desired_instances(queue, policy)
    capacity = sum(member.standing.is_capacity for member in fleet)
    shape = f"{_jobs(queue)}, {capacity} of {_instances(desired)} at work"
    if capacity >= desired:
        return None, f"enough: {shape}"
    # The limit is a promise about money, so whatever runs counts against it, useful or not.
    room = policy.max_instances - runs
    candidates = tuple(member.instance.id for member in fleet if member.startable)
    count = min(desired - capacity, room, len(candidates))
    if count <= 0:
        return None, f"waiting: {_obstacle(fleet, policy, room)}; {shape}"
    return StartInstance(candidates, count, shape), f"starting {count}: {shape}"


def _obstacle(fleet: _Fleet, policy: Policy, room: int) -> str:
    """Why no instance can be started although one is wanted."""
    if room <= 0:
        useless = [member for member in fleet if member.runs and not member.standing.is_capacity]
        return f"{_names(useless)} and max_instances is {policy.max_instances}, will retry"
    leaving = [member for member in fleet if member.standing.is_leaving]
    if leaving:
        return f"{_names(leaving)}, will retry"
    held = sum(member.standing is Standing.STOPPED and member.instance.hold for member in fleet)
    return f"the pool is exhausted: none of its {_instances(len(fleet))} can be started, {held} on hold"


# --- stopping


def _stops(fleet: _Fleet, queue: QueueDepth, policy: Policy, now: datetime) -> tuple[StopInstance, ...]:
    stops = []
    for member in fleet:
        # running, not pending: EC2 refuses to stop an instance that has not come up
        may_stop = member.instance.owned and not member.instance.hold and member.instance.state == "running"
        reason = _why_stop(member, queue, policy, now) if may_stop else None
        if reason:
            stops.append(StopInstance(member.instance.id, reason))
    return tuple(stops)


def _why_stop(member: _Member, queue: QueueDepth, policy: Policy, now: datetime) -> str | None:
    """Why this running instance is of no use any more; `None` while it is, or may be."""
    heartbeat = member.heartbeat
    if member.standing is Standing.SILENT:
        since = heartbeat.beat_at if heartbeat else member.instance.run_start
        what = "no heartbeat for" if heartbeat else "no heartbeat since its start, for"
        return f"{what} {human_duration((now - since).total_seconds())}"
    if heartbeat is None or heartbeat.idle_since is None or queue.total:
        return None
    # Between two heartbeats a worker's state and its `idle_since` may be of different moments; work in hand wins.
    idle = now - heartbeat.idle_since
    if heartbeat.state in {"busy", "locked"} or idle <= policy.idle_limit:
        return None
    return f"idle for {human_duration(idle.total_seconds())}"


# --- words


def _jobs(queue: QueueDepth) -> str:
    waits = "1 job waits" if queue.visible == 1 else f"{queue.visible:,} jobs wait"
    return f"{waits}{_out_of_sight(queue)}"


def _out_of_sight(queue: QueueDepth) -> str:
    parts = [(queue.in_flight, "in flight"), (queue.delayed, "delayed")]
    text = ", ".join(f"{count:,} {what}" for count, what in parts if count)
    return f" ({text})" if text else ""


def _instances(count: int) -> str:
    return "1 instance" if count == 1 else f"{count} instances"


def _names(members: Iterable[_Member]) -> str:
    """`i-1 is stopping, i-2 is draining`, cut where it would grow long."""
    texts = [f"{member.instance.id} is {member.standing}" for member in members]
    more = f" and {len(texts) - _MOST_NAMES} more" if len(texts) > _MOST_NAMES else ""
    return ", ".join(texts[:_MOST_NAMES]) + more
