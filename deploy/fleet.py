"""Finds a deployed fleet by its stack's name: where its parts are, and the settings that its parts run with.

CloudFormation knows all of it, so an operator's command needs a name and credentials and no SCRIBEFLEET_ variable.
It reads only.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from shared.errors import AWS_ERRORS, ConfigurationError, error_code
from shared.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

DEFAULT_FLEET = "scribefleet"
GROUP_TYPE = "AWS::AutoScaling::AutoScalingGroup"

# The outputs that name what every fleet has, by the setting that takes them.
_OUTPUTS = {
    "bucket": "BucketName",
    "jobs_queue_url": "JobsQueueUrl",
    "priority_queue_url": "PriorityQueueUrl",
    "dead_letter_queue_url": "DeadLetterQueueUrl",
    "table_name": "TableName",
}
# States in which a stack never had, or has lost, its resources (CloudFormation, "Stack status codes").
_WITHOUT_RESOURCES = {
    "REVIEW_IN_PROGRESS": "its first change set was never executed; run `scribefleet deploy`",
    "CREATE_IN_PROGRESS": "it is still being made; wait for it",
    "CREATE_FAILED": "its creation failed; run `scribefleet deploy --replace`",
    "ROLLBACK_IN_PROGRESS": "its creation failed and is being undone; wait, then run `scribefleet deploy --replace`",
    "ROLLBACK_COMPLETE": "its creation failed and was undone; run `scribefleet deploy --replace`",
    "ROLLBACK_FAILED": "its creation failed and so did undoing it; delete the stack in the console, then deploy again",
    "DELETE_IN_PROGRESS": "it is being removed",
    "DELETE_FAILED": "its removal stopped half-way; run `scribefleet destroy` again",
}


class FleetNotFoundError(ConfigurationError):
    """There is no such fleet where we look, or none that can be used; the text says what to do."""


@dataclass(frozen=True, slots=True)
class StackResource:
    """One resource of the stack; `name` is its physical id, empty while it has none."""

    logical_id: str
    type: str
    name: str
    status: str


@dataclass(frozen=True, slots=True)
class FleetStack:
    """A fleet's stack as CloudFormation describes it.

    Attributes:
        stack_id: its ARN.
        reason: CloudFormation's words for its status; often empty.
        parameters: all of them, with the defaults that were taken.
    """

    name: str
    stack_id: str
    status: str
    reason: str
    outputs: Mapping[str, str]
    parameters: Mapping[str, str]
    resources: tuple[StackResource, ...]

    @property
    def region(self) -> str:
        return self.stack_id.split(":")[3]

    @property
    def problem(self) -> str | None:
        """Why the stack cannot be used, and what to do; `None` where it can."""
        why = _WITHOUT_RESOURCES.get(self.status)
        return f"the stack {self.name} is in {self.status}: {why}" if why else None

    def of_type(self, resource_type: str) -> list[StackResource]:
        """The stack's resources of a type such as `AWS::SQS::Queue` that exist."""
        return [resource for resource in self.resources if resource.type == resource_type and resource.name]

    def values(self) -> dict[str, str]:
        """The settings that the fleet's parts run with, as far as the template has parameters for them, by field.

        Raises:
            FleetNotFoundError: the stack has none of the outputs, because of its state or since it is not a fleet's.
        """
        if self.problem:
            raise FleetNotFoundError(self.problem)
        missing = [output for output in _OUTPUTS.values() if not self.outputs.get(output)]
        if missing:
            raise FleetNotFoundError(
                f"the stack {self.name} is no scribefleet: it has no output {', '.join(missing)}; "
                "--fleet names the fleet's stack"
            )
        groups = self.of_type(GROUP_TYPE)
        values = {field: self.outputs[output] for field, output in _OUTPUTS.items()}
        # A fleet that an older version deployed has none.
        values["notify_topic_arn"] = self.outputs.get("NotifyTopicArn", "")
        values["auto_scaling_group"] = groups[0].name if groups else ""
        for parameter, value in self.parameters.items():
            field = _snake(parameter)
            if field in Settings.model_fields and field not in values:
                values[field] = value
        return values

    def settings(self) -> Settings:
        """The same as settings.

        Raises:
            FleetNotFoundError: as for `values`, or a value is none that this version takes.
        """
        values: dict[str, Any] = dict(self.values())
        try:
            return Settings(**values)
        except ValidationError as error:
            problem = error.errors(include_input=False, include_url=False)[0]
            raise FleetNotFoundError(
                f"the stack {self.name} was deployed with a value that this version does not take: "
                f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
            ) from None


def find_fleet(cloudformation: "CloudFormationClient", name: str) -> FleetStack:
    """The stack called `name`, in whatever state it is.

    Raises:
        FleetNotFoundError: there is none in this account and region. What boto3 raises otherwise.
    """
    try:
        (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except AWS_ERRORS as error:
        # CloudFormation has no code of its own for it.
        if error_code(error) == "ValidationError" and "does not exist" in str(error):
            raise FleetNotFoundError(
                f"there is no stack {name} in {cloudformation.meta.region_name}: `scribefleet deploy` makes one; "
                "--fleet names another, AWS_REGION another region, AWS_PROFILE another account"
            ) from None
        raise
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=name)
    resources = tuple(
        StackResource(
            logical_id=summary["LogicalResourceId"],
            type=summary["ResourceType"],
            name=summary.get("PhysicalResourceId", ""),
            status=summary["ResourceStatus"],
        )
        for page in pages
        for summary in page["StackResourceSummaries"]
    )
    return FleetStack(
        name=stack["StackName"],
        stack_id=stack["StackId"],
        status=stack["StackStatus"],
        reason=stack.get("StackStatusReason", ""),
        outputs={output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])},
        parameters={
            parameter["ParameterKey"]: parameter.get("ResolvedValue", parameter["ParameterValue"])
            for parameter in stack.get("Parameters", [])
        },
        resources=resources,
    )


def _snake(name: str) -> str:
    """`ScanMinAgeSeconds` -> `scan_min_age_seconds`: parameters are called like the settings that they become."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
