"""Decides which instances a fleet can do without after its peak.

Pure. While jobs come in, each of many workers gets some of them now and then, so that none is idle for long although
few would do. An instance is beyond what is wanted where more are at work than any tick of a whole span has wanted; the
next tick is told of the span with the plan. Only idle workers are stopped: a busy one costs nothing that another one
would not cost for the same jobs, and what it has in hand would be begun again.
"""

from collections.abc import Collection
from datetime import datetime

from autoscaler.model import History, Observation, Policy, StopInstance, Surplus
from autoscaler.planning.fleet import Fleet, rtfx
from autoscaler.planning.starting import wanted_idle, wanted_instances
from autoscaler.planning.status import InstanceStatus
from shared.clock import human_duration


def surplus_of(
    fleet: Fleet, observation: Observation, history: History, policy: Policy, now: datetime
) -> Surplus | None:
    """The span up to now in which more instances have been at work than wanted; `None` where no more are.

    A span that is over without anything left to stop begins anew: what it has wanted is long past.
    """
    if observation.queue is None or observation.heartbeats is None:
        return None
    # The most that any look shows, and never the last one: that is the idle limit's to end.
    queue = max((observation.queue, *observation.confirmations), key=lambda depth: depth.total)
    wanted = wanted_instances(queue, policy, rtfx(observation, policy, now))
    wanted = max(1, wanted, wanted_idle(policy, now))
    capacity, last = _capacity(fleet), history.surplus
    if capacity <= wanted:
        return None
    if last is None or (capacity <= last.most_wanted and _is_over(last, policy, now)):
        return Surplus(since=now, most_wanted=wanted)
    return last.model_copy(update={"most_wanted": max(last.most_wanted, wanted)})


def surplus_stops(
    fleet: Fleet, surplus: Surplus | None, ending: Collection[str], policy: Policy, now: datetime
) -> tuple[StopInstance, ...]:
    """The stops that bring the fleet down to the most that was wanted in a span that is over.

    Args:
        ending: instances that are being stopped already.

    Returns:
        Those idle longest come first.
    """
    if surplus is None or not _is_over(surplus, policy, now):
        return ()
    beyond = _capacity(fleet) - surplus.most_wanted - len(ending)
    idle = sorted(
        (member.heartbeat.idle_since, member.id)
        for member in fleet
        if member.may_be_stopped
        and member.standing is InstanceStatus.AT_WORK
        and member.heartbeat
        and member.heartbeat.state == "idle"
        and member.heartbeat.idle_since
        and member.id not in ending
    )
    wanted = "1 instance was" if surplus.most_wanted == 1 else f"{surplus.most_wanted} instances were"
    reason = f"idle, and no more than {wanted} wanted for {human_duration((now - surplus.since).total_seconds())}"
    return tuple(StopInstance(name, reason) for _, name in idle[: max(0, beyond)])


def _is_over(surplus: Surplus, policy: Policy, now: datetime) -> bool:
    return now - surplus.since >= policy.surplus_limit


def _capacity(fleet: Fleet) -> int:
    return sum(member.standing.is_capacity for member in fleet)
