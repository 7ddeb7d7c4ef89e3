"""What one tick saw, decided and did, and the JSON of it that the log, the Lambda and the command line share.

The names in `document` are an interface: dashboards and scripts read them.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from autoscaler.model import Action, Instance, Observation, Outcome, Plan, Policy, StartInstance
from autoscaler.standing import Standing, standing
from shared.clock import iso
from shared.ledger import Heartbeat
from shared.queues import QueueDepth


@dataclass(frozen=True, slots=True)
class TickResult:
    """One tick.

    Attributes:
        now: the moment for which it was decided.
        plan: what was decided.
        reason: why that was done in the end: the plan's reason, or why its actions were given up.
    """

    now: datetime
    policy: Policy
    observation: Observation
    plan: Plan
    reason: str
    outcome: Outcome

    def standing_of(self, instance: Instance) -> Standing:
        return standing(instance, self.observation, self.policy, self.now)

    def document(self) -> dict[str, Any]:
        """The tick as JSON-able values; `null` where a part could not be read."""
        seen = self.observation
        return {
            "observedAt": iso(self.now),
            "queue": None if seen.queue is None else _queue(seen.queue),
            "lock": {"held": seen.lock.held, "description": seen.lock.describe()},
            "heartbeatsKnown": seen.heartbeats is not None,
            "instances": None if seen.instances is None else [self._instance(instance) for instance in seen.instances],
            "problems": list(seen.problems),
            "actions": [_action(action) for action in self.plan.actions],
            "reason": self.reason,
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
    return {"action": "stop", "instanceId": action.instance_id, "reason": action.reason}


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {
        "started": list(outcome.started),
        "stopped": list(outcome.stopped),
        "blocked": dict(outcome.blocked),
        "failed": dict(outcome.failed),
    }
