"""A change set: asked for, waited for, read, executed or thrown away."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from deploy.aws.changes import Change, read_changes
from deploy.aws.clients import DeployClients
from deploy.aws.problems import DeploymentError, explain_reason
from deploy.aws.progress import newest_event

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.literals import ChangeSetTypeType
    from mypy_boto3_cloudformation.type_defs import (
        ChangeTypeDef,
        CreateChangeSetInputTypeDef,
        DescribeChangeSetOutputTypeDef,
        ParameterTypeDef,
    )

# How CloudFormation says that nothing would change: as the reason of a failed change set, or as an error.
_NO_CHANGES = ("didn't contain changes", "No updates are to be performed")
_POLL_SECONDS = 2.0
_LIMIT_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """A change set that is ready to be executed."""

    identifier: str
    stack_id: str
    changes: tuple[Change, ...]


def create(
    aws: DeployClients, stack: str, kind: "ChangeSetTypeType", template_url: str, parameters: "list[ParameterTypeDef]"
) -> ChangeSet | None:
    """Make a change set and wait for it; None when nothing would change.

    Raises:
        DeploymentError: CloudFormation cannot make it.
    """
    request: CreateChangeSetInputTypeDef = {
        "StackName": stack,
        "ChangeSetName": f"scribefleet-{aws.clock.now():%Y%m%d-%H%M%S}",
        "ChangeSetType": kind,
        "Description": "Made by scribefleet deploy.",
        "TemplateURL": template_url,
        "Parameters": parameters,
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
    }
    try:
        made = aws.cloudformation.create_change_set(**request)
    except ClientError as error:
        if any(words in str(error) for words in _NO_CHANGES):
            return None
        raise
    return _when_ready(aws, made["Id"], made["StackId"])


def execute(aws: DeployClients, change_set: ChangeSet) -> str:
    """Execute it; the identifier of the stack's last event before that."""
    last = newest_event(aws, change_set.stack_id)
    aws.cloudformation.execute_change_set(ChangeSetName=change_set.identifier, StackName=change_set.stack_id)
    return last


def discard(aws: DeployClients, identifier: str, stack_id: str) -> None:
    aws.cloudformation.delete_change_set(ChangeSetName=identifier, StackName=stack_id)


def _when_ready(aws: DeployClients, identifier: str, stack_id: str) -> ChangeSet | None:
    deadline = aws.clock.monotonic() + _LIMIT_SECONDS
    while True:
        described, changes = _describe(aws, identifier, stack_id)
        status, reason = described["Status"], described.get("StatusReason", "")
        if status == "CREATE_COMPLETE":
            return ChangeSet(identifier, stack_id, tuple(read_changes(changes)))
        if status == "FAILED":
            discard(aws, identifier, stack_id)
            if any(words in reason for words in _NO_CHANGES):
                return None
            raise explain_reason("The change set", reason)
        if aws.clock.monotonic() > deadline:
            raise DeploymentError(
                f"CloudFormation has not made the change set within {_LIMIT_SECONDS / 60:.0f} minutes ({status}).",
                "Look at https://health.aws.amazon.com and run the same command again.",
            )
        aws.clock.sleep(_POLL_SECONDS)


def _describe(
    aws: DeployClients, identifier: str, stack_id: str
) -> "tuple[DescribeChangeSetOutputTypeDef, list[ChangeTypeDef]]":
    """The first page, and the changes of all."""
    pages = list(
        aws.cloudformation.get_paginator("describe_change_set").paginate(ChangeSetName=identifier, StackName=stack_id)
    )
    return pages[0], [change for page in pages for change in page.get("Changes", [])]
