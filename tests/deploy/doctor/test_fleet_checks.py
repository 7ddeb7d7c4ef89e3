"""The whole examination, of the template as it is deployed into the emulator."""

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.stub import Stubber
from click.testing import CliRunner, Result

from deploy.clients import aws_clients
from deploy.doctor.cli import doctor
from deploy.doctor.finding import Status
from deploy.doctor.fleet_checks import CHECKS, examine_fleet
from deploy.doctor.stack import look_at_stack

if TYPE_CHECKING:
    from tests.conftest import Cloud, FakeClock
    from tests.deploy.conftest import AwsClient, Deploy
    from tests.deploy.doctor.conftest import Patient, Seen


@pytest.fixture
def console(moto_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process's AWS variables point at the emulator; unlike `cloud`, it keeps what is deployed there."""
    for name, value in {
        "AWS_ENDPOINT_URL": moto_endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(doctor, arguments, catch_exceptions=False)


@pytest.mark.usefixtures("console")
def test_given_a_fleet_fresh_from_the_template_then_every_part_is_looked_at(
    deploy_fleet: "Deploy", aws: "AwsClient"
) -> None:
    deployed = deploy_fleet("patient")

    ran = run("--fleet", deployed.name, "--json")

    printed: dict[str, Any] = json.loads(ran.stdout)
    seen = {finding["subject"]: finding["seen"] for finding in printed["findings"]}
    assert not [text for text in seen.values() if "the check itself failed" in text]
    parts = {"credentials", "stack", "bucket", "lock", "ledger", "queue", "dead letters", "function", "errors"}
    assert parts <= seen.keys()
    assert {"schedule", "ticks", "instance", "worker", "model", "quota", "budget", "permissions"} <= seen.keys()
    # Its autoscaler is a zip without code, so it has never ticked: that is the one to be found.
    failed = [finding for finding in printed["findings"] if finding["status"] == "failure"]
    assert "ticks" in {finding["subject"] for finding in failed}
    assert all(finding["remedy"] for finding in failed)
    assert (ran.exit_code, printed["healthy"]) == (1, False)


@pytest.mark.usefixtures("console")
def test_given_a_person_at_a_terminal_then_each_remedy_stands_below_its_finding(
    deploy_fleet: "Deploy", aws: "AwsClient"
) -> None:
    deployed = deploy_fleet("read")

    lines = run("--fleet", deployed.name).stdout.splitlines()

    at = next(number for number, line in enumerate(lines) if "has never ticked" in line)
    assert lines[at].startswith("failure ticks")
    assert lines[at + 1].strip().startswith("-> see function, errors and schedule")
    assert lines[-1].endswith("unknown")


def test_given_no_such_stack_then_that_is_the_one_failure_and_the_rest_is_unknown(
    cloud: "Cloud", clock: "FakeClock"
) -> None:
    found = examine_fleet(aws_clients(), "nowhere", clock)

    assert [str(finding.status) for finding in found] == ["ok", "ok", "failure", "unknown"]
    assert found[2].seen == "there is no stack nowhere in us-east-1"
    assert found[2].remedy.startswith("`scribefleet deploy` makes one")


def test_given_credentials_that_are_refused_then_nothing_else_is_tried(cloud: "Cloud", clock: "FakeClock") -> None:
    clients = aws_clients()
    with Stubber(clients.sts) as stubbed, Stubber(clients.cloudformation):
        stubbed.add_client_error("get_caller_identity", "ExpiredToken", http_status_code=403)
        found = examine_fleet(clients, "scribefleet", clock)

    assert [str(finding.status) for finding in found] == ["failure", "unknown"]


def test_given_an_identity_that_may_not_see_the_stack_then_the_action_is_named(
    cloud: "Cloud", clock: "FakeClock"
) -> None:
    clients = aws_clients()
    refusal = "User: u is not authorized to perform: cloudformation:DescribeStacks on resource: s"
    with Stubber(clients.cloudformation) as stubbed:
        stubbed.add_client_error("describe_stacks", "AccessDenied", refusal, http_status_code=403)
        found = examine_fleet(clients, "scribefleet", clock)

    permissions = next(finding for finding in found if finding.subject == "permissions")
    assert permissions.seen == "AWS refused to look: cloudformation:DescribeStacks"


def test_given_no_region_then_it_says_how_to_set_one(cloud: "Cloud", monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)

    ran = run()

    assert ran.exit_code == 1
    assert "region  none is set" in ran.stdout


def test_given_both_a_fleet_and_this_host_then_it_is_wrong_use() -> None:
    assert run("--host", "--fleet", "north").exit_code == 2


def test_no_check_is_there_twice_or_under_two_names() -> None:
    assert len({check.look for check in CHECKS}) == len({check.subject for check in CHECKS}) == len(CHECKS)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("UPDATE_COMPLETE", Status.OK),
        ("UPDATE_IN_PROGRESS", Status.WARNING),
        ("UPDATE_ROLLBACK_COMPLETE", Status.WARNING),
        ("UPDATE_ROLLBACK_FAILED", Status.FAILURE),
        ("ROLLBACK_COMPLETE", Status.FAILURE),
        ("DELETE_IN_PROGRESS", Status.FAILURE),
    ],
)
def test_a_stack_is_judged_by_its_state(status: str, expected: Status, patient: "Patient", wrong: "Seen") -> None:
    stack = replace(patient.fleet.stack, status=status, reason="because")

    found = list(look_at_stack(stack))

    assert [finding.status for finding in found] == [expected]
    assert expected is Status.OK or wrong(found)


def test_given_a_resource_that_failed_then_it_is_named(patient: "Patient", wrong: "Seen") -> None:
    fleet = patient.with_resources(("AWS::SQS::Queue", "jobs"))
    failed = replace(fleet.stack.resources[0], logical_id="JobsQueue", status="UPDATE_FAILED")

    ((status, seen),) = wrong(look_at_stack(replace(fleet.stack, resources=(failed,))))

    assert (status, seen) == ("failure", "resources have failed: JobsQueue")
