"""The AWS clients that only operators' commands use; the fleet's own are in `shared.aws.clients`."""

from typing import TYPE_CHECKING

import boto3

from shared.aws.timeouts import OPERATOR

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient


def events_client() -> "EventBridgeClient":
    """EventBridge: the schedules."""
    return boto3.client("events", config=OPERATOR.config())
