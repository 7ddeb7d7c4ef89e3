"""Makes boto3 clients: each with the time-outs and retries that `shared.aws.timeouts` chose for it.

boto3 finds credentials, region and endpoint as in any program; nothing of ours replaces that.
"""

from datetime import datetime
from typing import TYPE_CHECKING

import boto3
import botocore.session
from botocore.utils import parse_timestamp

from shared.aws.timeouts import PATIENCE
from shared.aws.truncated_responses import with_whole_answers

if TYPE_CHECKING:
    from mypy_boto3_autoscaling import AutoScalingClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient


def s3_client() -> "S3Client":
    """S3: recordings, transcripts, lock, reports."""
    core = botocore.session.get_session()
    # botocore reads timestamps with dateutil, which takes two thirds of the time that a listing takes.
    core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_timestamp)
    # For presigned URLs, which boto3 signs in some regions by the old way, that no newer bucket takes.
    config = PATIENCE["s3"].config(signature="s3v4")
    return with_whole_answers(boto3.Session(botocore_session=core).client("s3", config=config))


def sqs_client() -> "SQSClient":
    """SQS: the job queues and the dead-letter queue; for polls of a few seconds at most."""
    return with_whole_answers(boto3.client("sqs", config=PATIENCE["sqs"].config()))


def polling_sqs_client() -> "SQSClient":
    """SQS, for polls of any length."""
    return with_whole_answers(boto3.client("sqs", config=PATIENCE["sqs-poll"].config()))


def ec2_client() -> "EC2Client":
    """EC2: the instances of the pool."""
    return with_whole_answers(boto3.client("ec2", config=PATIENCE["ec2"].config()))


def autoscaling_client() -> "AutoScalingClient":
    """EC2 Auto Scaling: the group that instances come from, where the fleet has one."""
    return with_whole_answers(boto3.client("autoscaling", config=PATIENCE["autoscaling"].config()))


def dynamodb_client() -> "DynamoDBClient":
    """DynamoDB: the ledger."""
    return with_whole_answers(boto3.client("dynamodb", config=PATIENCE["dynamodb"].config()))


def sns_client() -> "SNSClient":
    """SNS: who wants to be told."""
    return with_whole_answers(boto3.client("sns", config=PATIENCE["sns"].config()))


def _timestamp(value: str) -> datetime:
    """A timestamp of S3: ISO 8601 in listings, by the short way; that of an HTTP header by botocore's."""
    return datetime.fromisoformat(value) if value.endswith("Z") else parse_timestamp(value)
