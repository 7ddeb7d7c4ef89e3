"""Which permissions a call needs: AWS's operations, IAM's actions, ARNs and the context that conditions look at.

Actions, resources and condition keys are those of the Service Authorization Reference ("Actions, resources, and
condition keys for Amazon S3", "... SNS", "... SQS", "... DynamoDB", "... EC2", "... EC2 Auto Scaling"). The template is
not known.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from tests.iam.harness.evaluator import Request
from tests.iam.harness.wire import WireCall

ACCOUNT = "123456789012"

# Service -> operation -> the action that it needs. A batch call needs the action of its single form.
ACTIONS: Mapping[str, Mapping[str, str]] = {
    "s3": {
        "DeleteObject": "s3:DeleteObject",
        "GetObject": "s3:GetObject",
        "HeadObject": "s3:GetObject",
        "ListObjectsV2": "s3:ListBucket",
        "PutObject": "s3:PutObject",
    },
    "sns": {
        "Publish": "sns:Publish",
    },
    "sqs": {
        "ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
        "DeleteMessage": "sqs:DeleteMessage",
        "GetQueueAttributes": "sqs:GetQueueAttributes",
        "ReceiveMessage": "sqs:ReceiveMessage",
        "SendMessage": "sqs:SendMessage",
        "SendMessageBatch": "sqs:SendMessage",
    },
    "dynamodb": {
        "BatchGetItem": "dynamodb:BatchGetItem",
        "GetItem": "dynamodb:GetItem",
        "PutItem": "dynamodb:PutItem",
        "Query": "dynamodb:Query",
        "UpdateItem": "dynamodb:UpdateItem",
    },
    "ec2": {
        "CreateTags": "ec2:CreateTags",
        "DeleteTags": "ec2:DeleteTags",
        "DescribeInstances": "ec2:DescribeInstances",
        "RebootInstances": "ec2:RebootInstances",
        "StartInstances": "ec2:StartInstances",
        "StopInstances": "ec2:StopInstances",
    },
    "autoscaling": {
        "DescribeAutoScalingGroups": "autoscaling:DescribeAutoScalingGroups",
        "SetDesiredCapacity": "autoscaling:SetDesiredCapacity",
        "SetInstanceProtection": "autoscaling:SetInstanceProtection",
        "TerminateInstanceInAutoScalingGroup": "autoscaling:TerminateInstanceInAutoScalingGroup",
    },
}


class World(Protocol):
    """What AWS knows of the things that a call names, at the time of the call."""

    def instance_tags(self, instance_id: str) -> Mapping[str, str]:
        """The tags of an instance; none for one that does not exist."""

    def group(self, *, name: str = "", member: str = "") -> tuple[str, Mapping[str, str]]:
        """ARN and tags of an Auto Scaling group, by its name or by one of its instances."""


def requests_of(call: WireCall, session_name: str, world: World) -> list[Request]:
    """The permissions that a call needs, all of them.

    Args:
        session_name: of the caller's role session; on an instance it is the instance's id.

    Raises:
        KeyError: the operation is not in `ACTIONS`.
    """
    action = ACTIONS[call.service][call.operation]
    return [Request(action, *found) for found in _RESOURCES[call.service](call, session_name, world)]


def listing_of(call: WireCall) -> Request:
    """What S3 asks of a caller before it says that an object is not there (API Reference, GetObject, "Permissions")."""
    return Request("s3:ListBucket", f"arn:aws:s3:::{call.parameters['Bucket']}")


_Found = tuple[str, Mapping[str, tuple[str, ...]]]


def _s3(call: WireCall, _session: str, _world: World) -> Iterator[_Found]:
    bucket, key = call.parameters["Bucket"], call.parameters.get("Key")
    yield f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}", {}


def _sqs(call: WireCall, _session: str, _world: World) -> Iterator[_Found]:
    yield f"arn:aws:sqs:{call.region}:{ACCOUNT}:{call.parameters['QueueUrl'].rsplit('/', 1)[-1]}", {}


def _sns(call: WireCall, _session: str, _world: World) -> Iterator[_Found]:
    yield call.parameters["TopicArn"], {}


def _dynamodb(call: WireCall, _session: str, _world: World) -> Iterator[_Found]:
    parameters = call.parameters
    if "RequestItems" in parameters:
        tables = {table: wanted["Keys"] for table, wanted in parameters["RequestItems"].items()}
    elif "KeyConditionExpression" in parameters:
        (values,) = parameters["ExpressionAttributeValues"].values()
        tables = {parameters["TableName"]: [{"sessionPath": values}]}
    else:
        tables = {parameters["TableName"]: [parameters.get("Key") or parameters["Item"]]}
    for table, keys in tables.items():
        leading = tuple(key["sessionPath"]["S"] for key in keys)
        yield f"arn:aws:dynamodb:{call.region}:{ACCOUNT}:table/{table}", {"dynamodb:LeadingKeys": leading}


def _ec2(call: WireCall, session: str, world: World) -> Iterator[_Found]:
    if call.operation.startswith("Describe"):
        yield "*", {}
        return
    keys = tuple(dict.fromkeys(_numbered(call.parameters, "Tag", ".Key")))
    for instance in (*_numbered(call.parameters, "InstanceId"), *_numbered(call.parameters, "ResourceId")):
        arn = _instance_arn(call.region, instance)
        context = {"aws:ARN": (arn,), **_tagged(world.instance_tags(instance), "aws", "ec2"), **_source(call, session)}
        if keys:
            context["aws:TagKeys"] = keys
        yield arn, context


def _autoscaling(call: WireCall, session: str, world: World) -> Iterator[_Found]:
    if call.operation.startswith("Describe"):
        yield "*", {}
        return
    name, member = call.parameters.get("AutoScalingGroupName", ""), call.parameters.get("InstanceId", "")
    arn, tags = world.group(name=name, member=member)
    yield arn, {**_tagged(tags, "aws", "autoscaling"), **_source(call, session)}


_RESOURCES = {"s3": _s3, "sns": _sns, "sqs": _sqs, "dynamodb": _dynamodb, "ec2": _ec2, "autoscaling": _autoscaling}


def _numbered(parameters: Mapping[str, Any], name: str, suffix: str = "") -> Iterable[str]:
    number = 1
    while (value := parameters.get(f"{name}.{number}{suffix}")) is not None:
        yield value
        number += 1


def _tagged(tags: Mapping[str, str], *prefixes: str) -> dict[str, tuple[str, ...]]:
    return {f"{prefix}:ResourceTag/{key}": (value,) for prefix in prefixes for key, value in tags.items()}


def _source(call: WireCall, session: str) -> dict[str, tuple[str, ...]]:
    """EC2 gives the credentials of an instance's role the instance's ARN along."""
    return {"ec2:SourceInstanceARN": (_instance_arn(call.region, session),)} if session.startswith("i-") else {}


def _instance_arn(region: str, instance_id: str) -> str:
    return f"arn:aws:ec2:{region}:{ACCOUNT}:instance/{instance_id}"
