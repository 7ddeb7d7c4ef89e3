"""Makes boto3 clients, with the fleet's time-outs and retries chosen once.

boto3's own retries stay few: a job's calls are retried by tenacity inside the lease, and stacking both would
multiply the tries and outlast the lease.
"""

from datetime import datetime
from typing import TYPE_CHECKING

import boto3
import botocore.session
from botocore.config import Config
from botocore.utils import parse_timestamp

if TYPE_CHECKING:
    from mypy_boto3_autoscaling import AutoScalingClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

# Longer than the longest long poll (20 s): a client that gives up first would lose the messages of that answer
# until their visibility timeout ends.
_SQS = Config(
    connect_timeout=5,
    read_timeout=35,
    max_pool_connections=32,
    retries={"mode": "standard", "total_max_attempts": 2},
)
_S3 = Config(
    # For presigned URLs, which boto3 signs in some regions by the old way, that no newer bucket takes.
    signature_version="s3v4",
    connect_timeout=5,
    read_timeout=30,
    max_pool_connections=32,
    retries={"mode": "standard", "total_max_attempts": 3},
)
_EC2 = Config(connect_timeout=5, read_timeout=15, retries={"mode": "standard", "total_max_attempts": 3})
# The ledger informs and never decides: it must not hold up work for long when it is away.
_DYNAMODB = Config(
    connect_timeout=2,
    read_timeout=3,
    max_pool_connections=32,
    retries={"mode": "standard", "total_max_attempts": 2},
)

# A notification is worth a few seconds of a run's end, and no more.
_SNS = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2})


def s3_client() -> "S3Client":
    """S3: recordings, transcripts, lock, reports."""
    core = botocore.session.get_session()
    # botocore reads timestamps with dateutil, which takes two thirds of the time that a listing takes.
    core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_timestamp)
    return boto3.Session(botocore_session=core).client("s3", config=_S3)


def sqs_client() -> "SQSClient":
    """SQS: the job queues and the dead-letter queue."""
    return boto3.client("sqs", config=_SQS)


def ec2_client() -> "EC2Client":
    """EC2: the instances of the pool."""
    return boto3.client("ec2", config=_EC2)


def autoscaling_client() -> "AutoScalingClient":
    """EC2 Auto Scaling: the group that instances come from, where the fleet has one."""
    return boto3.client("autoscaling", config=_EC2)


def dynamodb_client() -> "DynamoDBClient":
    """DynamoDB: the ledger."""
    return boto3.client("dynamodb", config=_DYNAMODB)


def sns_client() -> "SNSClient":
    """SNS: who wants to be told."""
    return boto3.client("sns", config=_SNS)


def _timestamp(value: str) -> datetime:
    """A timestamp of S3: ISO 8601 in listings, by the short way; that of an HTTP header by botocore's."""
    return datetime.fromisoformat(value) if value.endswith("Z") else parse_timestamp(value)
