"""A fleet whose every process runs under its own role, before a cloud that checks permissions.

Policies are read back from what was deployed, whatever the template calls its statements and however many there are.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from deploy.local.cloud import EmbeddedCloud, LocalStack, embedded_cloud
from deploy.local.lambdas import LambdaRuntime, deployed_functions
from deploy.local.supervisor import Supervisor
from shared.clock import SystemClock
from shared.state.ledger import Ledger
from tests.iam.harness.emulator import GuardedCloud, in_emulators_words
from tests.iam.harness.evaluator import Statement, listed
from tests.iam.harness.gate import Gate, standing

if TYPE_CHECKING:
    from mypy_boto3_autoscaling import AutoScalingClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 1})  # no refusal is worth a second try


class CloudWorld:
    """What the emulator says of instances and groups; asked as the operator, beside the gate."""

    def __init__(self, cloud: EmbeddedCloud) -> None:
        self._ec2 = cloud.ec2()
        self._autoscaling = cloud.autoscaling()

    def instance_tags(self, instance_id: str) -> Mapping[str, str]:
        filters: Any = [{"Name": "instance-id", "Values": [instance_id]}]
        answer = self._ec2.describe_instances(Filters=filters)
        found = [instance for group in answer["Reservations"] for instance in group["Instances"]]
        return {tag["Key"]: tag["Value"] for instance in found for tag in instance.get("Tags", [])}

    def group(self, *, name: str = "", member: str = "") -> tuple[str, Mapping[str, str]]:
        for group in self._autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"]:
            members = {instance["InstanceId"] for instance in group["Instances"]}
            if name == group["AutoScalingGroupName"] or member in members:
                return group["AutoScalingGroupARN"], {tag["Key"]: tag["Value"] for tag in group["Tags"]}
        return "*", {}


@dataclass(slots=True)
class GuardedFleet:
    """A deployed fleet behind the gate.

    Attributes:
        policies: component -> the statements of its role, as deployed.
        roles: component -> the ARN of its role.
        functions: component -> its running function.
        s3, sqs, ec2, autoscaling, ledger: the operator's.
    """

    cloud: GuardedCloud
    stack: LocalStack
    gate: Gate
    policies: Mapping[str, Sequence[Statement]]
    roles: Mapping[str, str]
    logs: Path
    functions: Mapping[str, LambdaRuntime] = field(default_factory=dict)
    s3: "S3Client" = field(init=False)
    sqs: "SQSClient" = field(init=False)
    ec2: "EC2Client" = field(init=False)
    autoscaling: "AutoScalingClient" = field(init=False)
    ledger: Ledger = field(init=False)

    def __post_init__(self) -> None:
        self.s3, self.sqs, self.ec2 = self.cloud.s3(), self.cloud.sqs(), self.cloud.ec2()
        self.autoscaling = self.cloud.autoscaling()
        self.ledger = Ledger(self.cloud.dynamodb(), self.stack.settings(), SystemClock())

    @contextmanager
    def working(self) -> Iterator[None]:
        """Let the fleet's processes run, with the emulator checking their permissions beside the gate."""
        with ExitStack() as parts:
            # Before the checks begin: the emulator computes the signatures of Lambda's API wrongly and refuses its
            # calls, and it stumbles over roles that are for AWS's services to take.
            functions = parts.enter_context(deployed_functions(self.cloud, self.stack, self.logs))
            self.functions = {name.rsplit("-", 1)[-1]: runtime for name, runtime in functions.items()}
            for instance in self.stack.instance_ids:
                self.cloud.role_environment(self.roles["worker"], instance)
            for component, statements in self.policies.items():
                _write_policy(self.cloud, self.roles[component], statements)
            self.cloud.check_permissions()
            parts.enter_context(Supervisor(self.cloud, self.logs).running())
            yield

    def client(self, component: str, service: str, session_name: str = "") -> Any:
        """A client in this process that has a component's role, and goes through the gate like its own calls.

        Args:
            session_name: without one, the component's only session so far.
        """
        if not session_name:
            (session_name,) = {c.session_name for c in self.gate.callers.values() if c.component == component}
        variables = self.cloud.role_environment(self.roles[component], session_name)
        session: Any = boto3.Session(  # whose stubs want each service by its name
            variables["AWS_ACCESS_KEY_ID"],
            variables["AWS_SECRET_ACCESS_KEY"],
            variables["AWS_SESSION_TOKEN"],
            region_name=variables["AWS_REGION"],
        )
        return session.client(service, endpoint_url=variables["AWS_ENDPOINT_URL"], config=_CONFIG)

    @contextmanager
    def emulated_without(self, component: str, action: str) -> Iterator[None]:
        """Take the statements that name an action from a role in the emulator; the gate keeps them."""
        kept = [s for s in self.policies[component] if action not in listed(s["Action"])]
        assert len(kept) < len(self.policies[component])
        _write_policy(self.cloud, self.roles[component], kept)
        try:
            yield
        finally:
            _write_policy(self.cloud, self.roles[component], self.policies[component])


@contextmanager
def guarded_fleet(workspace: Path, parameters: Mapping[str, str]) -> Iterator[GuardedFleet]:
    """Deploy the stack, and let the gate stand before it."""
    with embedded_cloud(workspace, workspace) as open_cloud:
        stack = open_cloud.deploy(parameters)
        roles = _roles(open_cloud)
        policies = {component: role_policies(open_cloud, arn) for component, arn in roles.items()}
        cloud = GuardedCloud(open_cloud, {arn: component for component, arn in roles.items()})
        gate = cloud.gate = Gate(CloudWorld(cloud), policies)
        with standing(gate, cloud.endpoint):
            yield GuardedFleet(cloud, stack, gate, policies, roles, workspace)


def role_policies(cloud: EmbeddedCloud, role_arn: str) -> list[Statement]:
    """All statements of a role, as deployed."""
    iam, role = cloud.iam(), role_arn.rsplit("/", 1)[-1]
    # A managed policy is AWS's or somebody else's to change: what it allows tomorrow nobody here can say.
    assert not iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    documents: list[Any] = [iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names]
    return [statement for document in documents for statement in document["Statement"]]


def _roles(cloud: EmbeddedCloud) -> dict[str, str]:
    """Component -> the role that it runs under: of a function as configured, of a worker by its instance's profile."""
    functions = cloud.lambdas().list_functions()["Functions"]
    roles = {function["FunctionName"].rsplit("-", 1)[-1]: function["Role"] for function in functions}
    (profile,) = cloud.iam().list_instance_profiles()["InstanceProfiles"]
    (role,) = profile["Roles"]
    return roles | {"worker": role["Arn"]}


def _write_policy(cloud: EmbeddedCloud, role_arn: str, statements: Sequence[Statement]) -> None:
    """Put the statements, in the emulator's words, in place of all policies of the role."""
    iam, role = cloud.iam(), role_arn.rsplit("/", 1)[-1]
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        iam.delete_role_policy(RoleName=role, PolicyName=name)
    document = {"Version": "2012-10-17", "Statement": [in_emulators_words(statement) for statement in statements]}
    iam.put_role_policy(RoleName=role, PolicyName="own", PolicyDocument=json.dumps(document))
