"""Reads the fleet's instances and their workers' heartbeats: the one reader for autoscaler, status and doctor.

A part that cannot be read is the error in its place, so that each caller chooses what to do without it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from shared.errors import AWS_ERRORS, LedgerError
from shared.formats.heartbeat import Heartbeat, Heartbeats
from shared.state.instances import FLEET_TAG, HOLD_TAG, REBOOTED_TAG, SUSPECT_TAG, owned_since, tags_of, time_of
from shared.state.ledger import Ledger

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

InstanceState = Literal["pending", "running", "stopping", "stopped"]

_STATES: Mapping[str, InstanceState] = {
    "pending": "pending",
    "running": "running",
    "stopping": "stopping",
    "stopped": "stopped",
}
_TRANSITION_TIME = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)")
_PAGE_SIZE = 100  # EC2 takes 5 to 1000; short pages keep each response quick


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance of the fleet.

    Attributes:
        launch_time: when its current or last run began, as EC2 says.
        owned_since: when the autoscaler began that run; `None` when someone else did (rule: `shared.state.instances`).
        hold: whether a person protects it from being started, stopped or rebooted.
        transition_reason: EC2's text for its last change of state, such as `User initiated (2026-03-01 12:00:05 GMT)`.
        stopped_at: when its last run ended, taken from that text; `None` where the text has no time.
        suspect_since: when a tick last found it silent or stuck.
        rebooted_at: when the autoscaler last rebooted it.
    """

    id: str
    state: InstanceState
    launch_time: datetime
    owned_since: datetime | None = None
    hold: bool = False
    availability_zone: str = ""
    transition_reason: str = ""
    stopped_at: datetime | None = None
    suspect_since: datetime | None = None
    rebooted_at: datetime | None = None

    @property
    def owned(self) -> bool:
        return self.owned_since is not None

    @property
    def run_start(self) -> datetime:
        """When this run began."""
        return self.owned_since or self.launch_time

    @property
    def rebooted(self) -> bool:
        """Whether the autoscaler has rebooted it in this run."""
        return self.rebooted_at is not None and self.rebooted_at >= self.run_start

    @property
    def boot_start(self) -> datetime:
        """When its host last began to boot: with this run, or at the reboot in it."""
        return self.rebooted_at if self.rebooted and self.rebooted_at else self.run_start

    def heartbeat_in(self, heartbeats: Mapping[str, Heartbeat]) -> Heartbeat | None:
        """Its last heartbeat since it booted: "draining" from the run before says nothing about this one."""
        heartbeat = heartbeats.get(self.id)
        return heartbeat if heartbeat and heartbeat.beat_at >= self.boot_start else None


@dataclass(frozen=True, slots=True)
class FleetView:
    """The instances with the fleet's tag that are not terminated, and their heartbeats; each, or why it is unknown.

    Attributes:
        heartbeats: those of all instances, since a stopped one's last shows how its last run ended.
    """

    instances: tuple[Instance, ...] | Exception
    heartbeats: Heartbeats | Exception


def read_fleet(ec2: "EC2Client", ledger: Ledger, fleet_name: str) -> FleetView:
    """Read the instances, then their heartbeats; never raises for what AWS refuses."""
    try:
        instances = tuple(map(parse_instance, describe_fleet(ec2, fleet_name)))
    except AWS_ERRORS as error:
        return FleetView(error, error)
    try:
        return FleetView(instances, ledger.heartbeats(instance.id for instance in instances))
    except LedgerError as error:
        return FleetView(instances, error)


def describe_fleet(ec2: "EC2Client", fleet_name: str) -> "Iterator[InstanceTypeDef]":
    """EC2's descriptions of the instances; raises what boto3 raises."""
    pages = ec2.get_paginator("describe_instances").paginate(
        Filters=[
            {"Name": f"tag:{FLEET_TAG}", "Values": [fleet_name]},
            {"Name": "instance-state-name", "Values": list(_STATES)},
        ],
        PaginationConfig={"PageSize": _PAGE_SIZE},
    )
    for page in pages:
        for reservation in page["Reservations"]:
            yield from reservation["Instances"]


def parse_instance(described: "InstanceTypeDef") -> Instance:
    """The instance that EC2 describes, with its tags parsed."""
    tags = tags_of(described.get("Tags", []))
    state, reason = _STATES[described["State"]["Name"]], described.get("StateTransitionReason", "")
    return Instance(
        id=described["InstanceId"],
        state=state,
        launch_time=described["LaunchTime"],
        owned_since=owned_since(tags, described["LaunchTime"]),
        hold=HOLD_TAG in tags,
        availability_zone=described["Placement"].get("AvailabilityZone", ""),
        transition_reason=reason,
        stopped_at=_transition_time(reason) if state in {"stopping", "stopped"} else None,
        suspect_since=time_of(tags, SUSPECT_TAG),
        rebooted_at=time_of(tags, REBOOTED_TAG),
    )


def _transition_time(reason: str) -> datetime | None:
    """The time in a text such as `User initiated (2026-03-01 12:00:05 GMT)`; not all of EC2's texts have one."""
    found = _TRANSITION_TIME.search(reason)
    return datetime.fromisoformat(f"{found[1]}+00:00") if found else None
