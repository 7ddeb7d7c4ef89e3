"""Which instances belong to the fleet, and which of them the autoscaler started.

EC2's tags are the only memory: the autoscaler writes `scribefleet:started-at` right before it starts an instance.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import TagTypeDef

FLEET_TAG = "scribefleet:fleet"
STARTED_AT_TAG = "scribefleet:started-at"
HOLD_TAG = "scribefleet:hold"
SUSPECT_TAG = "scribefleet:suspect-since"
REBOOTED_TAG = "scribefleet:rebooted-at"
GROUP_TAG = "aws:autoscaling:groupName"
"""EC2 Auto Scaling's own tag on the members of a group; its value is the group's name, and nobody else can set it."""

# Between the tag and the launch lies one StartInstances call; EC2 stamps the launch within seconds.
_START_SLACK = timedelta(minutes=5)


def tags_of(tags: "Iterable[TagTypeDef]") -> dict[str, str]:
    """EC2's list of tags as a mapping."""
    return {tag["Key"]: tag["Value"] for tag in tags}


def started_at(tags: Mapping[str, str]) -> datetime | None:
    """When the autoscaler last started the instance; `None` when it never did or the tag is not a time."""
    return time_of(tags, STARTED_AT_TAG)


def time_of(tags: Mapping[str, str], tag: str) -> datetime | None:
    """The time that a tag holds; `None` when it is not there or not a time."""
    try:
        moment = datetime.fromisoformat(tags.get(tag, ""))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def owned_since(tags: Mapping[str, str], launch_time: datetime) -> datetime | None:
    """When the autoscaler started the instance's present run; `None` when someone else did.

    EC2 renews the launch time at every start and keeps tags. So a launch well after the tag was written is a later
    start by a person, whose instance must never be stopped.
    """
    ours = started_at(tags)
    return ours if ours and launch_time <= ours + _START_SLACK else None


def run_start(tags: Mapping[str, str], launch_time: datetime) -> datetime:
    """When the instance's present run began."""
    return owned_since(tags, launch_time) or launch_time
