"""The tags on the pool's instances, and the rule that says which of them the autoscaler may stop.

The autoscaler writes and reads these tags; a worker asks the same rule before it stops its own instance. Nothing here
calls AWS.

An instance is owned when the autoscaler began its present run. It writes `scribefleet:started-at` right before it calls
StartInstances, and EC2 renews an instance's LaunchTime at every start. So a LaunchTime well beyond the tag belongs to a
later start, one that a person made, and that run is theirs although the old tag is still there. A tag alone would make
every instance that the autoscaler ever started its own for good.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

FLEET_TAG = "scribefleet:fleet"
STARTED_AT_TAG = "scribefleet:started-at"
HOLD_TAG = "scribefleet:hold"

# The tag is written seconds before the start that it announces; the rest is room for clocks that disagree and for
# calls that are tried again.
START_SLACK = timedelta(minutes=5)


def started_at(tags: Mapping[str, str]) -> datetime | None:
    """When the autoscaler last started the instance; `None` when it never did or the tag holds no aware ISO time."""
    try:
        moment = datetime.fromisoformat(tags.get(STARTED_AT_TAG, ""))
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def is_owned(tags: Mapping[str, str], launch_time: datetime) -> bool:
    """Whether the run that began at `launch_time` (EC2's LaunchTime) was begun by the autoscaler."""
    announced = started_at(tags)
    return announced is not None and launch_time <= announced + START_SLACK
