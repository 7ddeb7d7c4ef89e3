"""What a deployed fleet consists of, looked up in the services themselves.

The emulator skips resource types that it does not know and calls the stack complete, hence a look for each resource.
Instances and groups are looked at in test_template_hosts.py.
"""

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from shared.settings import Settings, load_settings

if TYPE_CHECKING:
    from tests.deploy.conftest import Deploy, Fleet

pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse AWS")

# Another value than the default for every parameter that is a setting.
CHANGED = {
    "PoolSize": "3",
    "VisibilityTimeoutSeconds": "45",
    "LongPollSeconds": "1",
    "MaxEmptyPolls": "7",
    "QueueRetentionSeconds": "3600",
    "ScanSchedule": "rate(30 minutes)",
    "ScanMinAgeSeconds": "0",
    "ScanFinaliseSeconds": "30",
    "ChunkSeconds": "2.5",
    "LockEnabled": "false",
    "AutoscalerSchedule": "rate(5 minutes)",
    "ReserveAutoscalerConcurrency": "false",
    "MaxInstances": "3",
    "TargetDrainSeconds": "60",
    "Rtfx": "0.5",
    "BootLimitSeconds": "61",
    "IdleLimitSeconds": "62",
    "SilentLimitSeconds": "63",
    "PriceUsdPerHour": "1.25",
    "PowerOffCommand": "",
    "LogRetentionDays": "7",
    "AlarmEmail": "someone@example.com",
}
# What a fleet has only if it is asked for: a group instead of the pool, an installation at the first boot.
OTHER_KINDS = {
    "AutoscalerGroupPolicy",
    "WorkerGroupPolicy",
    "WorkerGroup",
    "StatusCheckFailed",
    "WorkerInstallPolicy",
    "AlarmSubscription",
}
# These are seen in the template alone (test_template_alarms.py, test_template_text.py).
UNKNOWN_TO_THE_EMULATOR = {
    "AWS::CloudWatch::Alarm",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::SNS::Subscription",
    "AWS::SNS::TopicPolicy",
}


@pytest.fixture(scope="module", params=[{}, CHANGED], ids=["defaults", "changed"])
def fleet(request: pytest.FixtureRequest, deploy_fleet: "Deploy") -> "Fleet":
    """A fleet with the template's defaults, which has one instance, and one with all changed, which has three."""
    changes: dict[str, str] = request.param
    return deploy_fleet("changed" if changes else "small", **changes)


def value(fleet: "Fleet", template: Mapping[str, Any], parameter: str) -> str:
    """What holds in the fleet for a parameter: the value given or the default."""
    return str(fleet.parameters.get(parameter, template["Parameters"][parameter].get("Default")))


def queue(fleet: "Fleet", output: str) -> dict[str, str]:
    answer = fleet.aws("sqs").get_queue_attributes(QueueUrl=fleet.outputs[output], AttributeNames=["All"])
    attributes: dict[str, str] = answer["Attributes"]
    return attributes


# How each type's resources are seen in their own service; each raises, or finds nothing, when one is not there.
LOOKS: Mapping[str, Callable[["Fleet", str], object]] = {
    "AWS::CloudWatch::Dashboard": lambda f, i: f.aws("cloudwatch").get_dashboard(DashboardName=i),
    "AWS::DynamoDB::Table": lambda f, i: f.aws("dynamodb").describe_table(TableName=i),
    "AWS::EC2::Instance": lambda f, i: f.aws("ec2").describe_instances(InstanceIds=[i])["Reservations"],
    "AWS::EC2::LaunchTemplate": lambda f, i: f.aws("ec2").describe_launch_templates(LaunchTemplateIds=[i]),
    "AWS::EC2::SecurityGroup": lambda f, i: f.aws("ec2").describe_security_groups(GroupIds=[i]),
    "AWS::Events::Rule": lambda f, i: f.aws("events").describe_rule(Name=i),
    "AWS::IAM::InstanceProfile": lambda f, i: f.aws("iam").get_instance_profile(InstanceProfileName=i),
    "AWS::IAM::Role": lambda f, i: f.aws("iam").get_role(RoleName=i),
    # The emulator cannot describe a key whose policy came from a template.
    "AWS::KMS::Key": lambda f, i: i in {key["KeyId"] for key in f.aws("kms").list_keys()["Keys"]},
    "AWS::Lambda::Function": lambda f, i: f.aws("lambda").get_function(FunctionName=i),
    "AWS::Logs::LogGroup": lambda f, i: f.aws("logs").describe_log_groups(logGroupNamePrefix=i)["logGroups"],
    "AWS::S3::Bucket": lambda f, i: f.aws("s3").head_bucket(Bucket=i),
    "AWS::SNS::Topic": lambda f, i: f.aws("sns").get_topic_attributes(TopicArn=i),
    "AWS::SQS::Queue": lambda f, i: f.aws("sqs").get_queue_attributes(QueueUrl=i, AttributeNames=["QueueArn"]),
}
# These have no id to look them up by: `test_only_its_own_rule_may_invoke_a_function` looks at the permissions,
# test_template_policies.py at the policies, through their role.
WITHOUT_ID = {"AWS::IAM::Policy", "AWS::Lambda::Permission"}


def test_every_resource_of_the_template_is_really_there(fleet: "Fleet", template: dict[str, Any]) -> None:
    wanted = {
        name for name, one in template["Resources"].items() if one["Type"] not in UNKNOWN_TO_THE_EMULATOR
    } - OTHER_KINDS
    wanted -= {f"Instance{number}" for number in range(int(value(fleet, template, "PoolSize")) + 1, 5)}
    assert set(fleet.physical) == wanted

    for logical in sorted(wanted):
        kind = template["Resources"][logical]["Type"]
        physical = fleet.physical[logical]
        if kind not in WITHOUT_ID:
            assert physical, f"{logical} has no id"
            assert LOOKS[kind](fleet, physical), f"{logical} is not there"


def test_the_pool_has_as_many_instances_as_asked_for_and_all_are_tagged(
    fleet: "Fleet", template: dict[str, Any]
) -> None:
    found = fleet.instances()

    assert len(found) == int(value(fleet, template, "PoolSize"))
    assert fleet.outputs["InstanceIds"].split(",") == [one["InstanceId"] for one in found]
    assert {one["InstanceType"] for one in found} == {"g4dn.xlarge"}
    names = {tag["Value"] for one in found for tag in one["Tags"] if tag["Key"] == "Name"}
    assert names == {f"{fleet.name}-worker-{number}" for number in range(1, len(found) + 1)}


@pytest.mark.parametrize("output", ["JobsQueueUrl", "PriorityQueueUrl"])
def test_a_job_queue_leases_and_keeps_messages_as_told_and_hands_killers_to_the_dead_letter_queue(
    fleet: "Fleet", template: dict[str, Any], output: str
) -> None:
    attributes = queue(fleet, output)

    assert attributes["VisibilityTimeout"] == value(fleet, template, "VisibilityTimeoutSeconds")
    assert attributes["MessageRetentionPeriod"] == value(fleet, template, "QueueRetentionSeconds")
    assert attributes["ReceiveMessageWaitTimeSeconds"] == "20"
    assert attributes["SqsManagedSseEnabled"] == "true"
    redrive = json.loads(attributes["RedrivePolicy"])
    assert redrive["deadLetterTargetArn"] == queue(fleet, "DeadLetterQueueUrl")["QueueArn"]
    # Wider than the workers' own count, or SQS would take jobs away before their reason is written.
    assert redrive["maxReceiveCount"] == 10 > Settings.model_fields["max_receives"].default


def test_the_dead_letter_queue_keeps_messages_longest_and_passes_them_on_to_nobody(fleet: "Fleet") -> None:
    attributes = queue(fleet, "DeadLetterQueueUrl")

    assert attributes["MessageRetentionPeriod"] == str(14 * 86_400)
    assert attributes["SqsManagedSseEnabled"] == "true"
    assert "RedrivePolicy" not in attributes


def test_the_ledger_takes_items_by_session_path_and_chunk(fleet: "Fleet") -> None:
    table = fleet.aws("dynamodb").describe_table(TableName=fleet.outputs["TableName"])["Table"]

    assert table["KeySchema"] == [
        {"AttributeName": "sessionPath", "KeyType": "HASH"},
        {"AttributeName": "chunk", "KeyType": "RANGE"},
    ]
    assert {key["AttributeType"] for key in table["AttributeDefinitions"]} == {"S"}
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"


def test_the_new_bucket_is_encrypted(fleet: "Fleet") -> None:
    answer = fleet.aws("s3").get_bucket_encryption(Bucket=fleet.outputs["BucketName"])

    (rule,) = answer["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"


@pytest.mark.parametrize(
    ("output", "handler", "seconds"),
    [
        ("ScannerFunctionName", "producer.handler.handler", 900),
        ("AutoscalerFunctionName", "autoscaler.handler.handler", 50),
    ],
)
def test_a_function_runs_its_components_handler_and_its_logs_expire(
    fleet: "Fleet", template: dict[str, Any], output: str, handler: str, seconds: int
) -> None:
    function = fleet.aws("lambda").get_function_configuration(FunctionName=fleet.outputs[output])
    groups = fleet.aws("logs").describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{fleet.outputs[output]}")

    assert (function["Handler"], function["Runtime"], function["Timeout"]) == (handler, "python3.12", seconds)
    assert [group["retentionInDays"] for group in groups["logGroups"]] == [
        int(value(fleet, template, "LogRetentionDays"))
    ]


def test_one_autoscaler_runs_at_a_time_unless_the_account_cannot_reserve_that(fleet: "Fleet") -> None:
    answer = fleet.aws("lambda").get_function_concurrency(FunctionName=fleet.outputs["AutoscalerFunctionName"])

    reserved = None if fleet.parameters.get("ReserveAutoscalerConcurrency") == "false" else 1
    assert answer.get("ReservedConcurrentExecutions") == reserved


@pytest.mark.parametrize(
    ("output", "schedule", "event"),
    [
        ("ScannerFunctionName", "ScanSchedule", {"enqueue": True}),
        ("AutoscalerFunctionName", "AutoscalerSchedule", None),
    ],
)
def test_a_rule_invokes_the_function_at_its_rate(
    fleet: "Fleet", template: dict[str, Any], output: str, schedule: str, event: object
) -> None:
    events = fleet.aws("events")
    function = fleet.aws("lambda").get_function_configuration(FunctionName=fleet.outputs[output])

    (name,) = events.list_rule_names_by_target(TargetArn=function["FunctionArn"])["RuleNames"]
    rule = events.describe_rule(Name=name)
    (target,) = events.list_targets_by_rule(Rule=name)["Targets"]

    assert (rule["ScheduleExpression"], rule["State"]) == (value(fleet, template, schedule), "ENABLED")
    assert json.loads(target.get("Input", "null")) == event


@pytest.mark.parametrize("output", ["ScannerFunctionName", "AutoscalerFunctionName"])
def test_only_its_own_rule_may_invoke_a_function(fleet: "Fleet", output: str) -> None:
    policy = json.loads(fleet.aws("lambda").get_policy(FunctionName=fleet.outputs[output])["Policy"])
    rule = fleet.aws("events").describe_rule(Name=fleet.outputs[output])

    (statement,) = policy["Statement"]
    assert statement["Action"] == "lambda:InvokeFunction"
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert statement["Condition"] == {"ArnLike": {"AWS:SourceArn": rule["Arn"]}}


@pytest.mark.parametrize("part", ["ScannerFunctionName", "AutoscalerFunctionName", "worker"])
def test_a_parts_variables_are_settings_that_point_at_the_stacks_own_resources(
    fleet: "Fleet", template: dict[str, Any], part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = fleet.worker_environment() if part == "worker" else fleet.function_environment(part)
    for name, text in variables.items():
        monkeypatch.setenv(name, text)

    settings = load_settings()

    ours = {name.removeprefix("SCRIBEFLEET_").lower() for name in variables if name.startswith("SCRIBEFLEET_")}
    assert ours <= set(Settings.model_fields), "Settings ignores names that it does not know"
    assert settings.bucket == fleet.outputs["BucketName"]
    assert settings.jobs_queue_url == fleet.outputs["JobsQueueUrl"]
    assert settings.priority_queue_url == fleet.outputs["PriorityQueueUrl"]
    assert settings.dead_letter_queue_url == fleet.outputs["DeadLetterQueueUrl"]
    assert settings.table_name == fleet.outputs["TableName"]
    assert settings.fleet_name == fleet.name
    assert settings.log_format == "json"
    assert settings.lock_enabled is (value(fleet, template, "LockEnabled") == "true")
    assert settings.price_usd_per_hour == float(value(fleet, template, "PriceUsdPerHour"))


@pytest.mark.parametrize(
    ("part", "parameters"),
    [
        (
            "ScannerFunctionName",
            {"ScanMinAgeSeconds", "ChunkSeconds", "QueueRetentionSeconds", "Rtfx", "PriceUsdPerHour"}
            | {"ScanFinaliseSeconds"},
        ),
        (
            "AutoscalerFunctionName",
            {"ChunkSeconds", "MaxInstances", "TargetDrainSeconds", "Rtfx", "PriceUsdPerHour"}
            | {"BootLimitSeconds", "IdleLimitSeconds", "SilentLimitSeconds"},
        ),
        (
            "worker",
            {"ChunkSeconds", "LongPollSeconds", "MaxEmptyPolls", "VisibilityTimeoutSeconds", "QueueRetentionSeconds"}
            | {"PriceUsdPerHour", "ScanMinAgeSeconds"},
        ),
    ],
)
def test_a_part_gets_the_numbers_that_were_chosen(
    fleet: "Fleet", template: dict[str, Any], part: str, parameters: set[str]
) -> None:
    variables = fleet.worker_environment() if part == "worker" else fleet.function_environment(part)

    for parameter in parameters:
        words = "".join(f"_{letter}" if letter.isupper() else letter for letter in parameter)
        assert variables[f"SCRIBEFLEET{words}".upper()] == value(fleet, template, parameter)


def test_two_fleets_live_side_by_side_in_one_account(fleet: "Fleet", deploy_fleet: "Deploy") -> None:
    other = deploy_fleet(f"{fleet.name}-twin")

    shared = {key for key in fleet.outputs if fleet.outputs[key] == other.outputs[key]}
    assert not shared
    assert not {one["InstanceId"] for one in fleet.instances()} & {one["InstanceId"] for one in other.instances()}


def test_an_existing_bucket_is_used_and_no_other_is_made(deploy_fleet: "Deploy") -> None:
    fleet = deploy_fleet("adopting", ExistingBucketName="lambda-code")

    assert "Bucket" not in fleet.physical
    assert fleet.outputs["BucketName"] == "lambda-code"
    assert fleet.worker_environment()["SCRIBEFLEET_BUCKET"] == "lambda-code"
    assert fleet.function_environment("ScannerFunctionName")["SCRIBEFLEET_BUCKET"] == "lambda-code"
