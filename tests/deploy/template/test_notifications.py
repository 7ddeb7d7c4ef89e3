"""The topic that workers and scanner tell: made or taken over, named to them, and the only one they may publish to."""

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.deploy.conftest import Deploy, Fleet

pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse AWS")


def may_publish_to(fleet: "Fleet", role_name: str) -> list[str]:
    """The topics of the statement that lets a role publish; any other statement that does would fail the unpacking."""
    iam, role = fleet.aws("iam"), fleet.physical[role_name]
    names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    documents = [iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names]
    (statement,) = [
        statement for document in documents for statement in document["Statement"] if "sns:" in str(statement["Action"])
    ]
    assert statement["Action"] == "sns:Publish"
    resource = statement["Resource"]
    return [resource] if isinstance(resource, str) else list(resource)


def told_by(fleet: "Fleet") -> set[str]:
    """The topics that workers and scanner are given, and those that they may publish to."""
    environments = (fleet.worker_environment(), fleet.function_environment("ScannerFunctionName"))
    given = {environment["SCRIBEFLEET_NOTIFY_TOPIC_ARN"] for environment in environments}
    return given.union(may_publish_to(fleet, "WorkerRole"), may_publish_to(fleet, "ScannerRole"))


def test_a_fleet_has_a_topic_of_its_own_which_is_not_the_alarms(deploy_fleet: "Deploy") -> None:
    fleet = deploy_fleet("telling")

    topic = fleet.outputs["NotifyTopicArn"]
    assert topic.endswith(f":{fleet.name}-notifications")
    assert topic != fleet.outputs["AlarmTopicArn"]
    assert fleet.aws("sns").get_topic_attributes(TopicArn=topic)["Attributes"]["SubscriptionsConfirmed"] == "0"
    assert told_by(fleet) == {topic}


def test_a_topic_that_was_there_is_told_and_none_is_made(deploy_fleet: "Deploy") -> None:
    arn = "arn:aws:sns:us-east-1:123456789012:ours"

    fleet = deploy_fleet("telling-ours", ExistingNotifyTopicArn=arn)

    assert fleet.outputs["NotifyTopicArn"] == arn
    assert told_by(fleet) == {arn}
    assert "NotifyTopic" not in fleet.physical


def test_messages_are_encrypted_with_a_key_that_roles_of_the_account_may_use(template: dict[str, Any]) -> None:
    assert template["Resources"]["NotifyTopic"]["Properties"]["KmsMasterKeyId"] == "alias/aws/sns"
