"""Decides how many instances are wanted, and whether and which ones may be started now.

Pure. A start rests on the least that all looks at the queues agree on, because their counts show messages that are not
there; work that does wait is delayed by any rule here only for a time that the rule names.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from autoscaler.fleet import Fleet, backlog_seconds, instances, jobs, names, out_of_sight, real_time_factor
from autoscaler.model import Decision, Observation, Policy, StartInstance
from autoscaler.standing import Standing
from shared.clock import human_duration
from shared.queues import QueueDepth

# After runs that found no work, for this long, a count alone starts nothing.
_FRUITLESS_FOR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether something is started, and why or why not."""

    decision: Decision
    reason: str
    start: StartInstance | None = None


@dataclass(frozen=True, slots=True)
class _Case:
    """All that a verdict rests on."""

    fleet: Fleet
    observation: Observation
    policy: Policy
    now: datetime
    queue: QueueDepth
    desired: int

    @property
    def capacity(self) -> int:
        return sum(member.standing.is_capacity for member in self.fleet)

    @property
    def runs(self) -> int:
        return sum(member.runs for member in self.fleet)

    @property
    def shape(self) -> str:
        return f"{jobs(self.queue)}, {self.capacity} of {instances(self.desired)} at work"


def wanted_idle(policy: Policy, now: datetime) -> int:
    """How many instances are kept without work now."""
    quiet = policy.quiet_hours is not None and policy.quiet_hours.include(now)
    return 0 if quiet else min(policy.min_instances, policy.max_instances)


def desired_instances(queue: QueueDepth, policy: Policy, factor: float | None = None) -> int:
    """How many instances drain the whole backlog in the target time; at least one while a job waits.

    Jobs in flight and delayed count towards how many, but never start one by themselves: those of a worker that died
    become visible when their leases end, and those of a live one are being worked on.

    Args:
        factor: seconds of audio that a worker transcribes in a second; the policy's without it.
    """
    if not queue.visible:
        return 0
    seconds = backlog_seconds(queue, policy, factor)
    return min(max(1, math.ceil(seconds / policy.target_drain_seconds)), policy.max_instances)


def judge_start(fleet: Fleet, observation: Observation, policy: Policy, now: datetime) -> Verdict:
    """The start that is due, if any, and why or why not. The queues must be known."""
    queue = observation.least_queue() or QueueDepth()
    factor = real_time_factor(observation, policy, now)
    desired = max(desired_instances(queue, policy, factor), wanted_idle(policy, now))
    case = _Case(fleet, observation, policy, now, queue, desired)
    for rule in _RULES:
        verdict = rule(case)
        if verdict:
            return verdict
    return _choose(case)


# --- rules, in this order; the first that objects decides


def _nothing_waits(case: _Case) -> Verdict | None:
    if case.queue.visible or case.capacity < case.desired:
        return None
    unconfirmed = case.observation.queue != case.queue and case.observation.queue
    seen = f" ({unconfirmed.visible:,} seen at first, not confirmed)" if unconfirmed else out_of_sight(case.queue)
    runs = f"{instances(case.runs)} {'runs' if case.runs == 1 else 'run'}"
    return Verdict(Decision.NOTHING_TO_DO, f"no work waits{seen}, {runs}")


def _limit_is_zero(case: _Case) -> Verdict | None:
    if case.policy.max_instances:
        return None
    return Verdict(Decision.WAITING, f"not starting: {jobs(case.queue)}, but max_instances is 0")


def _enough_at_work(case: _Case) -> Verdict | None:
    return Verdict(Decision.ENOUGH, f"enough: {case.shape}") if case.capacity >= case.desired else None


def _quiet(case: _Case) -> Verdict | None:
    hours = case.policy.quiet_hours
    if hours is None or not hours.include(case.now):
        return None
    return Verdict(Decision.QUIET, f"quiet: nothing starts before {hours.end:%H:%M} UTC; {case.shape}")


def _over_budget(case: _Case) -> Verdict | None:
    policy, used = case.policy, case.observation.gpu_seconds_today
    overridden = policy.budget_override_until is not None and case.now < policy.budget_override_until
    if not policy.has_budget or overridden:
        return None
    if used is None:
        return Verdict(Decision.OVER_BUDGET, f"not starting: what today has cost could not be read; {case.shape}")
    if policy.daily_gpu_seconds is not None and used >= policy.daily_gpu_seconds:
        spent = f"{used / 3600:.1f} of {policy.daily_gpu_seconds / 3600:g} GPU hours"
    elif policy.daily_cost_usd is not None and policy.cost_usd(used) >= policy.daily_cost_usd:
        spent = f"{policy.cost_usd(used):.2f} of {policy.daily_cost_usd:g} USD"
    else:
        return None
    return Verdict(Decision.OVER_BUDGET, f"over budget: {spent} of today are used; {case.shape}")


def _too_little_yet(case: _Case) -> Verdict | None:
    """A first start waits until there is enough work for it, or some has waited long enough.

    For how long is unknown without the ledger, and then nothing waits: the rule saves money, and no work may wait
    without end because a table is away.
    """
    age, policy = case.observation.oldest_waits, case.policy
    if not _work_alone_asks(case) or age is None or case.queue.visible >= policy.start_min_jobs:
        return None
    if age >= policy.start_max_wait:
        return None
    left = human_duration((policy.start_max_wait - age).total_seconds())
    return Verdict(Decision.GATHERING, f"gathering: fewer than {policy.start_min_jobs:,}, {left} left; {case.shape}")


def _last_runs_found_nothing(case: _Case) -> Verdict | None:
    """Counts that have just been wrong are believed when they stay: spikes last a minute."""
    age, policy = case.observation.oldest_waits, case.policy
    if not _work_alone_asks(case) or age is None or age >= policy.start_doubt:
        return None
    over = {member.id for member in case.fleet if not member.standing.is_capacity}
    last = [beat for name, beat in (case.observation.heartbeats or {}).items() if name in over]
    recent = [beat for beat in last if case.now - beat.beat_at < _FRUITLESS_FOR]
    # A worker that ended with work in hand, or before it could look for any, is no evidence.
    if not recent or any(beat.jobs_done or beat.state not in {"idle", "draining"} for beat in recent):
        return None
    left = human_duration((policy.start_doubt - age).total_seconds())
    return Verdict(Decision.DOUBTING, f"doubting: the last run found no work, {left} left; {case.shape}")


_RULES: tuple[Callable[[_Case], Verdict | None], ...] = (
    _nothing_waits,
    _limit_is_zero,
    _enough_at_work,
    _quiet,
    _over_budget,
    _too_little_yet,
    _last_runs_found_nothing,
)


def _work_alone_asks(case: _Case) -> bool:
    """Whether this would be a first start, for waiting work: not one for what must run anyway, nor one more."""
    return not case.capacity and not wanted_idle(case.policy, case.now)


# --- the start


def _choose(case: _Case) -> Verdict:
    blocked = {zone for zone, until in case.observation.blocked_zones.items() if case.now < until}
    startable = [member for member in case.fleet if member.startable]
    candidates = tuple(m.id for m in startable if m.instance.availability_zone not in blocked)
    # The limit is a promise about money, so whatever runs counts against it, useful or not.
    room = case.policy.max_instances - case.runs
    count = min(case.desired - case.capacity, room, len(candidates))
    if count > 0:
        start = StartInstance(candidates, count, case.shape)
        return Verdict(Decision.STARTING, f"starting {count}: {case.shape}", start)
    if room > 0 and startable:
        return Verdict(Decision.NO_CAPACITY, f"waiting: {_no_capacity(case)}, will retry; {case.shape}")
    return Verdict(Decision.WAITING, f"waiting: {_obstacle(case, room)}; {case.shape}")


def _no_capacity(case: _Case) -> str:
    zones = sorted((until, zone) for zone, until in case.observation.blocked_zones.items() if case.now < until)
    return ", ".join(f"no capacity in {zone} until {until:%H:%M}" for until, zone in zones)


def _obstacle(case: _Case, room: int) -> str:
    """Why no instance can be started although one is wanted."""
    if room <= 0:
        useless = [member for member in case.fleet if member.runs and not member.standing.is_capacity]
        return f"{names(useless)} and max_instances is {case.policy.max_instances}, will retry"
    leaving = [member for member in case.fleet if member.standing.is_leaving]
    if leaving:
        return f"{names(leaving)}, will retry"
    held = sum(member.standing is Standing.STOPPED and member.instance.hold for member in case.fleet)
    return f"the pool is exhausted: none of its {instances(len(case.fleet))} can be started, {held} on hold"
