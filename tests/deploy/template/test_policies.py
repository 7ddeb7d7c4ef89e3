"""What each component's role allows, with the policies as they are after deployment.

The emulator ignores conditions, so they are compared as written.
"""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import pytest

from shared.formats.layout import LOCK_KEY, PENDING_JOBS_KEY, REPORTS_PREFIX, session_path, transcript_key

if TYPE_CHECKING:
    from tests.deploy.conftest import Deploy, Fleet

pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse AWS")

ROLES = {"scanner": "ScannerRole", "autoscaler": "AutoscalerRole", "worker": "WorkerRole"}
READING = ("Get", "List", "Describe", "BatchGet", "Query", "Scan")
SESSION = session_path("user one", "séance/1")


# A shell on the host without SSH; AWS knows no resources for these five.
SESSION_MANAGER = {
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
}
WRITING_LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}


@pytest.fixture(scope="module")
def pool(deploy_fleet: "Deploy") -> "Fleet":
    return deploy_fleet("guarded")


@pytest.fixture(scope="module")
def group(deploy_fleet: "Deploy") -> "Fleet":
    return deploy_fleet("guarded-group", CapacityProvider="asg", HostPackageKey="host/1.tar.gz")


@pytest.fixture(params=["pool", "group"])
def fleet(request: pytest.FixtureRequest) -> "Fleet":
    chosen: Fleet = request.getfixturevalue(request.param)
    return chosen


def listed(value: Any) -> list[str]:
    """IAM takes one text or a list of them."""
    return [value] if isinstance(value, str) else list(value)


def statements(fleet: "Fleet", component: str) -> list[dict[str, Any]]:
    iam = fleet.aws("iam")
    role = fleet.physical[ROLES[component]]
    names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    policies = [iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names]
    return [statement for policy in policies for statement in policy["Statement"]]


def grants(fleet: "Fleet", component: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Each action and resource that a role allows, and under which condition."""
    for statement in statements(fleet, component):
        for action in listed(statement["Action"]):
            for resource in listed(statement["Resource"]):
                yield action, resource, statement.get("Condition", {})


def actions(fleet: "Fleet", component: str) -> set[str]:
    return {action for action, _, _ in grants(fleet, component)}


def may(fleet: "Fleet", component: str, action: str, resource: str) -> bool:
    """Whether some statement allows it; conditions are taken as met."""
    return any(action == a and fnmatchcase(resource, r) for a, r, _ in grants(fleet, component))


def key_arn(fleet: "Fleet", key: str) -> str:
    return f"arn:aws:s3:::{fleet.outputs['BucketName']}/{key}"


def queue_arn(fleet: "Fleet", output: str) -> str:
    sqs = fleet.aws("sqs")
    answer = sqs.get_queue_attributes(QueueUrl=fleet.outputs[output], AttributeNames=["QueueArn"])
    arn: str = answer["Attributes"]["QueueArn"]
    return arn


@pytest.mark.parametrize("component", ROLES)
def test_no_role_may_change_just_anything(fleet: "Fleet", component: str) -> None:
    everything = [grant for grant in grants(fleet, component) if grant[0] not in SESSION_MANAGER]
    changing = [grant for grant in everything if not grant[0].split(":")[1].startswith(READING)]

    assert changing
    for action, resource, condition in changing:
        # arn:aws:service:region:account:what
        what = resource.split(":", 5)[-1]
        assert "*" not in action
        assert resource.startswith("arn:aws:")
        assert what not in {"", "*"}
        if what == "instance/*":
            assert condition["StringEquals"]["aws:ResourceTag/scribefleet:fleet"] == fleet.name, action
        if action.startswith("autoscaling:"):
            assert what.endswith(f":autoScalingGroupName/{fleet.outputs['AutoScalingGroupName']}")
            assert condition["StringEquals"]["autoscaling:ResourceTag/scribefleet:fleet"] == fleet.name, action


@pytest.mark.parametrize("component", ROLES)
def test_reading_everything_is_allowed_only_where_aws_knows_no_resources(fleet: "Fleet", component: str) -> None:
    everything = {action for action, resource, _ in grants(fleet, component) if resource == "*"}

    assert everything <= {"ec2:DescribeInstances", "autoscaling:DescribeAutoScalingGroups"} | SESSION_MANAGER


EVERY_AUTOSCALER = {
    *("s3:ListBucket", "s3:GetObject", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"),
    *("dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:PutItem"),
    *("ec2:DescribeInstances", "ec2:RebootInstances", "ec2:CreateTags"),
} | WRITING_LOGS
EVERY_WORKER = (
    {
        *("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:SendMessage"),
        *("s3:ListBucket", "s3:GetObject", "s3:PutObject", "dynamodb:UpdateItem", "ec2:DescribeInstances"),
        "sns:Publish",
    }
    | WRITING_LOGS
    | SESSION_MANAGER
)


def test_a_scanner_may_make_its_calls_and_no_more(fleet: "Fleet") -> None:
    assert actions(fleet, "scanner") == {
        *("s3:ListBucket", "s3:GetObject", "s3:PutObject", "dynamodb:UpdateItem"),
        *("sqs:SendMessage", "sqs:GetQueueAttributes", "sns:Publish", *WRITING_LOGS),
    }


def test_a_pools_autoscaler_and_workers_may_make_their_calls_and_no_more(pool: "Fleet") -> None:
    assert actions(pool, "autoscaler") == EVERY_AUTOSCALER | {
        "ec2:StartInstances",
        "ec2:StopInstances",
        "ec2:DeleteTags",
    }
    assert actions(pool, "worker") == EVERY_WORKER | {"ec2:StopInstances"}


def test_a_groups_autoscaler_and_workers_may_make_their_calls_and_no_more(group: "Fleet") -> None:
    leaving = "autoscaling:TerminateInstanceInAutoScalingGroup"

    assert actions(group, "autoscaler") == EVERY_AUTOSCALER | {
        "autoscaling:DescribeAutoScalingGroups",
        "autoscaling:SetDesiredCapacity",
        leaving,
    }
    assert actions(group, "worker") == EVERY_WORKER | {"autoscaling:SetInstanceProtection", leaving}


@pytest.mark.parametrize(
    ("component", "action", "key", "allowed"),
    [
        ("scanner", "s3:GetObject", LOCK_KEY, True),
        ("scanner", "s3:PutObject", LOCK_KEY, False),
        ("scanner", "s3:PutObject", PENDING_JOBS_KEY, True),
        ("scanner", "s3:PutObject", f"{REPORTS_PREFIX}batch-2026-01-01-0000.json", True),
        ("scanner", "s3:GetObject", f"{SESSION}/chunk-001.webm", False),
        ("scanner", "s3:PutObject", f"{SESSION}/chunk-001.webm", False),
        ("scanner", "s3:GetObject", transcript_key(SESSION, "001"), True),
        ("scanner", "s3:PutObject", transcript_key(SESSION, "001"), False),
        ("scanner", "s3:GetObject", f"{SESSION}/transcription.json", True),
        ("scanner", "s3:PutObject", f"{SESSION}/transcription.srt", True),
        ("scanner", "s3:GetObject", f"{SESSION}/metadata.json", True),
        ("scanner", "s3:PutObject", f"{SESSION}/metadata.json", True),
        ("autoscaler", "s3:GetObject", LOCK_KEY, True),
        ("autoscaler", "s3:PutObject", LOCK_KEY, False),
        ("autoscaler", "s3:GetObject", f"{SESSION}/chunk-001.webm", False),
        ("worker", "s3:GetObject", LOCK_KEY, True),
        ("worker", "s3:PutObject", LOCK_KEY, False),
        ("worker", "s3:GetObject", PENDING_JOBS_KEY, True),
        ("worker", "s3:PutObject", PENDING_JOBS_KEY, False),
        ("worker", "s3:GetObject", f"{SESSION}/chunk-001.webm", True),
        ("worker", "s3:PutObject", f"{SESSION}/chunk-001.webm", False),
        ("worker", "s3:GetObject", transcript_key(SESSION, "1234"), True),
        ("worker", "s3:PutObject", transcript_key(SESSION, "1234"), True),
        ("worker", "s3:PutObject", f"{SESSION}/metadata.json", True),
        ("worker", "s3:PutObject", f"{REPORTS_PREFIX}batch-2026-01-01-0000-i-1.html", True),
    ],
)
def test_a_role_reads_and_writes_only_its_own_objects(
    fleet: "Fleet", component: str, action: str, key: str, allowed: bool
) -> None:
    assert may(fleet, component, action, key_arn(fleet, key)) is allowed


@pytest.mark.parametrize(
    ("component", "action", "queues"),
    [
        ("scanner", "sqs:SendMessage", {"JobsQueueUrl"}),
        ("scanner", "sqs:GetQueueAttributes", {"JobsQueueUrl"}),
        ("autoscaler", "sqs:GetQueueAttributes", {"JobsQueueUrl", "PriorityQueueUrl"}),
        ("autoscaler", "sqs:ReceiveMessage", {"JobsQueueUrl", "PriorityQueueUrl"}),
        ("worker", "sqs:ReceiveMessage", {"JobsQueueUrl", "PriorityQueueUrl"}),
        ("worker", "sqs:DeleteMessage", {"JobsQueueUrl", "PriorityQueueUrl"}),
        ("worker", "sqs:ChangeMessageVisibility", {"JobsQueueUrl", "PriorityQueueUrl"}),
        ("worker", "sqs:SendMessage", {"DeadLetterQueueUrl"}),
    ],
)
def test_a_role_uses_only_its_own_queues(fleet: "Fleet", component: str, action: str, queues: set[str]) -> None:
    outputs = ("JobsQueueUrl", "PriorityQueueUrl", "DeadLetterQueueUrl")

    assert {output for output in outputs if may(fleet, component, action, queue_arn(fleet, output))} == queues


@pytest.mark.parametrize("component", ["scanner", "autoscaler", "worker"])
def test_a_missing_lock_answers_404_to_every_component(fleet: "Fleet", component: str) -> None:
    # S3 says 403 for a missing object to who may not list the bucket, and what cannot be read counts as held.
    assert may(fleet, component, "s3:ListBucket", f"arn:aws:s3:::{fleet.outputs['BucketName']}")


@pytest.mark.parametrize("component", ROLES)
def test_a_component_writes_only_its_own_logs(fleet: "Fleet", component: str) -> None:
    resources = {resource for action, resource, _ in grants(fleet, component) if action.startswith("logs:")}

    group = f"/scribefleet/{fleet.name}/worker" if component == "worker" else f"/aws/lambda/{fleet.name}-{component}"
    assert resources == {f"arn:aws:logs:us-east-1:123456789012:log-group:{group}:*"}


def test_a_workers_logs_go_where_the_output_says(fleet: "Fleet") -> None:
    groups = fleet.aws("logs").describe_log_groups(logGroupNamePrefix=fleet.outputs["WorkerLogGroupName"])["logGroups"]

    assert [group["logGroupName"] for group in groups] == [f"/scribefleet/{fleet.name}/worker"]


def test_a_worker_reads_the_host_package_and_no_other_code(pool: "Fleet", group: "Fleet") -> None:
    package = "arn:aws:s3:::lambda-code/host/1.tar.gz"

    assert may(group, "worker", "s3:GetObject", package)
    assert not may(group, "worker", "s3:GetObject", "arn:aws:s3:::lambda-code/scanner.zip")
    assert not may(pool, "worker", "s3:GetObject", package)


def marking(fleet: "Fleet", action: str) -> list[list[str]]:
    """The tags that each of the autoscaler's statements lets it write or delete."""
    found = []
    for granted, _, condition in grants(fleet, "autoscaler"):
        if granted == action:
            assert condition["StringEquals"] == {"aws:ResourceTag/scribefleet:fleet": fleet.name}
            # ForAllValues is true of a call without keys, which would delete every tag.
            assert condition["Null"] == {"aws:TagKeys": "false"}
            found.append(condition["ForAllValues:StringEquals"]["aws:TagKeys"])
    return found


def test_the_autoscaler_marks_instances_of_the_fleet_and_cannot_touch_another_tag(
    pool: "Fleet", group: "Fleet"
) -> None:
    suspect, owned = ["scribefleet:suspect-since", "scribefleet:rebooted-at"], ["scribefleet:started-at"]

    assert sorted(marking(pool, "ec2:CreateTags")) == sorted([suspect, owned])
    assert marking(pool, "ec2:DeleteTags") == [owned]
    assert marking(group, "ec2:CreateTags") == [suspect]
    assert marking(group, "ec2:DeleteTags") == []


def test_the_autoscaler_writes_its_own_record_and_no_other_item_of_the_ledger(fleet: "Fleet") -> None:
    (condition,) = [condition for action, _, condition in grants(fleet, "autoscaler") if action == "dynamodb:PutItem"]

    assert condition == {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["autoscaler"]}}


def test_a_pools_worker_stops_nothing_but_itself(pool: "Fleet") -> None:
    (condition,) = [condition for action, _, condition in grants(pool, "worker") if action == "ec2:StopInstances"]

    assert condition == {
        "StringEquals": {
            "aws:ResourceTag/scribefleet:fleet": pool.name,
            "aws:ARN": "${ec2:SourceInstanceARN}",
        }
    }


@pytest.mark.parametrize(
    ("component", "service"),
    [("scanner", "lambda.amazonaws.com"), ("autoscaler", "lambda.amazonaws.com"), ("worker", "ec2.amazonaws.com")],
)
def test_a_role_is_taken_only_by_the_service_that_runs_its_component(
    fleet: "Fleet", component: str, service: str
) -> None:
    role = fleet.aws("iam").get_role(RoleName=fleet.physical[ROLES[component]])["Role"]

    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert (statement["Principal"], statement["Action"]) == ({"Service": service}, "sts:AssumeRole")
