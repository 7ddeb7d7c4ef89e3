"""A fleet is removed from an account on moto; its recordings stay unless told otherwise."""

from typing import TYPE_CHECKING, Any

import pytest

from deploy.aws.artefacts import Builders
from deploy.aws.clients import Account, DeployClients
from deploy.aws.deploying import Request, proposed
from deploy.aws.problems import DeploymentError
from deploy.aws.progress import Event
from deploy.aws.removing import (
    KEPT_TYPES,
    Inventory,
    check_removable,
    remove_code,
    remove_recordings,
    remove_stack,
    take_inventory,
)
from deploy.aws.stack import look

if TYPE_CHECKING:
    from tests.deploy.aws.conftest import Answers

CODE_BUCKET = "scribefleet-code-123456789012-us-east-1"


class Remover:
    """A fleet that is deployed, and what removes it."""

    def __init__(self, clients: DeployClients, account: Account, builders: Builders) -> None:
        self.clients = clients
        self.account = account
        self.builders = builders
        self.events: list[Event] = []

    def deploy(self, fleet: str = "fleet", **given: str) -> None:
        request = Request(fleet, given, builders=self.builders)
        with proposed(self.clients, self.account, request, lambda _: None) as proposal:
            proposal.execute(self.clients, lambda _: None)

    def inventory(self, fleet: str = "fleet") -> Inventory:
        return take_inventory(self.clients, self.account, fleet, "")

    def stop_instances(self) -> None:
        running = self.inventory().running
        self.clients.ec2.stop_instances(InstanceIds=list(running))

    def buckets(self) -> list[str]:
        return [bucket["Name"] for bucket in self.clients.s3.list_buckets()["Buckets"]]


@pytest.fixture
def remover(clients: DeployClients, account: Account, builders: Builders) -> Remover:
    return Remover(clients, account, builders)


def test_the_stack_and_its_code_go_and_the_recordings_stay(remover: Remover) -> None:
    remover.deploy()
    inventory = remover.inventory()
    remover.clients.s3.put_object(Bucket=inventory.bucket, Key="users/u/audio/sessions/s/chunk-001.webm", Body=b"x")

    remove_stack(remover.clients, inventory.stack, remover.events.append)
    remove_code(remover.clients, inventory)

    assert not look(remover.clients, "fleet").identifier
    assert remover.events[-1].status == "DELETE_COMPLETE"
    assert inventory.bucket in remover.buckets()
    assert CODE_BUCKET not in remover.buckets()


def test_another_fleets_code_stays_with_its_bucket(remover: Remover) -> None:
    remover.deploy()
    remover.deploy("other")
    inventory = remover.inventory()

    remove_stack(remover.clients, inventory.stack, remover.events.append)
    remove_code(remover.clients, inventory)

    left = remover.clients.s3.list_objects_v2(Bucket=CODE_BUCKET)["Contents"]
    assert {item["Key"].split("/")[0] for item in left} == {"other"}


def test_a_second_removal_finds_nothing(remover: Remover) -> None:
    remover.deploy()
    inventory = remover.inventory()
    remove_stack(remover.clients, inventory.stack, remover.events.append)
    remove_code(remover.clients, inventory)

    assert remover.inventory().is_empty


def test_code_that_an_interrupted_removal_left_is_found_without_the_stack(remover: Remover) -> None:
    remover.deploy()
    remove_stack(remover.clients, remover.inventory().stack, remover.events.append)

    left = remover.inventory()
    assert not left.stack.identifier
    assert len(left.code_keys) == 4
    remove_code(remover.clients, left)

    assert remover.inventory().is_empty


def test_told_so_every_version_of_every_recording_goes_with_the_bucket(remover: Remover) -> None:
    remover.deploy()
    inventory = remover.inventory()
    s3 = remover.clients.s3
    s3.put_bucket_versioning(Bucket=inventory.bucket, VersioningConfiguration={"Status": "Enabled"})
    for key in ("a", "a", "b"):
        s3.put_object(Bucket=inventory.bucket, Key=key, Body=b"x")
    s3.delete_object(Bucket=inventory.bucket, Key="b")
    counts: list[int] = []

    remove_recordings(remover.clients, remover.account, inventory.bucket, counts.append)

    assert sum(counts) == 4
    assert inventory.bucket not in remover.buckets()


def test_a_run_in_progress_is_not_ended_unless_forced(remover: Remover) -> None:
    remover.deploy()
    inventory = remover.inventory()
    (instance,) = inventory.running

    with pytest.raises(DeploymentError, match=f"{instance}.*\n.*--force"):
        check_removable(inventory, force=False, delete_data=False)

    check_removable(inventory, force=True, delete_data=False)
    remover.stop_instances()
    check_removable(remover.inventory(), force=False, delete_data=False)


def test_a_bucket_that_the_stack_did_not_make_is_never_deleted(remover: Remover) -> None:
    remover.deploy(ExistingBucketName="recordings")
    remover.stop_instances()

    with pytest.raises(DeploymentError, match="did not make the bucket recordings"):
        check_removable(remover.inventory(), force=False, delete_data=True)


def test_a_stack_that_somebody_works_on_is_left_alone(remover: Remover, answers: "Answers") -> None:
    remover.deploy()
    stack: dict[str, Any] = {"StackName": "fleet", "StackId": "arn", "StackStatus": "UPDATE_IN_PROGRESS"}
    remover.stop_instances()
    answers.by_operation["DescribeStacks"] = {"Stacks": [stack]}
    answers.by_operation["ListStackResources"] = {"StackResourceSummaries": []}

    with pytest.raises(DeploymentError, match="UPDATE_IN_PROGRESS"):
        check_removable(remover.inventory(), force=True, delete_data=False)


def test_what_is_said_to_stay_is_what_the_template_retains(template: dict[str, Any]) -> None:
    retained = {
        resource["Type"]
        for resource in template["Resources"].values()
        if resource.get("DeletionPolicy", "Delete").startswith("Retain")
    }
    assert retained == KEPT_TYPES
