"""What a change set would do, as values, and which of it a person should think about. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import ChangeTypeDef

# What is lost with a resource of the type when it is removed, or made anew in its place.
_LOST = {
    "AWS::S3::Bucket": "the fleet turns to a new, empty bucket (the old one stays)",
    "AWS::SQS::Queue": "the waiting jobs go with it (the next scan finds their gaps again)",
    "AWS::DynamoDB::Table": "the ledger's rows go with it (they inform; nothing rests on them)",
    "AWS::EC2::Instance": "a run in progress ends (its jobs go back to the queue) and the volume goes with it",
    "AWS::AutoScaling::AutoScalingGroup": "its instances are terminated and runs in progress end",
    "AWS::SNS::Topic": "its subscriptions have to be confirmed again",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One resource of a change set.

    Attributes:
        action: Add, Modify, Remove, Import or Dynamic.
        resource: its logical id.
        kind: its type, such as AWS::SQS::Queue.
        replacement: yes, no or maybe (CloudFormation finds out while it works).
        causes: the properties that change.
    """

    action: str
    resource: str
    kind: str
    replacement: str
    causes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def read_changes(described: "Iterable[ChangeTypeDef]") -> list[Change]:
    """The changes of DescribeChangeSet's answers, the weightiest first.

    The format is ResourceChange of the CloudFormation API reference: Replacement is True, False or Conditional, and
    absent for what is not modified.
    """
    replacements = {"True": "yes", "Conditional": "maybe", "False": "no"}
    changes = []
    for item in described:
        change = item.get("ResourceChange")
        if change is None:
            continue  # a hook or the like: nothing of ours changes by it
        causes = {detail.get("Target", {}).get("Name") or "" for detail in change.get("Details", [])}
        changes.append(
            Change(
                action=change.get("Action", ""),
                resource=change.get("LogicalResourceId", ""),
                kind=change.get("ResourceType", ""),
                replacement=replacements.get(change.get("Replacement", ""), "no"),
                causes=tuple(sorted(causes - {""})),
            )
        )
    return sorted(changes, key=_weight)


def warnings(changes: Sequence[Change]) -> list[str]:
    """A line for each change that takes something away which does not come back by itself."""
    lines = []
    for change in changes:
        lost = _LOST.get(change.kind)
        if lost is None:
            continue
        if change.action == "Remove":
            lines.append(f"{change.resource} is removed: {lost}")
        elif change.replacement == "yes":
            lines.append(f"{change.resource} is replaced by a new one: {lost}")
        elif change.replacement == "maybe":
            lines.append(f"{change.resource} may be replaced by a new one: {lost}")
    return lines


def _weight(change: Change) -> tuple[int, str, str]:
    order = 0 if change.action == "Remove" else {"yes": 1, "maybe": 2}.get(change.replacement, 3)
    return order, change.kind, change.resource
