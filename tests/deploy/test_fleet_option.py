"""`scribefleet --fleet NAME COMMAND`: settings that no variable sets come from the fleet's stack."""

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import boto3
import click
import pytest
from click.testing import CliRunner, Result

import deploy.cli
from deploy.fleet import FleetNotFoundError
from deploy.fleet_environment import use_fleet
from shared.setting_groups import ENV_PREFIX
from shared.settings import load_settings

if TYPE_CHECKING:
    from tests.deploy.conftest import AwsClient, Deploy, Fleet

# Commands that have an option --fleet of their own, and those that are about no deployed fleet.
OWN_OPTION = {"alarms", "deploy", "destroy", "doctor", "selftest"}
NO_FLEET = {"local", "model", "simulate"}


@pytest.fixture(scope="module")
def deployed(deploy_fleet: "Deploy") -> "Fleet":
    return deploy_fleet("chosen", PriceUsdPerHour="0.75", MaxInstances="3", LockEnabled="false")


@pytest.fixture(autouse=True)
def _surroundings(aws: "AwsClient", moto_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator's shell: where AWS is, and no variable of ours."""
    for name in [name for name in os.environ if name.startswith(ENV_PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_endpoint)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


def console(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """The console script in a process of its own."""
    command = [sys.executable, "-m", "deploy", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **variables})


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(deploy.cli.cli, arguments)


# --- the variables


def test_given_no_variables_then_all_come_from_the_stack_and_make_the_settings_of_the_fleets_parts(
    deployed: "Fleet", monkeypatch: pytest.MonkeyPatch
) -> None:
    environment: dict[str, str] = {}

    assert use_fleet(deployed.name, environment) == []

    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.bucket == deployed.outputs["BucketName"]
    assert settings.dead_letter_queue_url == deployed.outputs["DeadLetterQueueUrl"]
    assert settings.fleet_name == deployed.name
    assert (settings.price_usd_per_hour, settings.max_instances, settings.lock_enabled) == (0.75, 3, False)


def test_given_a_variable_that_someone_has_set_then_it_stays_and_the_difference_is_said(deployed: "Fleet") -> None:
    environment = {"SCRIBEFLEET_BUCKET": "mine", "SCRIBEFLEET_MAX_INSTANCES": "3", "SCRIBEFLEET_TABLE_NAME": ""}

    (said,) = use_fleet(deployed.name, environment)

    assert said == f"set by you, and not as in the fleet {deployed.name}: SCRIBEFLEET_BUCKET"
    assert environment["SCRIBEFLEET_BUCKET"] == "mine"
    assert environment["SCRIBEFLEET_TABLE_NAME"] == deployed.outputs["TableName"]


def test_given_no_such_fleet_then_nothing_is_set(deployed: "Fleet") -> None:
    environment: dict[str, str] = {}

    with pytest.raises(FleetNotFoundError):
        use_fleet("elsewhere", environment)

    assert environment == {}


# --- the console script


def test_given_a_fleet_then_a_command_needs_no_variable(deployed: "Fleet") -> None:
    ran = console("--fleet", deployed.name, "status", "--json")

    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["fleet"] == deployed.name
    assert json.loads(ran.stdout)["schedule"] == {"expression": "rate(2 hours)", "enabled": True}


def test_given_variables_of_another_fleet_then_they_win_and_a_line_warns_of_them(deployed: "Fleet") -> None:
    ran = console("--fleet", deployed.name, "status", "--json", SCRIBEFLEET_FLEET_NAME="south")

    assert json.loads(ran.stdout)["fleet"] == "south"
    assert "set by you, and not as in the fleet" in ran.stderr


def test_given_a_name_that_no_stack_has_then_one_line_says_so() -> None:
    ran = console("--fleet", "elsewhere", "status")

    assert ran.returncode == 2
    assert "scribefleet: there is no stack elsewhere in us-east-1" in ran.stderr


def test_given_help_then_no_stack_is_looked_for() -> None:
    assert invoke("--fleet", "elsewhere", "status", "--help").exit_code == 0


# --- commands that differ


def test_given_a_command_with_an_option_of_its_own_then_the_name_is_handed_on() -> None:
    shown = invoke("--fleet", "elsewhere", "alarms", "list")

    assert isinstance(shown.exception, FleetNotFoundError)
    assert "no stack elsewhere" in str(shown.exception)


def test_given_both_options_then_the_commands_own_wins() -> None:
    shown = invoke("--fleet", "elsewhere", "selftest", "--fleet", "nearer", "--dry-run")

    assert "no stack nearer" in str(shown.exception)


@pytest.mark.parametrize("command", sorted(NO_FLEET))
def test_given_a_command_that_is_about_no_deployed_fleet_then_the_option_is_refused(command: str) -> None:
    refused = invoke("--fleet", "elsewhere", command)

    assert refused.exit_code == 2
    assert f"`{command}` is about no deployed fleet" in refused.stderr


def test_the_option_is_handed_on_to_exactly_the_commands_that_have_one() -> None:
    group = deploy.cli.cli
    context = click.Context(group)
    having = set()
    for name in set(group.list_commands(context)) - NO_FLEET:
        command = group.get_command(context, name)
        assert command
        below = list(command.commands.values()) if isinstance(command, click.Group) else [command]
        if any(parameter.name == "fleet" for each in below for parameter in each.params):
            having.add(name)

    assert having == OWN_OPTION == {name for name, entry in deploy.cli._COMMANDS.items() if entry.fleet == "option"}
