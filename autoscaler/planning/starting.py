"""Decides how many instances are wanted, and whether and which ones may be started now.

Pure. A start rests on the least that all looks at the queues agree on, because their counts show messages that are not
there; work that does wait is delayed by any rule here only for a time that the rule names.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from autoscaler.model import Decision, History, Observation, Policy, ProbeResult, StartInstance
from autoscaler.planning.fleet import Fleet, backlog_seconds, instances, jobs, names, out_of_sight, rtfx
from autoscaler.planning.status import InstanceStatus
from shared.aws.sqs import QueueDepth
from shared.clock import human_duration

# Counts alone start one instance in this time.
_COUNTS_START_EVERY = timedelta(hours=1)
# Work that a worker had this long ago shows that the counts of now are real: heartbeats and ticks are a minute apart.
_AT_PRESENT = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class StartDecision:
    """Whether something is started, and why or why not."""

    decision: Decision
    reason: str
    start: StartInstance | None = None


@dataclass(frozen=True, slots=True)
class _Case:
    """All that a verdict rests on."""

    fleet: Fleet
    observation: Observation
    history: History
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
    """How many instances a start brings the fleet to; at least one while a job waits, none while none does.

    Jobs in flight and delayed count towards how many, but never start one by themselves: those of a worker that died
    become visible when their leases end, and those of a live one are being worked on.

    Args:
        factor: seconds of audio that a worker transcribes in a second; the policy's without it.
    """
    return wanted_instances(queue, policy, factor) if queue.visible else 0


def wanted_instances(queue: QueueDepth, policy: Policy, factor: float | None = None) -> int:
    """How many instances drain the whole backlog in the target time; none without any job."""
    seconds = backlog_seconds(queue, policy, factor)
    return min(max(int(queue.total > 0), math.ceil(seconds / policy.target_drain_seconds)), policy.max_instances)


def judge_start(
    fleet: Fleet, observation: Observation, history: History, policy: Policy, now: datetime
) -> StartDecision:
    """The start that is due, if any, and why or why not. The queues must be known."""
    queue = observation.least_queue() or QueueDepth()
    factor = rtfx(observation, policy, now)
    desired = max(desired_instances(queue, policy, factor), wanted_idle(policy, now))
    case = _Case(fleet, observation, history, policy, now, queue, desired)
    for rule in _RULES:
        verdict = rule(case)
        if verdict:
            return verdict
    return _choose(case)


# --- rules, in this order; the first that objects decides


def _nothing_waits(case: _Case) -> StartDecision | None:
    if case.queue.visible or case.capacity < case.desired:
        return None
    unconfirmed = case.observation.queue != case.queue and case.observation.queue
    seen = f" ({unconfirmed.visible:,} seen at first, not confirmed)" if unconfirmed else out_of_sight(case.queue)
    runs = f"{instances(case.runs)} {'runs' if case.runs == 1 else 'run'}"
    return StartDecision(Decision.NOTHING_TO_DO, f"no work waits{seen}, {runs}")


def _limit_is_zero(case: _Case) -> StartDecision | None:
    if case.policy.max_instances:
        return None
    return StartDecision(Decision.WAITING, f"not starting: {jobs(case.queue)}, but max_instances is 0")


def _enough_at_work(case: _Case) -> StartDecision | None:
    return StartDecision(Decision.ENOUGH, f"enough: {case.shape}") if case.capacity >= case.desired else None


def _quiet(case: _Case) -> StartDecision | None:
    hours = case.policy.quiet_hours
    if hours is None or not hours.include(case.now):
        return None
    return StartDecision(Decision.QUIET, f"quiet: nothing starts before {hours.end:%H:%M} UTC; {case.shape}")


def _over_budget(case: _Case) -> StartDecision | None:
    policy, used = case.policy, case.history.gpu_seconds_today
    overridden = policy.budget_override_until is not None and case.now < policy.budget_override_until
    if not policy.has_budget or overridden:
        return None
    if used is None:
        return StartDecision(Decision.OVER_BUDGET, f"not starting: what today has cost could not be read; {case.shape}")
    if policy.daily_gpu_seconds is not None and used >= policy.daily_gpu_seconds:
        spent = f"{used / 3600:.1f} of {policy.daily_gpu_seconds / 3600:g} GPU hours"
    elif policy.daily_cost_usd is not None and policy.cost_usd(used) >= policy.daily_cost_usd:
        spent = f"{policy.cost_usd(used):.2f} of {policy.daily_cost_usd:g} USD"
    else:
        return None
    return StartDecision(Decision.OVER_BUDGET, f"over budget: {spent} of today are used; {case.shape}")


def _too_little_yet(case: _Case) -> StartDecision | None:
    """A first start for waiting work waits until there is enough for it, or some has waited long enough.

    For how long is unknown without the ledger, and then nothing waits: the rule saves money, and no work may wait
    without end because a table is away.
    """
    age, policy = case.history.oldest_waits, case.policy
    if case.capacity or wanted_idle(policy, case.now) or age is None:
        return None
    if case.queue.visible >= policy.start_min_jobs or age >= policy.start_max_wait:
        return None
    left = human_duration((policy.start_max_wait - age).total_seconds())
    return StartDecision(
        Decision.ACCUMULATING, f"gathering: fewer than {policy.start_min_jobs:,}, {left} left; {case.shape}"
    )


_RULES: tuple[Callable[[_Case], StartDecision | None], ...] = (
    _nothing_waits,
    _limit_is_zero,
    _enough_at_work,
    _quiet,
    _over_budget,
    _too_little_yet,
)


# --- the start


def _choose(case: _Case) -> StartDecision:
    blocked = {zone for zone, until in case.history.blocked_zones.items() if case.now < until}
    startable = [member for member in case.fleet if member.startable]
    candidates = tuple(m.id for m in startable if m.instance.availability_zone not in blocked)
    # The limit is a promise about money, so whatever runs counts against it, useful or not.
    room = case.policy.max_instances - case.runs
    count = min(case.desired - case.capacity, room, len(candidates))
    if count > 0:
        start = StartInstance(candidates, count, case.shape)
        return _doubt(case, count) or StartDecision(Decision.STARTING, f"starting {count}: {case.shape}", start)
    if room > 0 and startable:
        return StartDecision(Decision.NO_CAPACITY, f"waiting: {_no_capacity(case)}, will retry; {case.shape}")
    return StartDecision(Decision.WAITING, f"waiting: {_obstacle(case, room)}; {case.shape}")


def _doubt(case: _Case, count: int) -> StartDecision | None:
    """Counts alone start one instance an hour; more needs a worker that has had work since, or a message that was seen.

    Asked last, when the start is possible: each look costs a message one of its receives, and what it sees is believed
    until the next start. Queues that could not be asked are no reason to let work wait.
    """
    seen = case.observation.sighting
    why = _why_counts_are_not_believed(case, count)
    if why is None or seen in {ProbeResult.MESSAGE, ProbeResult.REFUSED}:
        return None
    look = "so a tick would look for a message" if seen is None else "and a look found no message"
    return StartDecision(Decision.UNCONFIRMED, f"doubting: {why}, {look}; {case.shape}")


def _why_counts_are_not_believed(case: _Case, count: int) -> str | None:
    """`None` where they are, or where the start does not rest on them."""
    past, start = case.history, case.history.last_start or datetime.min.replace(tzinfo=UTC)
    if case.capacity < wanted_idle(case.policy, case.now) or (past.last_sighting and past.last_sighting >= start):
        return None
    work = past.last_work if past.last_work and past.last_work >= start else None
    if count > 1 and not (work and case.now - work <= _AT_PRESENT):
        return f"counts alone ask for {count} instances"
    lately = case.now - start < _COUNTS_START_EVERY
    return "the last run has found no work" if lately and not work else None


def _no_capacity(case: _Case) -> str:
    zones = sorted((until, zone) for zone, until in case.history.blocked_zones.items() if case.now < until)
    return ", ".join(f"no capacity in {zone} until {until:%H:%M}" for until, zone in zones)


def _obstacle(case: _Case, room: int) -> str:
    """Why no instance can be started although one is wanted."""
    if room <= 0:
        useless = [member for member in case.fleet if member.runs and not member.standing.is_capacity]
        return f"{names(useless)} and max_instances is {case.policy.max_instances}, will retry"
    leaving = [member for member in case.fleet if member.standing.is_leaving]
    if leaving:
        return f"{names(leaving)}, will retry"
    held = sum(member.standing is InstanceStatus.STOPPED and member.instance.hold for member in case.fleet)
    return f"the pool is exhausted: none of its {instances(len(case.fleet))} can be started, {held} on hold"
