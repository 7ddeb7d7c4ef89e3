"""What the template says that the emulator does not act on, and whether it is a template that AWS takes."""

import re
from pathlib import Path
from typing import Any

import pytest
from cfnlint import lint_file

import deploy
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


def test_the_template_is_small_enough_to_be_sent_with_the_call() -> None:
    # CloudFormation takes 51,200 bytes in TemplateBody; the rest is room to grow.
    assert len(TEMPLATE.read_bytes()) < 40_000


def test_the_template_needs_no_transform(template: dict[str, Any]) -> None:
    assert "Transform" not in template
    assert "Fn::Transform" not in TEMPLATE.read_text()


def test_every_parameter_says_what_it_is_and_what_it_takes(template: dict[str, Any]) -> None:
    constraints = {"AllowedPattern", "AllowedValues", "MinValue", "MinLength"}
    for name, parameter in template["Parameters"].items():
        assert parameter["Description"].endswith("."), name
        # AWS itself checks that an AWS::… type names something that exists.
        assert constraints & set(parameter) or parameter["Type"].startswith("AWS::"), name


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


def test_only_reports_expire(template: dict[str, Any]) -> None:
    (rule,) = template["Resources"]["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]

    assert (rule["Status"], rule["Prefix"], rule["ExpirationInDays"]) == ("Enabled", "batch-reports/", 30)


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
    assert template["Resources"]["WorkerLaunchTemplate"]["DependsOn"] == "WorkerPolicy"


def test_workers_reach_https_and_nothing_else(template: dict[str, Any]) -> None:
    group = template["Resources"]["WorkerSecurityGroup"]["Properties"]

    assert "SecurityGroupIngress" not in group
    assert [(rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) for rule in group["SecurityGroupEgress"]] == [
        ("tcp", 443, 443)
    ]
