"""What one tick saw, decided and did, and the JSON of it that the log, the Lambda and the command line share.

The names in `document` are an interface: dashboards and scripts read them.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from autoscaler.model import (
    Action,
    ActionOutcome,
    Decision,
    History,
    Instance,
    MarkSuspect,
    Observation,
    Plan,
    Policy,
    RebootInstance,
    StartInstance,
)
from autoscaler.planning.fleet import backlog_seconds, rtfx
from autoscaler.planning.status import InstanceStatus, standing
from shared.aws.sqs import QueueDepth
from shared.clock import iso
from shared.formats.heartbeat import Heartbeat


@dataclass(frozen=True, slots=True)
class TickResult:
    """One tick.

    Attributes:
        now: the moment for which it was decided.
        plan: what was decided.
        reason: why that was done in the end: the plan's reason, or why its actions were given up.
        decision: the same in one word.
    """

    now: datetime
    policy: Policy
    observation: Observation
    history: History
    plan: Plan
    reason: str
    decision: Decision
    outcome: ActionOutcome

    @property
    def backlog_seconds(self) -> float | None:
        """Seconds that one worker needs for all jobs on the queues; `None` where they could not be read."""
        seen = self.observation
        if seen.queue is None:
            return None
        return backlog_seconds(seen.queue, self.policy, rtfx(seen, self.policy, self.now))

    @property
    def gpu_hours_today(self) -> float | None:
        """Hours that owned instances have run in this day (UTC); `None` where the ticks' record could not be read."""
        used = self.history.gpu_seconds_today
        return None if used is None else used / 3600

    @property
    def cost_today_usd(self) -> float | None:
        """What they cost, at the set price."""
        used = self.history.gpu_seconds_today
        return None if used is None else self.policy.cost_usd(used)

    def standing_of(self, instance: Instance) -> InstanceStatus:
        return standing(instance, self.observation, self.history, self.policy, self.now)

    def document(self) -> dict[str, Any]:
        """The tick as JSON-able values; `null` where a part could not be read."""
        seen, past = self.observation, self.history
        return {
            "observedAt": iso(self.now),
            "queue": None if seen.queue is None else _queue(seen.queue),
            "confirmations": [_queue(depth) for depth in seen.confirmations],
            "sighting": None if seen.sighting is None else str(seen.sighting),
            "backlogSeconds": _rounded(self.backlog_seconds, 1),
            "oldestWaitsSeconds": None if past.oldest_waits is None else round(past.oldest_waits.total_seconds(), 1),
            "lock": {"held": seen.lock.held, "description": seen.lock.describe()},
            "heartbeatsKnown": seen.heartbeats is not None,
            "instances": None if seen.instances is None else [self._instance(instance) for instance in seen.instances],
            "blockedZones": {zone: iso(until) for zone, until in past.blocked_zones.items()},
            "gpuHoursToday": _rounded(self.gpu_hours_today, 3),
            "costTodayUSD": _rounded(self.cost_today_usd, 4),
            "problems": list(seen.problems),
            "decision": str(self.decision),
            "actions": [_action(action) for action in self.plan.actions],
            "reason": self.reason,
            "alarms": list(self.plan.alarms),
            "outcome": _outcome(self.outcome),
        }

    def _instance(self, instance: Instance) -> dict[str, Any]:
        heartbeat = self.observation.heartbeat_of(instance)
        return {
            "id": instance.id,
            "state": instance.state,
            "standing": str(self.standing_of(instance)),
            "owned": instance.owned,
            "hold": instance.hold,
            "availabilityZone": instance.availability_zone,
            "runStart": iso(instance.run_start),
            "transitionReason": instance.transition_reason,
            "suspectSince": None if instance.suspect_since is None else iso(instance.suspect_since),
            "heartbeat": None if heartbeat is None else _heartbeat(heartbeat),
        }


def _queue(depth: QueueDepth) -> dict[str, int]:
    return {"visible": depth.visible, "inFlight": depth.in_flight, "delayed": depth.delayed}


def _heartbeat(heartbeat: Heartbeat) -> dict[str, Any]:
    return heartbeat.model_dump(by_alias=True, mode="json", exclude={"instance_id"})


def _action(action: Action) -> dict[str, Any]:
    if isinstance(action, StartInstance):
        return {
            "action": "start",
            "candidates": list(action.candidates),
            "count": action.count,
            "reason": action.reason,
        }
    names = {MarkSuspect: "suspect", RebootInstance: "reboot"}
    return {"action": names.get(type(action), "stop"), "instanceId": action.instance_id, "reason": action.reason}


def _outcome(outcome: ActionOutcome) -> dict[str, Any]:
    return {
        "started": list(outcome.started),
        "stopped": list(outcome.stopped),
        "blocked": dict(outcome.blocked),
        "failed": dict(outcome.failed),
        "marked": list(outcome.marked),
        "rebooted": list(outcome.rebooted),
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
