"""Who deploys, and where: the boto3 clients of one account and region, made once at the edge and handed down.

Nothing else of the package makes a client or looks for credentials.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from shared.clock import Clock

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_service_quotas import ServiceQuotasClient
    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_sts import STSClient

# Someone waits in front of the terminal. CloudFormation throttles readers of events early, hence the many tries.
_CONFIG = Config(connect_timeout=5, read_timeout=60, retries={"mode": "standard", "total_max_attempts": 6})


@dataclass(frozen=True, slots=True)
class DeployClients:
    """What a deployment calls, and the clock by which it waits."""

    cloudformation: "CloudFormationClient"
    ec2: "EC2Client"
    functions: "LambdaClient"
    quotas: "ServiceQuotasClient"
    s3: "S3Client"
    ssm: "SSMClient"
    sts: "STSClient"
    clock: Clock

    @property
    def region(self) -> str:
        return self.cloudformation.meta.region_name


@dataclass(frozen=True, slots=True)
class Account:
    """The account that the credentials belong to, and who they say it is."""

    number: str
    arn: str


def connect(profile: str | None, region: str | None, clock: Clock) -> DeployClients:
    """Clients of a region, by the given profile and region or those that any AWS program would take.

    Raises:
        botocore.exceptions.NoRegionError, ProfileNotFound: there is no such thing.
    """
    session = boto3.Session(profile_name=profile, region_name=region)
    return DeployClients(
        cloudformation=session.client("cloudformation", config=_CONFIG),
        ec2=session.client("ec2", config=_CONFIG),
        functions=session.client("lambda", config=_CONFIG),
        quotas=session.client("service-quotas", config=_CONFIG),
        s3=session.client("s3", config=_CONFIG),
        ssm=session.client("ssm", config=_CONFIG),
        sts=session.client("sts", config=_CONFIG),
        clock=clock,
    )


def identify(aws: DeployClients) -> Account:
    """Whose credentials these are. The first call of every command: it needs no permission, so it tests them alone."""
    identity = aws.sts.get_caller_identity()
    return Account(number=identity["Account"], arn=identity["Arn"])
