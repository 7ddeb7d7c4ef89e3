"""Looks at the fleet: queues, lock, instances, heartbeats.

It only reads, and decides nothing. A part that cannot be read is `None` in the observation, with one line that says
why: the decision must know what it could not see. Errors that are not AWS's own are bugs and are not caught.
"""

from typing import TYPE_CHECKING

from autoscaler.model import Instance, InstanceState, Observation
from shared.errors import AWS_ERRORS, LedgerError, error_code
from shared.instances import FLEET_TAG, HOLD_TAG, owned_since, tags_of
from shared.ledger import Heartbeat, Ledger
from shared.lock import LockState, SessionLock
from shared.queues import QueueDepth, queue_depth
from shared.settings import Settings

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
_PAGE = 100  # instances a call; EC2 takes 5 to 1000, and short pages keep one answer quick


class Observer:
    """Reads one fleet, as `settings` name it."""

    def __init__(
        self, sqs: "SQSClient", ec2: "EC2Client", lock: SessionLock, ledger: Ledger, settings: Settings
    ) -> None:
        self._sqs = sqs
        self._ec2 = ec2
        self._lock = lock
        self._ledger = ledger
        self._settings = settings

    def observe(self) -> Observation:
        """One look at everything; never raises for what AWS refuses."""
        problems: list[str] = []
        instances = self._instances(problems)
        return Observation(
            queue=self._queue(problems),
            lock=self.lock(),
            instances=instances,
            heartbeats=None if instances is None else self._heartbeats(instances, problems),
            problems=tuple(problems),
        )

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
            return tuple(
                _instance(described)
                for page in pages
                for reservation in page["Reservations"]
                for described in reservation["Instances"]
            )
        except AWS_ERRORS as error:
            problems.append(f"could not read the instances ({_cause(error)})")
            return None

    def _heartbeats(self, instances: tuple[Instance, ...], problems: list[str]) -> dict[str, Heartbeat] | None:
        """The heartbeats of running instances: any other instance's is of a run that is over."""
        try:
            return self._ledger.heartbeats(instance.id for instance in instances if instance.state == "running")
        except LedgerError as error:
            problems.append(f"could not read the heartbeats ({error})")
            return None


def _instance(described: "InstanceTypeDef") -> Instance:
    tags = tags_of(described.get("Tags", []))
    return Instance(
        id=described["InstanceId"],
        state=_STATES[described["State"]["Name"]],
        launch_time=described["LaunchTime"],
        owned_since=owned_since(tags, described["LaunchTime"]),
        hold=HOLD_TAG in tags,
        availability_zone=described["Placement"].get("AvailabilityZone", ""),
    )


def _cause(error: Exception) -> str:
    return error_code(error) or type(error).__name__
