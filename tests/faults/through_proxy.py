"""boto3 clients that talk to the cloud as an actor, through the fault proxy, and a look past it."""

from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from tests.faults.harness.proxy import FaultProxy

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

    from tests.conftest import Cloud

WORKER = "worker-1"
NOWHERE = "http://127.0.0.1:9"


def config(attempts: int = 1, read_timeout: float = 5) -> Config:
    return Config(read_timeout=read_timeout, retries={"mode": "standard", "total_max_attempts": attempts})


def s3_of(proxy: FaultProxy, attempts: int = 1, read_timeout: float = 5, actor: str = WORKER) -> "S3Client":
    return boto3.client("s3", endpoint_url=proxy.endpoint(actor), config=config(attempts, read_timeout))


def sqs_of(proxy: FaultProxy) -> "SQSClient":
    return boto3.client("sqs", endpoint_url=proxy.endpoint(WORKER), config=config())


def ec2_of(proxy: FaultProxy) -> "EC2Client":
    return boto3.client("ec2", endpoint_url=proxy.endpoint(WORKER), config=config())


def dynamodb_of(proxy: FaultProxy) -> "DynamoDBClient":
    return boto3.client("dynamodb", endpoint_url=proxy.endpoint(WORKER), config=config())


def stored(cloud: "Cloud", key: str) -> bytes:
    return cloud.s3.get_object(Bucket=cloud.settings.bucket, Key=key)["Body"].read()


def keys(cloud: "Cloud") -> list[str]:
    found = cloud.s3.list_objects_v2(Bucket=cloud.settings.bucket)
    return [each["Key"] for each in found.get("Contents", [])]
