"""Makes the clients of services that only people's commands call; those that the fleet calls are in `shared.aws`."""

from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient

# A person waits for the answer: give up soon and say so.
_CONFIG = Config(connect_timeout=5, read_timeout=15, retries={"mode": "standard", "total_max_attempts": 2})


def events_client() -> "EventBridgeClient":
    """EventBridge: the schedules."""
    return boto3.client("events", config=_CONFIG)
