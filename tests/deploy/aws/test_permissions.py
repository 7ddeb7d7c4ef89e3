"""The policy for the person who deploys covers the calls that the commands make, and nothing that they do not."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import deploy.aws
from deploy.aws.artefacts import Builders
from deploy.aws.clients import Account, DeployClients, identify
from deploy.aws.deploying import Request, proposed
from deploy.aws.permissions import ACTIONS
from deploy.aws.removing import remove_code, remove_recordings, remove_stack, take_inventory

if TYPE_CHECKING:
    from tests.deploy.aws.conftest import Answers

POLICY = Path(deploy.aws.__file__).parent / "deployer-policy.json"
# CloudFormation type -> IAM's name of its service, where it is not the second part of the type in lower case.
SERVICES = {"AWS::AutoScaling": "autoscaling"}
# No call has this name: deleting one version of an object is a different permission than deleting the newest.
WITHOUT_A_CALL = {"s3:DeleteObjectVersion"}


def allowed(prefix: str) -> set[str]:
    """The actions of the policy's statements whose names begin with the prefix."""
    statements: list[dict[str, Any]] = json.loads(POLICY.read_text())["Statement"]
    return {action for one in statements if one["Sid"].startswith(prefix) for action in one["Action"]}


def test_the_calls_of_a_fleets_whole_life_are_what_the_policy_allows_the_commands(
    clients: DeployClients, account: Account, builders: Builders, answers: "Answers"
) -> None:
    assert identify(clients).number == account.number
    for request in (
        Request("fleet", dry_run=True, builders=builders),
        Request("fleet", builders=builders),
        Request("fleet", {"ExistingInstanceIds": ""}, builders=builders),
    ):
        with proposed(clients, account, request, lambda _: None) as proposal:
            if not request.dry_run:
                proposal.execute(clients, lambda _: None)
    inventory = take_inventory(clients, account, "fleet", "")
    clients.s3.put_object(Bucket=inventory.bucket, Key="recording", Body=b"")
    remove_stack(clients, inventory.stack, lambda _: None)
    remove_code(clients, inventory)
    remove_recordings(clients, account, inventory.bucket, lambda _: None)

    made = set(answers.operations)
    assert made == set(ACTIONS)
    assert {ACTIONS[operation] for operation in made} == allowed("Command") - WITHOUT_A_CALL


def test_every_type_of_resource_in_the_template_has_its_service_in_the_policy(template: dict[str, Any]) -> None:
    types = {resource["Type"] for resource in template["Resources"].values()}
    services = {kind.split("::")[1].lower() for kind in types}
    assert services == {action.split(":")[0] for action in allowed("Stack")}


def test_the_policy_fits_into_one_managed_policy() -> None:
    # "IAM and AWS STS quotas": 6,144 characters, white space not counted.
    assert len("".join(POLICY.read_text().split())) <= 6144
