"""What the template says that the emulator does not act on, and whether it is a template that AWS takes."""

import re
from pathlib import Path
from typing import Any

import pytest
from cfnlint import lint_file

import deploy
from shared.formats.layout import LOCK_KEY, PENDING_JOBS_KEY, REPORTS_PREFIX, USERS_PREFIX
from shared.settings import Settings

TEMPLATE = Path(deploy.__file__).parent / "template.yaml"
# The worker's power-off command differs on purpose: Settings cannot know that the host is the fleet's own.
OTHER_DEFAULT = {"PowerOffCommand"}


def settings_of_parameters(template: dict[str, Any]) -> dict[str, str]:
    """Parameter -> the setting that it becomes, from all three places where variables are written."""
    resources = template["Resources"]
    worker_env: str = resources["WorkerLaunchTemplate"]["Properties"]["LaunchTemplateData"]["UserData"]["Fn::Base64"][
        "Fn::Sub"
    ][0]
    pairs = re.findall(r"SCRIBEFLEET_(\w+)=\$\{(\w+)\}", worker_env)
    for function in ("ScannerFunction", "AutoscalerFunction"):
        for name, value in resources[function]["Properties"]["Environment"]["Variables"].items():
            reference = value.get("Ref") or value.get("Fn::Sub") if isinstance(value, dict) else None
            if isinstance(reference, str):
                pairs.append((name.removeprefix("SCRIBEFLEET_"), reference.strip("${}")))
    return {parameter: setting.lower() for setting, parameter in pairs if parameter in template["Parameters"]}


def parse(setting: str, text: object) -> object:
    """A setting's value as Settings reads it from a variable; raises when Settings refuses it."""
    places = {"bucket": "abc", "jobs_queue_url": "u", "priority_queue_url": "u", "dead_letter_queue_url": "u"}
    return getattr(Settings.model_validate({**places, "table_name": "abc", setting: str(text)}), setting)


def test_cfn_lint_finds_nothing() -> None:
    assert lint_file(TEMPLATE) == []


def test_cloudformation_takes_the_template_from_a_bucket(template: dict[str, Any]) -> None:
    # Its limits: 1 MB for a template behind a URL, 500 resources, 200 parameters, 1,024 bytes of description.
    assert len(TEMPLATE.read_bytes()) < 200_000
    assert len(template["Resources"]) < 500
    assert len(template["Parameters"]) < 200
    assert len(template["Description"]) <= 1024


def test_the_template_needs_no_transform(template: dict[str, Any]) -> None:
    assert "Transform" not in template
    assert "Fn::Transform" not in TEMPLATE.read_text()


def test_every_parameter_says_what_it_is_and_what_it_takes(template: dict[str, Any]) -> None:
    constraints = {"AllowedPattern", "AllowedValues", "MinValue", "MinLength"}
    for name, parameter in template["Parameters"].items():
        assert parameter["Description"].endswith("."), name
        # AWS itself checks that an AWS::… type names something that exists.
        assert constraints & set(parameter) or "AWS::" in parameter["Type"], name


def test_operators_find_every_parameter_in_a_group(template: dict[str, Any]) -> None:
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]

    grouped = [parameter for group in groups for parameter in group["Parameters"]]

    assert sorted(grouped) == sorted(template["Parameters"])


def test_defaults_are_those_of_the_settings(template: dict[str, Any]) -> None:
    pairs = settings_of_parameters(template)

    assert len(pairs) >= 15
    for parameter, setting in pairs.items():
        if parameter not in OTHER_DEFAULT:
            default = template["Parameters"][parameter]["Default"]
            assert parse(setting, default) == Settings.model_fields[setting].default, parameter


def test_settings_take_every_number_that_a_parameter_allows(template: dict[str, Any]) -> None:
    numbers = {
        parameter: setting
        for parameter, setting in settings_of_parameters(template).items()
        if template["Parameters"][parameter]["Type"] == "Number"
    }

    assert numbers
    for parameter, setting in numbers.items():
        for bound in ("MinValue", "MaxValue"):
            parse(setting, template["Parameters"][parameter][bound])


@pytest.mark.parametrize(
    ("pattern_of", "taken", "refused"),
    [
        ("FleetName", ["scribefleet", "a", "Fleet-2"], ["", "-a", "a_b", "a b", "x" * 41]),
        ("ExistingBucketName", ["", "my.recordings-1"], ["ab", "Upper", "a/b"]),
        ("WorkerExtraEnvironment", ["", "A=", "_A1=x y=z"], ["A", "1A=x", "A B=x", "A=x\nB=y"]),
        ("PowerOffCommand", ["", "systemctl poweroff"], ["a\nb"]),
        ("HostPackageKey", ["", "host/1a.tar.gz"], ["host/1a.zip", "a b.tar.gz", "$(x).tar.gz", "a;b.tar.gz"]),
        (
            "ExistingInstanceIds",
            ["", "i-0123456789abcdef0", "i-01234567,i-89abcdef"],
            ["i-1", "a", "i-01234567, i-89abcdef"],
        ),
        ("AlarmEmail", ["", "a.b+c@example.com"], ["a", "a@b", "a b@example.com"]),
        (
            "ExistingTopicArn",
            ["", "arn:aws:sns:eu-west-1:123456789012:ops"],
            ["ops", "arn:aws:sqs:eu-west-1:123456789012:a"],
        ),
        (
            "ExistingNotifyTopicArn",
            ["", "arn:aws-cn:sns:cn-north-1:123456789012:told"],
            ["told", "arn:aws:sns:eu-west-1:123456789012:a b"],
        ),
        ("QuietHours", ["", "22:00-06:00"], ["22-6", "24:00-06:00", "22:00"]),
        ("BudgetOverrideUntil", ["", "2026-03-01T18:00Z", "2026-03-01T18:00:30Z"], ["2026-03-01", "18:00", "tomorrow"]),
        ("ScanSchedule", ["rate(2 hours)", "cron(0 */2 * * ? *)"], ["", "2 hours"]),
    ],
)
def test_a_parameter_refuses_what_would_break_the_fleet(
    template: dict[str, Any], pattern_of: str, taken: list[str], refused: list[str]
) -> None:
    pattern = template["Parameters"][pattern_of]["AllowedPattern"]

    assert [text for text in taken if not re.fullmatch(pattern, text)] == []
    assert [text for text in refused if re.fullmatch(pattern, text)] == []


def test_every_instance_takes_the_newest_launch_template_so_that_a_changed_setting_replaces_it(
    template: dict[str, Any],
) -> None:
    instances = [one for one in template["Resources"].values() if one["Type"] == "AWS::EC2::Instance"]

    assert len(instances) == 4
    for instance in instances:
        assert instance["Properties"]["LaunchTemplate"] == {
            "LaunchTemplateId": {"Ref": "WorkerLaunchTemplate"},
            "Version": {"Fn::GetAtt": ["WorkerLaunchTemplate", "LatestVersionNumber"]},
        }
        # What an instance sets by itself wins over the template, and cloud-init would read it at the first boot only.
        assert "UserData" not in instance["Properties"]


def test_recordings_outlive_the_stack_and_nobody_else_sees_them(template: dict[str, Any]) -> None:
    bucket = template["Resources"]["Bucket"]

    assert (bucket["DeletionPolicy"], bucket["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert set(bucket["Properties"]["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["Properties"]["PublicAccessBlockConfiguration"]) == 4


def test_only_reports_expire_and_only_old_versions_of_what_the_fleet_writes(template: dict[str, Any]) -> None:
    reports, versions = template["Resources"]["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]

    assert (reports["Status"], reports["Prefix"], reports["ExpirationInDays"]) == ("Enabled", REPORTS_PREFIX, 30)
    # The current version is what counts; this rule must never have a say in it, nor in recordings.
    assert set(versions) == {"Id", "Status", "Prefix", "NoncurrentVersionExpiration"}
    written = (LOCK_KEY, PENDING_JOBS_KEY, REPORTS_PREFIX)
    assert all(key.startswith(versions["Prefix"]) for key in written)
    assert not USERS_PREFIX.startswith(versions["Prefix"])


def test_the_bucket_keeps_versions_only_if_asked_to(template: dict[str, Any]) -> None:
    versioning = template["Resources"]["Bucket"]["Properties"]["VersioningConfiguration"]

    assert versioning == {"Fn::If": ["VersionsBucket", {"Status": "Enabled"}, {"Ref": "AWS::NoValue"}]}
    assert template["Conditions"]["VersionsBucket"] == {"Fn::Equals": [{"Ref": "BucketVersioning"}, "true"]}


def test_what_goes_with_the_stack_is_said_of_everything_that_holds_data(template: dict[str, Any]) -> None:
    holding = {"AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::Logs::LogGroup", "AWS::KMS::Key"}
    kept = {
        name: (one.get("DeletionPolicy"), one.get("UpdateReplacePolicy"))
        for name, one in template["Resources"].items()
        if one["Type"] in holding
    }

    assert kept.pop("Bucket") == ("Retain", "Retain")
    assert set(kept.values()) == {("Delete", "Delete")}


@pytest.mark.parametrize(("component", "attempts", "seconds"), [("Scanner", 1, 3600), ("Autoscaler", 0, 60)])
def test_a_late_tick_is_dropped_and_a_failed_scan_tried_once_more(
    template: dict[str, Any], component: str, attempts: int, seconds: int
) -> None:
    invocations = template["Resources"][f"{component}Invocations"]

    assert invocations["Type"] == "AWS::Lambda::EventInvokeConfig"
    assert invocations["Properties"] == {
        "FunctionName": {"Ref": f"{component}Function"},
        "Qualifier": "$LATEST",
        "MaximumRetryAttempts": attempts,
        "MaximumEventAgeInSeconds": seconds,
    }


def test_instances_that_were_there_are_refused_with_a_group(template: dict[str, Any]) -> None:
    rule = template["Rules"]["ExistingInstancesArePooled"]

    assert rule["RuleCondition"] == {"Fn::Equals": [{"Ref": "CapacityProvider"}, "asg"]}
    assert rule["Assertions"][0]["Assert"] == {"Fn::Equals": [{"Ref": "ExistingInstanceIds"}, ""]}


def test_a_group_keeps_its_size_when_the_stack_is_updated(template: dict[str, Any]) -> None:
    group = template["Resources"]["WorkerGroup"]

    assert "DesiredCapacity" not in group["Properties"]
    assert "UpdatePolicy" not in group


def test_ledger_items_expire_by_ttl_and_the_table_can_be_restored(template: dict[str, Any]) -> None:
    table = template["Resources"]["Ledger"]["Properties"]

    assert table["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["SSESpecification"] == {"SSEEnabled": True}


@pytest.mark.parametrize("component", ["Scanner", "Autoscaler"])
def test_a_functions_permissions_and_log_group_are_there_before_its_first_call(
    template: dict[str, Any], component: str
) -> None:
    assert template["Resources"][f"{component}Function"]["DependsOn"] == [f"{component}Logs", f"{component}Policy"]


def test_workers_have_their_permissions_before_they_are_launched(template: dict[str, Any]) -> None:
    needed = {"WorkerPolicy", "WorkerHostPolicy", "WorkerLogs"}
    assert set(template["Resources"]["WorkerLaunchTemplate"]["DependsOn"]) == needed


def test_workers_reach_https_and_ubuntus_mirrors_only_to_be_installed(template: dict[str, Any]) -> None:
    group = template["Resources"]["WorkerSecurityGroup"]["Properties"]

    assert "SecurityGroupIngress" not in group
    https, choice = group["SecurityGroupEgress"]
    condition, http, otherwise = choice["Fn::If"]
    assert (condition, otherwise) == ("InstallsHost", {"Ref": "AWS::NoValue"})
    ports = [(rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) for rule in (https, http)]
    assert ports == [("tcp", 443, 443), ("tcp", 80, 80)]
