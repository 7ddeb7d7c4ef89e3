"""Says what one instance is worth to the queue right now.

Pure: it takes what was seen and returns a word. What is done about it is decided in `autoscaler.planning.plan`.
"""

from datetime import datetime, timedelta
from enum import StrEnum

from autoscaler.model import History, Instance, Observation, Policy, is_from_the_future
from shared.formats.heartbeat import Heartbeat


class InstanceStatus(StrEnum):
    """What one instance is worth to the queue. Its text is what people read."""

    STOPPED = "stopped"
    STOPPING = "stopping"
    BOOTING = "booting"
    AT_WORK = "at work"
    UNSEEN = "unseen"  # it runs, but its heartbeat could not be read or understood
    DRAINING = "draining"
    SILENT = "silent"  # no heartbeat: since it booted, or any more
    STUCK = "stuck"  # it speaks, but finishes none of the work it has, or takes none of what waits

    @property
    def is_capacity(self) -> bool:
        """Whether the queue is, or soon will be, worked on by it.

        An unseen one counts: starting a second GPU because the ledger is away would be waste, and the work that the
        first one is doing does not need the ledger.
        """
        return self in {InstanceStatus.BOOTING, InstanceStatus.AT_WORK, InstanceStatus.UNSEEN}

    @property
    def is_suspect(self) -> bool:
        """Whether its worker seems to be dead or hung."""
        return self in {InstanceStatus.SILENT, InstanceStatus.STUCK}

    @property
    def is_leaving(self) -> bool:
        """Whether its run is ending by itself, so that it can soon be started again."""
        return self in {InstanceStatus.STOPPING, InstanceStatus.DRAINING}


# DescribeInstances may lag behind StartInstances by seconds.
_START_SHOWS = timedelta(seconds=30)


def standing(
    instance: Instance, observation: Observation, history: History, policy: Policy, now: datetime
) -> InstanceStatus:
    """What `instance` is worth at `now`."""
    if instance.state == "stopped":
        return InstanceStatus.BOOTING if _start_does_not_show_yet(instance, now) else InstanceStatus.STOPPED
    if instance.state == "stopping":
        return InstanceStatus.STOPPING
    unseen = observation.heartbeats is None or instance.id in observation.invalid_heartbeats
    if instance.state == "running" and unseen:
        return InstanceStatus.UNSEEN
    heartbeat = observation.heartbeat_of(instance)
    if instance.state == "running" and heartbeat:
        return _by_heartbeat(heartbeat, history.oldest_waits, policy, now)
    booting = now - instance.boot_start <= policy.boot_limit
    return InstanceStatus.BOOTING if booting else InstanceStatus.SILENT


def _start_does_not_show_yet(instance: Instance, now: datetime) -> bool:
    """Whether a tick has started it a moment ago and EC2 still shows it as it was before.

    A second start would find it started already, take it for a person's and give up the mark by which it is ours.
    EC2's times are whole seconds; a run that ended after our mark was a real one.
    """
    ours = instance.owned_since
    if ours is None or now - ours > _START_SHOWS or instance.launch_time >= ours.replace(microsecond=0):
        return False
    return instance.stopped_at is None or instance.stopped_at < ours.replace(microsecond=0)


def _by_heartbeat(heartbeat: Heartbeat, waited: timedelta | None, policy: Policy, now: datetime) -> InstanceStatus:
    if now - heartbeat.beat_at > policy.silent_limit or is_from_the_future(heartbeat, now):
        return InstanceStatus.SILENT
    if heartbeat.state == "draining":
        return InstanceStatus.DRAINING
    if heartbeat.state == "busy":
        since = heartbeat.progress_at
    else:
        since = heartbeat.idle_since if waited and waited > policy.stuck_limit else None
    return InstanceStatus.STUCK if since and now - since > policy.stuck_limit else InstanceStatus.AT_WORK
