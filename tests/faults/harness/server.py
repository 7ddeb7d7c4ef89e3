"""The cloud of one fault: moto's server in a process of its own, and the fleet's resources in it.

The resources have the attributes that deploy/template.yaml gives them, and are made by plain calls: a fault begins in a
moment, where the template takes seconds. What is in the template is tested elsewhere.
"""

import json
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from deploy.local.cloud import EmbeddedCloud, embedded_cloud
from shared.settings import Settings
from shared.state.instances import FLEET_TAG

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType

_BUCKET: Final = "recordings"
_TABLE: Final = "scribefleet-ledger"
_MAX_RECEIVES: Final = 10  # the template's maxReceiveCount
_IMAGE: Final = "ami-12c6146b"

# Short, so that a fault is over in seconds; every one can be given otherwise.
_DEFAULTS: Final[Mapping[str, Any]] = {
    "log_format": "json",
    "model": "scripted",
    "device": "cpu",
    "visibility_timeout_seconds": 4,
    "long_poll_seconds": 1,
    "heartbeat_seconds": 1,
    "retry_backoff_seconds": 0.2,
    "drain_seconds": 2,
    "max_empty_polls": 2,
    "lock_poll_seconds": 0.1,
    "scan_min_age_seconds": 0,
    # A second look comes three seconds after the first. Faults about counts that lie ask for more than one.
    "start_confirm_reads": 1,
    "target_drain_seconds": 1,
}


@dataclass(frozen=True, slots=True)
class Clients:
    """Bare clients of the cloud, past the proxy: for checks, which no fault may strike."""

    s3: "S3Client"
    sqs: "SQSClient"
    dynamodb: "DynamoDBClient"
    ec2: "EC2Client"
    sns: "SNSClient"

    @classmethod
    def of(cls, cloud: EmbeddedCloud) -> "Clients":
        return cls(cloud.s3(), cloud.sqs(), cloud.dynamodb(), cloud.ec2(), cloud.sns())


class CloudServer:
    """A running moto. Make it with `cloud_server`; several fleets can use it, one after the other."""

    def __init__(self, cloud: EmbeddedCloud) -> None:
        self.cloud = cloud
        self.clients = Clients.of(cloud)

    @property
    def endpoint(self) -> str:
        return self.cloud.endpoint

    def at(self, endpoint: str) -> EmbeddedCloud:
        """The same cloud as seen through another address, such as a port of the proxy."""
        return EmbeddedCloud(endpoint, self.cloud.workspace)

    def reset(self) -> None:
        """Forget everything: the next fleet finds an empty cloud."""
        request = urllib.request.Request(f"{self.endpoint}/moto-api/reset", method="POST")
        with urllib.request.urlopen(request, timeout=20) as answer:
            answer.read()


@contextmanager
def cloud_server(workspace: Path) -> Iterator[CloudServer]:
    """Run moto for as long as the block lasts; its objects and its log are in `workspace`, which is made."""
    workspace.mkdir(parents=True, exist_ok=True)
    with embedded_cloud(workspace, workspace) as cloud:
        yield CloudServer(cloud)


def make_resources(clients: Clients, **changes: Any) -> Settings:
    """Make bucket, queues, table and topic; returns the settings that name them.

    Args:
        changes: fields of `Settings` that are to differ from the short ones that faults use.
    """
    wanted = {**_DEFAULTS, **changes}
    clients.s3.create_bucket(Bucket=_BUCKET)
    _make_table(clients.dynamodb)
    dead_letters = clients.sqs.create_queue(QueueName="scribefleet-dead-letter")["QueueUrl"]
    attributes = _queue_attributes(clients.sqs, dead_letters, int(wanted["visibility_timeout_seconds"]))
    return Settings(
        bucket=_BUCKET,
        jobs_queue_url=clients.sqs.create_queue(QueueName="scribefleet-jobs", Attributes=attributes)["QueueUrl"],
        priority_queue_url=clients.sqs.create_queue(QueueName="scribefleet-jobs-priority", Attributes=attributes)[
            "QueueUrl"
        ],
        dead_letter_queue_url=dead_letters,
        table_name=_TABLE,
        notify_topic_arn=clients.sns.create_topic(Name="scribefleet-notify")["TopicArn"],
        **wanted,
    )


def make_pool(ec2: "EC2Client", fleet_name: str, count: int) -> list[str]:
    """Make stopped instances with the fleet's tag; returns their ids."""
    # The emulator's first look at EC2 takes long, on a busy machine longer than boto3 waits. Were the first call that
    # which makes instances, boto3 would ask for them twice, and nobody would know those of the first time.
    ec2.describe_instances()
    made = ec2.run_instances(
        ImageId=_IMAGE,
        MinCount=count,
        MaxCount=count,
        InstanceType="g4dn.xlarge",
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": FLEET_TAG, "Value": fleet_name}]}],
    )
    ids = [instance["InstanceId"] for instance in made["Instances"]]
    ec2.stop_instances(InstanceIds=ids)  # a first boot ends powered off
    return ids


def _make_table(dynamodb: "DynamoDBClient") -> None:
    dynamodb.create_table(
        TableName=_TABLE,
        KeySchema=[
            {"AttributeName": "sessionPath", "KeyType": "HASH"},
            {"AttributeName": "chunk", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": "sessionPath", "AttributeType": "S"},
            {"AttributeName": "chunk", "AttributeType": "S"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )


def _queue_attributes(
    sqs: "SQSClient", dead_letters: str, visibility_timeout_seconds: int
) -> "dict[QueueAttributeNameType, str]":
    arn = sqs.get_queue_attributes(QueueUrl=dead_letters, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return {
        "VisibilityTimeout": str(visibility_timeout_seconds),
        "ReceiveMessageWaitTimeSeconds": "20",
        "RedrivePolicy": json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": _MAX_RECEIVES}),
    }
