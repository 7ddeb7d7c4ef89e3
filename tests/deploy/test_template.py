"""What a deployed fleet consists of, looked up in the services themselves.

The emulator skips resource types that it does not know and calls the stack complete, hence a look for each resource.
"""

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from shared.settings import Settings, load_settings

if TYPE_CHECKING:
    from tests.deploy.conftest import Deploy, Fleet

# Another value than the default for every parameter that is a setting.
CHANGED = {
    "PoolSize": "3",
    "VisibilityTimeoutSeconds": "45",
    "LongPollSeconds": "1",
    "MaxEmptyPolls": "7",
    "QueueRetentionSeconds": "3600",
    "ScanSchedule": "rate(30 minutes)",
    "ScanMinAgeSeconds": "0",
    "ChunkSeconds": "2.5",
    "LockEnabled": "false",
    "AutoscalerSchedule": "rate(5 minutes)",
    "ReserveAutoscalerConcurrency": "false",
    "MaxInstances": "3",
    "TargetDrainSeconds": "60",
    "RealTimeFactor": "0.5",
    "BootLimitSeconds": "61",
    "IdleLimitSeconds": "62",
    "SilentLimitSeconds": "63",
    "PriceUsdPerHour": "1.25",
    "PowerOffCommand": "",
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


def instances(fleet: "Fleet") -> list[dict[str, Any]]:
    filters = [{"Name": "tag:scribefleet:fleet", "Values": [fleet.name]}]
    pages = fleet.aws("ec2").get_paginator("describe_instances").paginate(Filters=filters)
    return [one for page in pages for reservation in page["Reservations"] for one in reservation["Instances"]]


def launch_data(fleet: "Fleet") -> dict[str, Any]:
    (version,) = fleet.aws("ec2").describe_launch_template_versions(
        LaunchTemplateId=fleet.outputs["WorkerLaunchTemplateId"], Versions=["$Latest"]
    )["LaunchTemplateVersions"]
    data: dict[str, Any] = version["LaunchTemplateData"]
    return data


# How each type's resources are seen in their own service; each raises, or finds nothing, when one is not there.
LOOKS: Mapping[str, Callable[["Fleet", str], object]] = {
    "AWS::DynamoDB::Table": lambda f, i: f.aws("dynamodb").describe_table(TableName=i),
    "AWS::EC2::Instance": lambda f, i: f.aws("ec2").describe_instances(InstanceIds=[i])["Reservations"],
    "AWS::EC2::LaunchTemplate": lambda f, i: f.aws("ec2").describe_launch_templates(LaunchTemplateIds=[i]),
    "AWS::EC2::SecurityGroup": lambda f, i: f.aws("ec2").describe_security_groups(GroupIds=[i]),
    "AWS::Events::Rule": lambda f, i: f.aws("events").describe_rule(Name=i),
    "AWS::IAM::InstanceProfile": lambda f, i: f.aws("iam").get_instance_profile(InstanceProfileName=i),
    "AWS::IAM::Role": lambda f, i: f.aws("iam").get_role(RoleName=i),
    "AWS::Lambda::Function": lambda f, i: f.aws("lambda").get_function(FunctionName=i),
    "AWS::Logs::LogGroup": lambda f, i: f.aws("logs").describe_log_groups(logGroupNamePrefix=i)["logGroups"],
    "AWS::S3::Bucket": lambda f, i: f.aws("s3").head_bucket(Bucket=i),
    "AWS::SQS::Queue": lambda f, i: f.aws("sqs").get_queue_attributes(QueueUrl=i, AttributeNames=["QueueArn"]),
}
# These have no id to look them up by: `test_only_its_own_rule_may_invoke_a_function` looks at the permissions,
# test_template_policies.py at the policies, through their role.
WITHOUT_ID = {"AWS::IAM::Policy", "AWS::Lambda::Permission"}


def test_every_resource_of_the_template_is_really_there(fleet: "Fleet", template: dict[str, Any]) -> None:
    wanted = set(template["Resources"])
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
    found = instances(fleet)

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
    fleet: "Fleet", output: str, handler: str, seconds: int
) -> None:
    function = fleet.aws("lambda").get_function_configuration(FunctionName=fleet.outputs[output])
    groups = fleet.aws("logs").describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{fleet.outputs[output]}")

    assert (function["Handler"], function["Runtime"], function["Timeout"]) == (handler, "python3.12", seconds)
    assert [group["retentionInDays"] for group in groups["logGroups"]] == [30]


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
            {"ScanMinAgeSeconds", "ChunkSeconds", "QueueRetentionSeconds", "RealTimeFactor", "PriceUsdPerHour"},
        ),
        (
            "AutoscalerFunctionName",
            {"ChunkSeconds", "MaxInstances", "TargetDrainSeconds", "RealTimeFactor", "PriceUsdPerHour"}
            | {"BootLimitSeconds", "IdleLimitSeconds", "SilentLimitSeconds"},
        ),
        (
            "worker",
            {"ChunkSeconds", "LongPollSeconds", "MaxEmptyPolls", "VisibilityTimeoutSeconds", "QueueRetentionSeconds"}
            | {"PriceUsdPerHour"},
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


def test_a_first_boot_configures_the_worker_and_powers_off(fleet: "Fleet") -> None:
    config = fleet.cloud_config()

    (file,) = config["write_files"]
    assert (file["path"], file["permissions"]) == ("/etc/scribefleet/worker.env", "0644")
    assert config["runcmd"] == [["systemctl", "enable", "scribefleet-worker.service"]]
    assert config["power_state"]["mode"] == "poweroff"
    # The condition is true unless it is given: nothing may keep a new instance running without an owner.
    assert "condition" not in config["power_state"]


def test_a_worker_knows_its_region_and_how_to_power_off(fleet: "Fleet", template: dict[str, Any]) -> None:
    variables = fleet.worker_environment()

    assert variables["AWS_DEFAULT_REGION"] == "us-east-1"
    assert variables["SCRIBEFLEET_POWER_OFF_COMMAND"] == value(fleet, template, "PowerOffCommand")
    assert variables["SCRIBEFLEET_DEVICE"] == "cuda"  # never a silent fall back to the CPU of a GPU host


def test_an_instance_survives_powering_off_and_keeps_its_credentials_and_disk_to_itself(fleet: "Fleet") -> None:
    data = launch_data(fleet)

    assert data["InstanceInitiatedShutdownBehavior"] == "stop"
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert data["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    (disk,) = data["BlockDeviceMappings"]
    assert disk["Ebs"]["Encrypted"] is True


def test_workers_have_the_workers_role_and_nobody_can_connect_to_them(fleet: "Fleet") -> None:
    data = launch_data(fleet)
    profile_name = data["IamInstanceProfile"]["Arn"].split("/")[-1]
    profile = fleet.aws("iam").get_instance_profile(InstanceProfileName=profile_name)["InstanceProfile"]
    (group,) = fleet.aws("ec2").describe_security_groups(GroupIds=data["SecurityGroupIds"])["SecurityGroups"]

    assert [role["RoleName"] for role in profile["Roles"]] == [fleet.physical["WorkerRole"]]
    assert group["IpPermissions"] == []
    assert group["VpcId"] == fleet.parameters["VpcId"]


def test_two_fleets_live_side_by_side_in_one_account(fleet: "Fleet", deploy_fleet: "Deploy") -> None:
    other = deploy_fleet(f"{fleet.name}-twin")

    shared = {key for key in fleet.outputs if fleet.outputs[key] == other.outputs[key]}
    assert not shared
    assert not {one["InstanceId"] for one in instances(fleet)} & {one["InstanceId"] for one in instances(other)}


def test_an_existing_bucket_is_used_and_no_other_is_made(deploy_fleet: "Deploy") -> None:
    fleet = deploy_fleet("adopting", ExistingBucketName="lambda-code")

    assert "Bucket" not in fleet.physical
    assert fleet.outputs["BucketName"] == "lambda-code"
    assert fleet.worker_environment()["SCRIBEFLEET_BUCKET"] == "lambda-code"
    assert fleet.function_environment("ScannerFunctionName")["SCRIBEFLEET_BUCKET"] == "lambda-code"


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("none", "", {}),
        ("one", "SCRIBEFLEET_DEVICE=cpu", {"SCRIBEFLEET_DEVICE": "cpu"}),
        ("many", "A=1,B=2,C=3", {"A": "1", "B": "2", "C": "3"}),
        ("overriding", "SCRIBEFLEET_MAX_EMPTY_POLLS=9", {"SCRIBEFLEET_MAX_EMPTY_POLLS": "9"}),
        (
            "yaml",
            "A=x: y # z,B='single\",C=- {[&*!|>%@`,D==",
            {"A": "x: y # z", "B": "'single\"", "C": "- {[&*!|>%@`", "D": "="},
        ),
    ],
)
def test_further_variables_reach_the_worker_as_they_are(
    deploy_fleet: "Deploy", name: str, given: str, expected: dict[str, str]
) -> None:
    fleet = deploy_fleet(f"extra-{name}", WorkerExtraEnvironment=given)

    variables = fleet.worker_environment()

    assert {key: variables[key] for key in expected} == expected
    assert variables["SCRIBEFLEET_TABLE_NAME"] == fleet.outputs["TableName"]
