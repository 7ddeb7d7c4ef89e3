"""The fleet's stack in CloudFormation: what state it is in, and what can be done from there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from botocore.exceptions import ClientError

from deploy.aws.clients import DeployClients
from deploy.aws.problems import DeploymentError
from shared.errors import error_code

Way = Literal["create", "update", "replace"]

_EMPTY = "REVIEW_IN_PROGRESS"  # a change set was made for it and nothing else
# A stack whose creation failed holds nothing and takes no update: CloudFormation only deletes it.
_FAILED_AT_BIRTH = frozenset({"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED"})


@dataclass(frozen=True, slots=True)
class StackState:
    """A stack as it stands; without an id there is none."""

    name: str
    identifier: str = ""
    status: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)

    @property
    def exists(self) -> bool:
        """Whether there is a stack that holds or held resources."""
        return self.status not in {"", _EMPTY}


def look(aws: DeployClients, name: str) -> StackState:
    """The stack of this name (or id) as it stands."""
    try:
        (found,) = aws.cloudformation.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if error_code(error) == "ValidationError" and "does not exist" in str(error):
            return StackState(name)
        raise
    return StackState(
        name=found["StackName"],
        identifier=found["StackId"],
        status=found["StackStatus"],
        parameters={
            parameter["ParameterKey"]: parameter.get("ParameterValue", "") for parameter in found.get("Parameters", [])
        },
        outputs={output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])},
    )


def way_to_deploy(stack: StackState, *, replace: bool) -> Way:
    """How a stack in this state is deployed to.

    Args:
        replace: whether a stack whose creation failed may be deleted first.

    Raises:
        DeploymentError: something has to be done or waited for before.
    """
    if not stack.exists:
        return "create"
    if stack.status.endswith("_IN_PROGRESS"):
        raise DeploymentError(
            f"Somebody is at work on the stack {stack.name}: it is {stack.status}.",
            "Wait until that is over (`aws cloudformation describe-stacks` shows it), then run this again.",
        )
    if stack.status in _FAILED_AT_BIRTH:
        if replace:
            return "replace"
        raise DeploymentError(
            f"The stack {stack.name} is {stack.status}: its creation failed, and what was made is gone again.",
            "Mend the reason (`aws cloudformation describe-stack-events` has it), then deploy with --replace, which "
            "deletes the failed stack first.",
        )
    if stack.status == "UPDATE_ROLLBACK_FAILED":
        raise DeploymentError(
            f"The stack {stack.name} is {stack.status}: an update failed, and so did taking it back.",
            f"`aws cloudformation continue-update-rollback --stack-name {stack.name}`, then run this again.",
        )
    if stack.status == "DELETE_FAILED":
        raise DeploymentError(
            f"The stack {stack.name} is {stack.status}: it was not removed completely.",
            f"Remove the rest first: `scribefleet destroy --fleet {stack.name}`.",
        )
    return "update"
