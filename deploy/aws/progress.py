"""Follows what CloudFormation does to a stack, event by event, to its end."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from deploy.aws.clients import DeployClients
from deploy.aws.problems import DeploymentError, explain_reason

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import StackEventTypeDef

_STACK = "AWS::CloudFormation::Stack"
# Statuses that end an operation on a stack, good and bad.
DONE = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "DELETE_COMPLETE"})
_UNDONE = frozenset({"ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"})
_STUCK = frozenset({"CREATE_FAILED", "ROLLBACK_FAILED", "UPDATE_FAILED", "UPDATE_ROLLBACK_FAILED", "DELETE_FAILED"})
_POLL_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Event:
    """One of a stack's events."""

    identifier: str
    at: datetime
    resource: str
    kind: str
    status: str
    reason: str
    of_stack: bool

    @property
    def ends(self) -> bool:
        """Whether the operation on the stack ends with it."""
        return self.of_stack and self.status in DONE | _UNDONE | _STUCK

    @property
    def is_failure(self) -> bool:
        """Whether a resource failed by itself, and not because another one had."""
        return self.status.endswith("_FAILED") and not self.of_stack and "cancelled" not in self.reason.lower()


def newest_event(aws: DeployClients, stack: str) -> str:
    """Identifier of the stack's newest event, after which an operation's own begin."""
    events = aws.cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
    return events[0]["EventId"] if events else ""


def follow(aws: DeployClients, stack_id: str, after: str) -> Iterator[Event]:
    """Each event after the one named, as they come, up to the one that ends the operation.

    It goes by events and not by the stack's status, which can still be the old one for a moment after an operation
    was asked for.

    Args:
        stack_id: the id and not the name, by which a deleted stack is not found.
        after: identifier of an event; empty for all.
    """
    last = after
    while True:
        for event in _since(aws, stack_id, last):
            last = event.identifier
            yield event
            if event.ends:
                return
        aws.clock.sleep(_POLL_SECONDS)


def check_outcome(events: Sequence[Event], stack: str) -> None:
    """Raise a `DeploymentError` with the first failure's reason and its remedy, unless the operation succeeded."""
    if events and events[-1].status in DONE:
        return
    failed = next((event for event in events if event.is_failure), None)
    if failed:
        raise explain_reason(f"{failed.resource} ({failed.kind})", failed.reason)
    end = events[-1] if events else None
    raise DeploymentError(
        f"The stack {stack} ended as {end.status if end else 'nothing'}: {end.reason if end else 'it has no events'}",
        f"Look at its events: `aws cloudformation describe-stack-events --stack-name {stack}`.",
    )


def _since(aws: DeployClients, stack_id: str, last: str) -> list[Event]:
    """The events after one, oldest first; AWS answers newest first, in pages."""
    found: list[Event] = []
    for page in aws.cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack_id):
        for item in page["StackEvents"]:
            if item["EventId"] == last:
                return found[::-1]
            found.append(_event(item))
    return found[::-1]


def _event(item: "StackEventTypeDef") -> Event:
    kind = item.get("ResourceType", "")
    return Event(
        identifier=item["EventId"],
        at=item["Timestamp"],
        resource=item.get("LogicalResourceId", ""),
        kind=kind,
        status=item.get("ResourceStatus", ""),
        reason=item.get("ResourceStatusReason", ""),
        of_stack=kind == _STACK and item.get("PhysicalResourceId") == item["StackId"],
    )
