"""Makes the clients of services that only people's commands call; those that the fleet calls are in `shared.aws`."""

from typing import TYPE_CHECKING

import boto3

from shared.patience import OPERATOR

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient


def events_client() -> "EventBridgeClient":
    """EventBridge: the schedules."""
    return boto3.client("events", config=OPERATOR.config())
