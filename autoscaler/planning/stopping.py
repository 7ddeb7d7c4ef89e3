"""Decides which instances end their run, and what is done about a worker that seems dead.

Pure. Only what the autoscaler owns and nobody holds is touched, and only where the heartbeats could be read: a worker
that cannot be seen is not taken for a dead one.

A worker that falls silent, is busy without ever finishing, or takes no job while some wait, is marked at first. A later
tick that finds it so again reboots the host, once in a run; where that does not help the instance is stopped, and a
person is told. The marks are tags on the instance: they are outdated by a new run, by the next heartbeat and by the
reboot, so nobody removes them.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from autoscaler.model import Action, MarkSuspect, Observation, Policy, RebootInstance, StopInstance, is_from_the_future
from autoscaler.planning.fleet import Fleet, Member
from autoscaler.planning.status import InstanceStatus
from shared.aws.sqs import QueueDepth
from shared.clock import human_duration

# The same event may invoke the autoscaler twice within seconds, and two such looks are one.
_LOOK_AGAIN = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Endings:
    """What is done about the running instances, and what a person should look at."""

    actions: tuple[Action, ...] = ()
    alarms: tuple[str, ...] = ()

    def __add__(self, other: "Endings") -> "Endings":
        return Endings(self.actions + other.actions, self.alarms + other.alarms)


def endings(fleet: Fleet, observation: Observation, policy: Policy, keep: int, now: datetime) -> Endings:
    """What to do about instances that are of no use any more, or should not run as long as they have.

    Args:
        keep: so many instances stay although they are idle.
    """
    kept = [member.id for member in fleet if member.standing.is_capacity][:keep]
    result = Endings()
    for member in fleet:
        if member.may_be_stopped:
            result += _ending(member, observation, policy, member.id in kept, now)
    return result


def _ending(member: Member, observation: Observation, policy: Policy, kept: bool, now: datetime) -> Endings:
    if observation.heartbeats is None or member.standing is InstanceStatus.UNSEEN:
        return Endings(alarms=_overlong(member, policy, now))
    if member.standing.is_suspect:
        return _suspect(member, now)
    if _busy(member) or observation.queue is None:
        return Endings(alarms=_overlong(member, policy, now))
    if alarms := _overlong(member, policy, now):
        return Endings((StopInstance(member.id, f"up for {_age(member, now)}, not busy now"),), alarms)
    idle = None if kept else _idle(member, observation.queue, policy, now)
    return (
        Endings((StopInstance(member.id, f"idle for {human_duration(idle.total_seconds())}"),)) if idle else Endings()
    )


def _busy(member: Member) -> bool:
    """Whether it has work in hand, or is about to say for the first time whether it has."""
    return member.heartbeat is None or member.heartbeat.state in {"busy", "locked"}


def _idle(member: Member, queue: QueueDepth, policy: Policy, now: datetime) -> timedelta | None:
    """For how long it has been idle, where that is too long. While work is on the queues, nobody is."""
    heartbeat = member.heartbeat
    if heartbeat is None or heartbeat.idle_since is None or queue.total:
        return None
    idle = now - heartbeat.idle_since
    return idle if idle > policy.idle_limit else None


def _overlong(member: Member, policy: Policy, now: datetime) -> tuple[str, ...]:
    if now - member.instance.run_start <= policy.max_run:
        return ()
    limit = human_duration(policy.max_run.total_seconds())
    return (f"{member.id} has been up for {_age(member, now)}, the longest run is {limit}",)


def _age(member: Member, now: datetime) -> str:
    return human_duration((now - member.instance.run_start).total_seconds())


# --- dead or hung workers


def _suspect(member: Member, now: datetime) -> Endings:
    """The next step for a worker that is silent or stuck."""
    reason = _why_suspect(member, now)
    mark = _mark(member, now)
    if mark is None:
        return Endings((MarkSuspect(member.id, reason),))
    if now - mark < _LOOK_AGAIN:
        return Endings()
    if not member.instance.rebooted:
        return Endings((RebootInstance(member.id, reason),))
    reason = f"{reason}, and a reboot did not help"
    return Endings((StopInstance(member.id, reason),), (f"{member.id} is given up: {reason}",))


def _mark(member: Member, now: datetime) -> datetime | None:
    """Since when it is a suspect, in this spell of silence."""
    mark, heartbeat = member.instance.suspect_since, member.heartbeat
    begin = member.instance.boot_start
    if member.standing is InstanceStatus.STUCK and heartbeat:
        begin = max(begin, heartbeat.progress_at or heartbeat.idle_since or begin)
    elif heartbeat and not is_from_the_future(heartbeat, now):
        begin = max(begin, heartbeat.beat_at)
    return mark if mark and mark >= begin else None


def _why_suspect(member: Member, now: datetime) -> str:
    heartbeat = member.heartbeat
    if heartbeat is None:
        return f"no heartbeat since its {'reboot' if member.instance.rebooted else 'start'}, for {_since(member, now)}"
    if is_from_the_future(heartbeat, now):
        return f"its clock is {human_duration((heartbeat.beat_at - now).total_seconds())} ahead"
    if member.standing is InstanceStatus.STUCK and heartbeat.progress_at:
        return f"busy, but no job finished for {human_duration((now - heartbeat.progress_at).total_seconds())}"
    if member.standing is InstanceStatus.STUCK and heartbeat.idle_since:
        return f"work waits, but it has had none for {human_duration((now - heartbeat.idle_since).total_seconds())}"
    return f"no heartbeat for {human_duration((now - heartbeat.beat_at).total_seconds())}"


def _since(member: Member, now: datetime) -> str:
    return human_duration((now - member.instance.boot_start).total_seconds())
