"""Looks at the fleet: queues, lock, instances, heartbeats.

It only reads, and decides nothing. A part that cannot be read is `None` in the observation, with one line that says
why: the decision must know what it could not see. Errors that are not AWS's own are bugs and are not caught.
"""

import re
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from autoscaler.model import Instance, InstanceState, Observation
from autoscaler.probe import QueueProbe
from autoscaler.providers.contract import CapacityProvider
from shared.aws.sqs import QueueDepth, queue_depth
from shared.errors import AWS_ERRORS, LedgerError, cause_of
from shared.formats.heartbeat import Heartbeats
from shared.settings import Settings
from shared.state.instances import FLEET_TAG, HOLD_TAG, REBOOTED_TAG, SUSPECT_TAG, owned_since, tags_of, time_of
from shared.state.ledger import Ledger
from shared.state.lock import LockState, SessionLock

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import InstanceTypeDef
    from mypy_boto3_sqs import SQSClient

_STATES: dict[str, InstanceState] = {
    "pending": "pending",
    "running": "running",
    "stopping": "stopping",
    "stopped": "stopped",
}
_TRANSITION_TIME = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)")
_PAGE = 100  # instances a call; EC2 takes 5 to 1000, and short pages keep one answer quick


class Observer:
    """Reads one fleet, as `settings` name it.

    Args:
        capacity: knows what the instances that were found are; without it, just that.
        probe: receives a message where a start needs it; without one, as in a dry run, none is received.
    """

    def __init__(
        self,
        sqs: "SQSClient",
        ec2: "EC2Client",
        lock: SessionLock,
        ledger: Ledger,
        settings: Settings,
        capacity: CapacityProvider | None = None,
        probe: QueueProbe | None = None,
    ) -> None:
        self._sqs = sqs
        self._ec2 = ec2
        self._lock = lock
        self._ledger = ledger
        self._settings = settings
        self._capacity = capacity
        self._probe = probe

    def observe(self) -> Observation:
        """One look at everything; never raises for what AWS refuses."""
        problems: list[str] = []
        instances = self._instances(problems)
        heartbeats = None if instances is None else self._heartbeats(instances, problems)
        return Observation(
            queue=self._queue(problems),
            lock=self.lock(),
            instances=instances,
            heartbeats=heartbeats.valid if heartbeats else None,
            invalid_heartbeats=heartbeats.invalid if heartbeats else frozenset(),
            problems=tuple(problems),
        )

    def look_again(self, observation: Observation) -> Observation:
        """The observation with one more look at the queues: their counts may show messages that are not there."""
        problems: list[str] = []
        queue = self._queue(problems)
        if queue is None:
            return replace(observation, queue=None, problems=(*observation.problems, *problems))
        return replace(observation, confirmations=(*observation.confirmations, queue))

    def look_for_message(self, observation: Observation) -> Observation:
        """The observation with what a look for a real message found; unchanged while the lock is held by now."""
        lock = self.lock()
        if lock.held or self._probe is None:
            return replace(observation, lock=lock)
        sighting, problems = self._probe.look()
        return replace(observation, lock=lock, sighting=sighting, problems=(*observation.problems, *problems))

    def lock(self) -> LockState:
        """One look at the lock; free for fleets that share no GPU with live sessions."""
        return self._lock.read() if self._settings.lock_enabled else LockState()

    def _queue(self, problems: list[str]) -> QueueDepth | None:
        depth = QueueDepth()
        for url in (self._settings.jobs_queue_url, self._settings.priority_queue_url):
            try:
                depth += queue_depth(self._sqs, url)
            except AWS_ERRORS as error:
                problems.append(f"could not read the queue {url.rsplit('/', 1)[-1]} ({_cause(error)})")
                return None
        return depth

    def _instances(self, problems: list[str]) -> tuple[Instance, ...] | None:
        pages = self._ec2.get_paginator("describe_instances").paginate(
            Filters=[
                {"Name": f"tag:{FLEET_TAG}", "Values": [self._settings.fleet_name]},
                {"Name": "instance-state-name", "Values": list(_STATES)},
            ],
            PaginationConfig={"PageSize": _PAGE},
        )
        try:
            found = tuple(
                _instance(described)
                for page in pages
                for reservation in page["Reservations"]
                for described in reservation["Instances"]
            )
        except AWS_ERRORS as error:
            problems.append(f"could not read the instances ({_cause(error)})")
            return None
        if not self._capacity:
            return found
        sight = self._capacity.see(found)
        problems.extend(sight.problems)
        return sight.instances

    def _heartbeats(self, instances: tuple[Instance, ...], problems: list[str]) -> Heartbeats | None:
        """All instances' heartbeats: a stopped one's last tells what came of its last run."""
        try:
            found = self._ledger.heartbeats(instance.id for instance in instances)
        except LedgerError as error:
            problems.append(f"could not read the heartbeats ({error})")
            return None
        if found.invalid:
            problems.append(f"could not understand the heartbeats of {', '.join(sorted(found.invalid))}")
        return found


def _instance(described: "InstanceTypeDef") -> Instance:
    tags = tags_of(described.get("Tags", []))
    state, why = _STATES[described["State"]["Name"]], described.get("StateTransitionReason", "")
    return Instance(
        id=described["InstanceId"],
        state=state,
        launch_time=described["LaunchTime"],
        owned_since=owned_since(tags, described["LaunchTime"]),
        hold=HOLD_TAG in tags,
        availability_zone=described["Placement"].get("AvailabilityZone", ""),
        transition_reason=why,
        stopped_at=_time_in(why) if state in {"stopping", "stopped"} else None,
        suspect_since=time_of(tags, SUSPECT_TAG),
        rebooted_at=time_of(tags, REBOOTED_TAG),
    )


def _time_in(transition_reason: str) -> datetime | None:
    """The time in EC2's words, as in `User initiated (2026-03-01 12:00:05 GMT)`; not all of its words have one."""
    found = _TRANSITION_TIME.search(transition_reason)
    return datetime.fromisoformat(f"{found[1]}+00:00") if found else None


def _cause(error: Exception) -> str:
    return cause_of(error)
