"""A fleet is made, found unchanged, changed and looked at, in an account on moto."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from deploy.aws.artefacts import Builders
from deploy.aws.clients import Account, DeployClients
from deploy.aws.deploying import Proposal, Request, proposed
from deploy.aws.problems import DeploymentError
from deploy.aws.progress import Event
from deploy.aws.stack import StackState, look
from shared.errors import ConfigurationError

if TYPE_CHECKING:
    from tests.deploy.aws.conftest import Answers

BUCKET = "scribefleet-code-123456789012-us-east-1"


class Deployer:
    """Deploys with the same account and packages each time."""

    def __init__(self, clients: DeployClients, account: Account, builders: Builders) -> None:
        self.clients = clients
        self.account = account
        self.builders = builders
        self.events: list[Event] = []
        self.steps: list[str] = []

    def deploy(self, fleet: str = "fleet", *, email: str = "", code_bucket: str = "", **given: str) -> StackState:
        request = Request(fleet, given, email, code_bucket, builders=self.builders)
        with proposed(self.clients, self.account, request, self.steps.append) as proposal:
            return proposal.execute(self.clients, self.events.append)

    def look(self, fleet: str = "fleet", **given: str) -> Proposal:
        request = Request(fleet, given, dry_run=True, builders=self.builders)
        with proposed(self.clients, self.account, request, self.steps.append) as proposal:
            return proposal

    def code_keys(self) -> list[str]:
        found = self.clients.s3.list_objects_v2(Bucket=BUCKET)
        return [item["Key"] for item in found.get("Contents", [])]


@pytest.fixture
def deployer(clients: DeployClients, account: Account, builders: Builders) -> Deployer:
    return Deployer(clients, account, builders)


def test_given_nothing_but_credentials_a_fleet_is_made_with_what_the_account_has(deployer: Deployer) -> None:
    stack = deployer.deploy()

    assert stack.status == "CREATE_COMPLETE"
    assert stack.outputs["JobsQueueUrl"].endswith("/fleet-jobs")
    assert stack.parameters["ImageId"] == "ami-12c6146b"
    (vpc,) = deployer.clients.ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    assert stack.parameters["VpcId"] == vpc["VpcId"]
    assert deployer.events[-1].ends


def test_the_code_lies_in_a_private_bucket_under_names_of_its_content(deployer: Deployer) -> None:
    stack = deployer.deploy()

    s3 = deployer.clients.s3
    assert all(s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"].values())
    assert s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"]
    assert all(key.startswith("fleet/") for key in deployer.code_keys())
    for parameter in ("ScannerCodeKey", "AutoscalerCodeKey", "HostPackageKey"):
        assert stack.parameters[parameter] in deployer.code_keys()


def test_given_a_fleet_that_is_as_it_should_be_nothing_changes_and_nothing_is_sent(
    deployer: Deployer, answers: "Answers"
) -> None:
    deployer.deploy()
    before = answers.operations.count("PutObject")

    with proposed(
        deployer.clients, deployer.account, Request("fleet", builders=deployer.builders), deployer.steps.append
    ) as proposal:
        assert proposal.change_set is None
        proposal.execute(deployer.clients, deployer.events.append)

    assert answers.operations.count("PutObject") == before
    assert look(deployer.clients, "fleet").status == "CREATE_COMPLETE"


def test_an_update_changes_what_is_given_and_keeps_what_was_given_before(deployer: Deployer) -> None:
    deployer.deploy(MaxInstances="3", email="someone@example.org")
    stack = deployer.deploy(IdleLimitSeconds="600")

    assert stack.status == "UPDATE_COMPLETE"
    assert stack.parameters["MaxInstances"] == "3"
    assert stack.parameters["AlarmEmail"] == "someone@example.org"
    assert stack.parameters["IdleLimitSeconds"] == "600"


def test_an_update_asks_for_the_old_values_by_name_and_not_by_copy(deployer: Deployer, answers: "Answers") -> None:
    deployer.deploy()
    deployer.deploy(IdleLimitSeconds="600")

    (_, update) = [params for operation, params in answers.calls if operation == "CreateChangeSet"]
    sent = {item["ParameterKey"]: item for item in update["Parameters"]}
    assert sent["ImageId"] == {"ParameterKey": "ImageId", "UsePreviousValue": True}
    assert sent["SubnetIds"] == {"ParameterKey": "SubnetIds", "UsePreviousValue": True}
    assert sent["IdleLimitSeconds"] == {"ParameterKey": "IdleLimitSeconds", "ParameterValue": "600"}


def test_a_newer_ami_is_not_taken_by_an_update(deployer: Deployer, answers: "Answers") -> None:
    deployer.deploy()
    asked = answers.operations.count("GetParameter")

    deployer.deploy(IdleLimitSeconds="600")

    assert answers.operations.count("GetParameter") == asked


def test_a_dry_run_of_a_new_fleet_shows_its_resources_and_leaves_nothing(deployer: Deployer) -> None:
    proposal = deployer.look()

    assert {"JobsQueue", "ScannerFunction", "Ledger"} <= {change.resource for change in proposal.changes}
    assert {change.action for change in proposal.changes} == {"Add"}
    assert not look(deployer.clients, "fleet").identifier
    assert BUCKET not in [bucket["Name"] for bucket in deployer.clients.s3.list_buckets()["Buckets"]]
    assert deployer.clients.cloudformation.list_change_sets(StackName="fleet")["Summaries"] == []


def test_a_dry_run_of_an_update_leaves_the_fleet_and_the_bucket_as_they_are(deployer: Deployer) -> None:
    deployer.deploy()
    before, keys = look(deployer.clients, "fleet"), deployer.code_keys()

    proposal = deployer.look(IdleLimitSeconds="600")

    assert proposal.change_set
    assert look(deployer.clients, "fleet") == before
    assert deployer.code_keys() == keys


def test_a_proposal_that_nobody_executes_leaves_no_stack(deployer: Deployer) -> None:
    request = Request("fleet", builders=deployer.builders)
    with proposed(deployer.clients, deployer.account, request, deployer.steps.append) as proposal:
        assert look(deployer.clients, "fleet").status == "REVIEW_IN_PROGRESS"

    assert proposal.change_set
    assert not look(deployer.clients, "fleet").identifier


def test_a_name_that_s3_still_holds_back_is_waited_for(deployer: Deployer, answers: "Answers") -> None:
    busy = ClientError({"Error": {"Code": "OperationAborted", "Message": "A conflicting operation"}}, "CreateBucket")
    answers.by_operation["CreateBucket"] = busy
    started = deployer.clients.clock.monotonic()

    with pytest.raises(ClientError, match="OperationAborted"):
        deployer.deploy()

    assert 120 <= deployer.clients.clock.monotonic() - started < 130


def test_an_own_ami_brings_its_root_device_and_no_installation(deployer: Deployer) -> None:
    deployer.deploy()
    (image,) = deployer.clients.ec2.describe_images(ImageIds=["ami-760aaa0f"])["Images"]

    stack = deployer.deploy(ImageId="ami-760aaa0f")

    assert stack.parameters["RootDeviceName"] == image["RootDeviceName"]
    assert stack.parameters["HostPackageKey"] == ""


def test_a_change_of_the_host_alone_gives_the_hosts_another_package_and_the_functions_the_same(
    deployer: Deployer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = deployer.deploy()
    monkeypatch.setattr("deploy.aws.host_package._OWN_FILES", ("pyproject.toml",))

    second = deployer.deploy()

    assert second.parameters["HostPackageKey"] != first.parameters["HostPackageKey"]
    assert second.parameters["ScannerCodeKey"] == first.parameters["ScannerCodeKey"]


def test_another_bucket_for_the_code_is_made_and_remembered(deployer: Deployer) -> None:
    deployer.deploy(code_bucket="our-own-code")
    stack = deployer.deploy(IdleLimitSeconds="600")

    assert stack.parameters["CodeBucket"] == "our-own-code"
    assert BUCKET not in [bucket["Name"] for bucket in deployer.clients.s3.list_buckets()["Buckets"]]


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"MaxInstance": "2"}, ["MaxInstances"]),
        ({"ImageId": "ami-0000000000000dead"}, ["ami-0000000000000dead", "us-east-1"]),
        ({"SubnetIds": "subnet-0000dead"}, ["subnet-0000dead", "describe-subnets"]),
        ({"ExistingInstanceIds": "i-0123456789abcdef0"}, ["i-0123456789abcdef0", "describe-instances"]),
        ({"ExistingBucketName": "no-such-recordings"}, ["no-such-recordings", "leave ExistingBucketName out"]),
        ({"InstanceType": "g9z.xlarge"}, ["g9z.xlarge", "InstanceType"]),
    ],
)
def test_what_was_given_and_does_not_exist_is_named_with_a_remedy(
    deployer: Deployer, given: dict[str, str], names: Sequence[str]
) -> None:
    with pytest.raises(DeploymentError) as refused:
        deployer.deploy(**given)

    assert all(name in str(refused.value) for name in names)
    assert not look(deployer.clients, "fleet").identifier


def test_without_a_default_vpc_the_remedy_says_how_to_get_one(deployer: Deployer, answers: "Answers") -> None:
    answers.by_operation["DescribeVpcs"] = {"Vpcs": []}
    with pytest.raises(DeploymentError, match="create-default-vpc"):
        deployer.deploy()


def test_without_a_gpu_quota_nothing_is_made_and_the_request_for_one_is_shown(
    deployer: Deployer, answers: "Answers"
) -> None:
    answers.by_operation["GetServiceQuota"] = {"Quota": {"Value": 0.0}}

    with pytest.raises(DeploymentError, match=r"request-service-quota-increase .*L-DB2E81BA --desired-value 4"):
        deployer.deploy()

    assert not look(deployer.clients, "fleet").identifier


def test_a_quota_that_cannot_be_read_is_said_and_not_in_the_way(deployer: Deployer, answers: "Answers") -> None:
    del answers.by_operation["GetServiceQuota"]  # moto has none of EC2's

    proposal = deployer.look()

    assert any("could not be checked" in note for note in proposal.notes)


def test_a_quota_for_fewer_instances_than_wanted_is_a_note(deployer: Deployer) -> None:
    proposal = deployer.look(PoolSize="4")
    assert any("which is 2 g4dn.xlarge and not 4" in note for note in proposal.notes)


def test_a_new_account_with_little_lambda_concurrency_reserves_none(deployer: Deployer, answers: "Answers") -> None:
    answers.by_operation["GetAccountSettings"] = {
        "AccountLimit": {"ConcurrentExecutions": 10, "UnreservedConcurrentExecutions": 10}
    }
    stack = deployer.deploy()
    assert stack.parameters["ReserveAutoscalerConcurrency"] == "false"


def test_a_code_bucket_of_somebody_else_is_not_used(deployer: Deployer, answers: "Answers") -> None:
    answers.by_operation["HeadBucket"] = ClientError({"Error": {"Code": "403", "Message": "Forbidden"}}, "HeadBucket")

    with pytest.raises(DeploymentError, match="--code-bucket"):
        deployer.deploy()

    assert "PutObject" not in answers.operations


def test_every_call_to_the_code_bucket_names_the_owner_that_it_expects(deployer: Deployer, answers: "Answers") -> None:
    deployer.deploy()
    sent = [params for operation, params in answers.calls if operation in {"HeadBucket", "HeadObject", "PutObject"}]
    assert sent
    assert {params.get("ExpectedBucketOwner") for params in sent} == {"123456789012"}


def test_the_deployments_own_parameters_cannot_be_given(deployer: Deployer) -> None:
    with pytest.raises(ConfigurationError, match="ScannerCodeKey"):
        deployer.deploy(ScannerCodeKey="mine.zip")
    with pytest.raises(ConfigurationError, match="--fleet"):
        deployer.deploy(FleetName="other")


def test_changes_are_values_that_a_machine_can_read(deployer: Deployer) -> None:
    change = deployer.look().changes[0].as_dict()
    assert json.loads(json.dumps(change))["action"] == "Add"
