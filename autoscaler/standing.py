"""Says what one instance is worth to the queue right now.

Pure: it takes what was seen and returns a word. What is done about it is decided in `autoscaler.plan`.
"""

from datetime import datetime
from enum import StrEnum

from autoscaler.model import Instance, Observation, Policy
from shared.ledger import Heartbeat


class Standing(StrEnum):
    """What one instance is worth to the queue. Its text is what people read."""

    STOPPED = "stopped"
    STOPPING = "stopping"
    BOOTING = "booting"
    OVERDUE = "overdue"  # past the boot limit without a heartbeat, not yet given up
    AT_WORK = "at work"
    UNSEEN = "unseen"  # it runs, but the heartbeats could not be read
    DRAINING = "draining"
    SILENT = "silent"

    @property
    def is_capacity(self) -> bool:
        """Whether the queue is, or soon will be, worked on by it.

        An unseen one counts: starting a second GPU because the ledger is away would be waste, and the work that the
        first one is doing does not need the ledger.
        """
        return self in {Standing.BOOTING, Standing.AT_WORK, Standing.UNSEEN}

    @property
    def is_leaving(self) -> bool:
        """Whether its run is ending by itself, so that it can soon be started again."""
        return self in {Standing.STOPPING, Standing.DRAINING}


def standing(instance: Instance, observation: Observation, policy: Policy, now: datetime) -> Standing:
    """What `instance` is worth at `now`."""
    if instance.state == "stopped":
        return Standing.STOPPED
    if instance.state == "stopping":
        return Standing.STOPPING
    heartbeat = observation.heartbeat_of(instance)
    if instance.state == "running" and observation.heartbeats is None:
        return Standing.UNSEEN
    if instance.state == "running" and heartbeat:
        return _by_heartbeat(heartbeat, policy, now)
    return _before_first_heartbeat(instance, policy, now)


def _by_heartbeat(heartbeat: Heartbeat, policy: Policy, now: datetime) -> Standing:
    if now - heartbeat.beat_at > policy.silent_limit:
        return Standing.SILENT
    return Standing.DRAINING if heartbeat.state == "draining" else Standing.AT_WORK


def _before_first_heartbeat(instance: Instance, policy: Policy, now: datetime) -> Standing:
    age = now - instance.run_start
    if age <= policy.boot_limit:
        return Standing.BOOTING
    return Standing.OVERDUE if age <= policy.boot_limit + policy.silent_limit else Standing.SILENT
