"""Permissions that a role needs for what AWS's own software does under it; no call of ours uses them."""

from collections.abc import Iterator

from tests.iam.harness.evaluator import Request

_REGION_AND_ACCOUNT = "us-east-1:123456789012"
_FLEET = "scribefleet"
_CODE_BUCKET = "embedded-lambda-code"

# AWS Lambda Developer Guide, "Sending Lambda function logs to CloudWatch Logs"; the group itself is the stack's.
_LAMBDAS_RUNTIME = ("logs:CreateLogStream", "logs:PutLogEvents")
# CloudWatch User Guide, "Create IAM roles and users for use with the CloudWatch agent", without what makes groups.
_CLOUDWATCH_AGENT = ("logs:CreateLogStream", "logs:PutLogEvents")
# AWS Systems Manager User Guide, "Add Session Manager permissions to an existing IAM role", without logs and keys.
_SSM_AGENT = (
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
)


def platform_requests(component: str) -> list[Request]:
    """What AWS's software needs of a component's role."""
    return list(_requests(component))


def _requests(component: str) -> Iterator[Request]:
    if component in {"scanner", "autoscaler"}:
        for action in _LAMBDAS_RUNTIME:
            yield Request(action, _stream(f"/aws/lambda/{_FLEET}-{component}"))
        return
    for action in _CLOUDWATCH_AGENT:
        yield Request(action, _stream(f"/scribefleet/{_FLEET}/worker"))
    for action in _SSM_AGENT:
        yield Request(action, "*")
    # An instance's first boot fetches what it installs, with the AWS command line, before there is anything of ours.
    yield Request("s3:GetObject", f"arn:aws:s3:::{_CODE_BUCKET}/host.tar.gz")


def _stream(group: str) -> str:
    return f"arn:aws:logs:{_REGION_AND_ACCOUNT}:log-group:{group}:log-stream:one"
