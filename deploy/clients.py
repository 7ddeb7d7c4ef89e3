"""The AWS clients of the operator's commands, made once at the edge and handed down.

Those that the fleet itself uses come from `shared.aws.clients`; the others are only for people who look after it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3

from shared.aws import clients
from shared.aws.timeouts import OPERATOR

if TYPE_CHECKING:
    from mypy_boto3_autoscaling import AutoScalingClient
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_service_quotas import ServiceQuotasClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sts import STSClient

_CONFIG = OPERATOR.config()


@dataclass(frozen=True, slots=True)
class OperatorClients:
    """One client of each service."""

    sts: "STSClient"
    cloudformation: "CloudFormationClient"
    s3: "S3Client"
    sqs: "SQSClient"
    dynamodb: "DynamoDBClient"
    ec2: "EC2Client"
    autoscaling: "AutoScalingClient"
    functions: "LambdaClient"
    events: "EventBridgeClient"
    cloudwatch: "CloudWatchClient"
    sns: "SNSClient"
    quotas: "ServiceQuotasClient"


def aws_clients() -> OperatorClients:
    """Clients as boto3 finds credentials and region.

    Raises:
        NoRegionError: neither the environment nor the profile names a region.
    """
    return OperatorClients(
        sts=boto3.client("sts", config=_CONFIG),
        cloudformation=boto3.client("cloudformation", config=_CONFIG),
        s3=clients.s3_client(),
        sqs=clients.sqs_client(),
        dynamodb=clients.dynamodb_client(),
        ec2=clients.ec2_client(),
        autoscaling=clients.autoscaling_client(),
        functions=boto3.client("lambda", config=_CONFIG),
        events=boto3.client("events", config=_CONFIG),
        cloudwatch=boto3.client("cloudwatch", config=_CONFIG),
        sns=boto3.client("sns", config=_CONFIG),
        quotas=boto3.client("service-quotas", config=_CONFIG),
    )
