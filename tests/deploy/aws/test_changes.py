"""What a change set says is read as CloudFormation documents it (moto knows no replacement), and judged."""

from typing import TYPE_CHECKING, cast

import pytest

from deploy.aws.changes import Change, read_changes, warnings

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import ChangeTypeDef


def described(action: str, resource: str, kind: str, replacement: str = "", cause: str = "") -> dict[str, object]:
    """An item of DescribeChangeSet's Changes."""
    change: dict[str, object] = {"Action": action, "LogicalResourceId": resource, "ResourceType": kind}
    if replacement:
        change["Replacement"] = replacement
    if cause:
        change["Details"] = [{"Target": {"Attribute": "Properties", "Name": cause}}, {"Target": {"Attribute": "Tags"}}]
    return {"Type": "Resource", "ResourceChange": change}


def read(*items: dict[str, object]) -> list[Change]:
    return read_changes(cast("tuple[ChangeTypeDef, ...]", items))


def test_the_weightiest_change_comes_first() -> None:
    changes = read(
        described("Add", "NewQueue", "AWS::SQS::Queue"),
        described("Modify", "Function", "AWS::Lambda::Function", "False", "Code"),
        described("Modify", "Group", "AWS::AutoScaling::AutoScalingGroup", "Conditional", "LaunchTemplate"),
        described("Modify", "Instance1", "AWS::EC2::Instance", "True", "LaunchTemplate"),
        described("Remove", "Ledger", "AWS::DynamoDB::Table"),
    )
    assert [change.resource for change in changes] == ["Ledger", "Instance1", "Group", "Function", "NewQueue"]
    assert [change.replacement for change in changes] == ["no", "yes", "maybe", "no", "no"]
    assert changes[1].causes == ("LaunchTemplate",)


@pytest.mark.parametrize(
    ("item", "says"),
    [
        (described("Remove", "Bucket", "AWS::S3::Bucket"), "Bucket is removed: the fleet turns to a new, empty bucket"),
        (described("Modify", "JobsQueue", "AWS::SQS::Queue", "True"), "JobsQueue is replaced by a new one"),
        (described("Modify", "Instance1", "AWS::EC2::Instance", "Conditional"), "Instance1 may be replaced"),
    ],
)
def test_losing_something_that_holds_state_is_warned_of(item: dict[str, object], says: str) -> None:
    (line,) = warnings(read(item))
    assert line.startswith(says)


@pytest.mark.parametrize(
    "item",
    [
        described("Modify", "Instance1", "AWS::EC2::Instance", "False"),
        described("Add", "JobsQueue", "AWS::SQS::Queue"),
        described("Modify", "ScannerFunction", "AWS::Lambda::Function", "True"),
    ],
)
def test_nothing_lost_is_nothing_to_warn_of(item: dict[str, object]) -> None:
    assert warnings(read(item)) == []


def test_a_change_that_is_no_resources_is_left_out() -> None:
    assert read({"Type": "Resource"}) == []
