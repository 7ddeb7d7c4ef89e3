"""The embedded cloud: moto's server in a process of its own, with the fleet's stack deployed into it.

Everything in it is made from deploy/template.yaml, the same template as on AWS. Only the cloud is stood in for.
"""

import shutil
import socket
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import WaiterError

from deploy.local.processes import clean_environment, end, start_tethered
from deploy.package import Component, build_lambda
from shared.errors import ScribefleetError
from shared.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_autoscaling import AutoScalingClient
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sts import STSClient

REGION = "us-east-1"
TEMPLATE = Path(__file__).parent.parent / "template.yaml"
_CODE_BUCKET = "embedded-lambda-code"
_STACK = "scribefleet"
_COMPONENTS: tuple[Component, ...] = ("scanner", "autoscaler")
_START_SECONDS = 60
_CREDENTIAL = "embedded"  # the emulator takes any


class EmbeddedCloudError(ScribefleetError):
    """The embedded cloud did not come up; the text says where its log is."""


@dataclass(frozen=True, slots=True)
class LocalStack:
    """The fleet's stack as deployed: CloudFormation's outputs, and where each Lambda's code is unpacked."""

    bucket: str
    jobs_queue_url: str
    priority_queue_url: str
    dead_letter_queue_url: str
    table_name: str
    notify_topic_arn: str
    instance_ids: tuple[str, ...]
    code: Mapping[str, Path]

    def settings(self) -> Settings:
        """Settings under which this process looks at the fleet's queues and ledger."""
        return Settings(
            bucket=self.bucket,
            jobs_queue_url=self.jobs_queue_url,
            priority_queue_url=self.priority_queue_url,
            dead_letter_queue_url=self.dead_letter_queue_url,
            table_name=self.table_name,
            notify_topic_arn=self.notify_topic_arn,
        )


class EmbeddedCloud:
    """A running emulator. Make it with `embedded_cloud`."""

    def __init__(self, endpoint: str, workspace: Path) -> None:
        self.endpoint = endpoint
        self.workspace = workspace

    @property
    def environment(self) -> dict[str, str]:
        """The AWS variables under which boto3 talks to this cloud, and to nothing else whatever the user's set-up."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": _CREDENTIAL,
            "AWS_SECRET_ACCESS_KEY": _CREDENTIAL,
            "AWS_CONFIG_FILE": str(self.workspace / "no-aws-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.workspace / "no-aws-credentials"),
            "NO_PROXY": "127.0.0.1",
        }

    def role_environment(self, role_arn: str, session_name: str) -> dict[str, str]:
        """`environment`, with credentials of a role as AWS hands them to what runs under it.

        Args:
            session_name: as AWS names the session: the instance's id on an instance, the function's name in a function.
        """
        credentials = self.sts().assume_role(RoleArn=role_arn, RoleSessionName=session_name)["Credentials"]
        return self.environment | {
            "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
            "AWS_SESSION_TOKEN": credentials["SessionToken"],
        }

    def s3(self) -> "S3Client":
        return self._session().client("s3", endpoint_url=self.endpoint, config=Config(max_pool_connections=32))

    def sqs(self) -> "SQSClient":
        return self._session().client("sqs", endpoint_url=self.endpoint)

    def sns(self) -> "SNSClient":
        return self._session().client("sns", endpoint_url=self.endpoint)

    def ec2(self) -> "EC2Client":
        return self._session().client("ec2", endpoint_url=self.endpoint)

    def dynamodb(self) -> "DynamoDBClient":
        return self._session().client("dynamodb", endpoint_url=self.endpoint)

    def events(self) -> "EventBridgeClient":
        return self._session().client("events", endpoint_url=self.endpoint)

    def lambdas(self) -> "LambdaClient":
        return self._session().client("lambda", endpoint_url=self.endpoint)

    def autoscaling(self) -> "AutoScalingClient":
        return self._session().client("autoscaling", endpoint_url=self.endpoint)

    def iam(self) -> "IAMClient":
        return self._session().client("iam", endpoint_url=self.endpoint)

    def sts(self) -> "STSClient":
        return self._session().client("sts", endpoint_url=self.endpoint)

    def cloudformation(self) -> "CloudFormationClient":
        return self._session().client("cloudformation", endpoint_url=self.endpoint)

    def deploy(self, parameters: Mapping[str, str]) -> LocalStack:
        """Deploy the fleet's stack, and let its instances finish their first boot, which ends powered off.

        Args:
            parameters: of the template, beside those that only the embedded cloud can know.

        Raises:
            EmbeddedCloudError: CloudFormation did not complete the stack.
        """
        code: dict[str, Path] = {component: self._upload_code(component) for component in _COMPONENTS}
        subnet = self.ec2().describe_subnets()["Subnets"][0]
        known = {
            "CodeBucket": _CODE_BUCKET,
            **{f"{component.capitalize()}CodeKey": f"{component}.zip" for component in _COMPONENTS},
            "ImageId": "ami-12c6146b",
            "SubnetIds": subnet["SubnetId"],
            "VpcId": subnet["VpcId"],
        }
        cloudformation = self.cloudformation()
        cloudformation.create_stack(
            StackName=_STACK,
            TemplateBody=TEMPLATE.read_text(),
            Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in (known | dict(parameters)).items()],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
        )
        try:
            cloudformation.get_waiter("stack_create_complete").wait(
                StackName=_STACK, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
            )
        except WaiterError as error:
            raise EmbeddedCloudError(f"the stack was not created: {error}") from error
        described = cloudformation.describe_stacks(StackName=_STACK)["Stacks"][0]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}
        instances = tuple(filter(None, outputs.get("InstanceIds", "").split(",")))  # a group has none yet
        if instances:
            # What the template's user data does at the end of an instance's first boot.
            self.ec2().stop_instances(InstanceIds=list(instances))
        return LocalStack(
            bucket=outputs["BucketName"],
            jobs_queue_url=outputs["JobsQueueUrl"],
            priority_queue_url=outputs["PriorityQueueUrl"],
            dead_letter_queue_url=outputs["DeadLetterQueueUrl"],
            table_name=outputs["TableName"],
            notify_topic_arn=outputs["NotifyTopicArn"],
            instance_ids=instances,
            code=code,
        )

    def _upload_code(self, component: Component) -> Path:
        """Package a Lambda, upload it as a deployment would, and unpack it for the runtime that will run it."""
        archive = build_lambda(component, self.workspace / f"{component}.zip")
        s3 = self.s3()
        s3.create_bucket(Bucket=_CODE_BUCKET)
        s3.upload_file(str(archive), _CODE_BUCKET, archive.name)
        unpacked = self.workspace / f"lambda-{component}"
        shutil.unpack_archive(archive, unpacked)
        return unpacked

    def _session(self) -> boto3.Session:
        return boto3.Session(_CREDENTIAL, _CREDENTIAL, region_name=REGION)


@contextmanager
def embedded_cloud(workspace: Path, logs: Path) -> Iterator[EmbeddedCloud]:
    """Run an emulator for as long as the block lasts.

    Args:
        workspace: an existing directory for its objects and the Lambdas' code.
        logs: an existing directory for its log.

    Raises:
        EmbeddedCloudError: it did not answer in time.
    """
    port = _free_port()
    log = logs / "cloud.log"
    environment = clean_environment(
        {
            "TMPDIR": str(workspace),
            # Recordings can be larger than memory: objects above this many bytes are kept in files.
            "MOTO_S3_DEFAULT_KEY_BUFFER_SIZE": "65536",
            "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",
        }
    )
    server = start_tethered("moto.server", ["-H", "127.0.0.1", "-p", str(port)], environment, log)
    try:
        endpoint = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(endpoint):
            if server.poll() is not None or time.monotonic() > deadline:
                raise EmbeddedCloudError(f"the embedded cloud did not start; see {log}")
            time.sleep(0.1)
        yield EmbeddedCloud(endpoint, workspace)
    finally:
        end(server, grace_seconds=2)


def _answers(endpoint: str) -> bool:
    try:
        with urllib.request.urlopen(f"{endpoint}/moto-api/data.json", timeout=2) as answer:  # noqa: S310 - our own
            return bool(answer.status == 200)
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
