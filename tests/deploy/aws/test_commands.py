"""The commands as a person runs them, in an account on moto."""

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from deploy.aws.artefacts import Builders
from deploy.aws.cli import deploy, destroy
from deploy.aws.clients import DeployClients
from deploy.aws.problems import DeploymentError
from deploy.aws.stack import look
from shared.errors import ConfigurationError

if TYPE_CHECKING:
    from tests.deploy.aws.conftest import Answers

Run = Callable[..., Result]


@pytest.fixture
def run(clients: DeployClients, builders: Builders, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in the account of `clients`, answering its questions; errors come out as they are."""
    monkeypatch.setattr("deploy.aws.cli.connect", lambda *_: clients)
    monkeypatch.setattr("deploy.aws.cli.Builders", lambda: builders)

    def run_command(command: str, *options: str, typed: Sequence[str] = (), terminal: bool = False) -> Result:
        monkeypatch.setattr("deploy.aws.cli._is_terminal", lambda: terminal)
        runner = CliRunner(env={"COLUMNS": "200"})
        target = {"deploy": deploy, "destroy": destroy}[command]
        result = runner.invoke(target, ["--fleet", "fleet", *options], input="\n".join([*typed, ""]))
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run_command


def stop_instances(clients: DeployClients) -> None:
    reservations = clients.ec2.describe_instances()["Reservations"]
    clients.ec2.stop_instances(InstanceIds=[item["InstanceId"] for one in reservations for item in one["Instances"]])


def test_deploy_shows_the_changes_the_progress_the_outputs_and_the_next_command(
    run: Run, clients: DeployClients
) -> None:
    result = run("deploy", "--yes")

    assert result.exit_code == 0
    for shown in (
        "JobsQueue",
        "AWS::SQS::Queue",
        "CREATE_COMPLETE",
        "BucketName",
        "scribefleet selftest --fleet fleet",
    ):
        assert shown in result.output
    assert look(clients, "fleet").status == "CREATE_COMPLETE"


def test_deploying_again_says_that_nothing_changes(run: Run) -> None:
    run("deploy", "--yes")
    result = run("deploy", "--yes")
    assert result.exit_code == 0
    assert "No changes" in result.output


def test_json_is_one_object_on_stdout_and_everything_else_is_on_stderr(run: Run) -> None:
    result = run("deploy", "--yes", "--json")

    outcome = json.loads(result.stdout)
    assert outcome["result"] == "created"
    assert outcome["outputs"]["JobsQueueUrl"].endswith("fleet-jobs")
    assert {"action", "resource", "kind", "replacement", "causes"} == set(outcome["changes"][0])
    assert json.loads(run("deploy", "--yes", "--json").stdout)["result"] == "unchanged"
    assert (
        json.loads(run("deploy", "--dry-run", "--json", "--parameter", "MaxInstances=2").stdout)["result"] == "dry-run"
    )
    updated = json.loads(run("deploy", "--yes", "--json", "--parameter", "MaxInstances=2").stdout)
    assert updated["result"] == "updated"


def test_a_dry_run_asks_nothing_and_leaves_nothing(run: Run, clients: DeployClients) -> None:
    result = run("deploy", "--dry-run")
    assert result.exit_code == 0
    assert "dry run" in result.output
    assert not look(clients, "fleet").identifier


def test_without_a_terminal_a_deployment_needs_a_yes(run: Run, answers: "Answers") -> None:
    with pytest.raises(ConfigurationError, match="--yes"):
        run("deploy")
    assert answers.calls == []


@pytest.mark.parametrize(("answer", "exit_code", "status"), [("y", 0, "CREATE_COMPLETE"), ("n", 1, "")])
def test_on_a_terminal_it_asks(run: Run, clients: DeployClients, answer: str, exit_code: int, status: str) -> None:
    result = run("deploy", typed=[answer], terminal=True)
    assert "Execute these changes?" in result.output
    assert result.exit_code == exit_code
    assert look(clients, "fleet").status == status


def test_a_failed_stack_is_replaced_when_told_so(run: Run, clients: DeployClients, answers: "Answers") -> None:
    run("deploy", "--yes")
    found = clients.cloudformation.describe_stacks(StackName="fleet")["Stacks"][0]
    failed = {**found, "StackStatus": "ROLLBACK_COMPLETE"}
    answers.by_operation["DescribeStacks"] = {"Stacks": [failed]}
    with pytest.raises(DeploymentError, match="--replace"):
        run("deploy", "--yes")

    def once() -> dict[str, object]:
        del answers.by_operation["DescribeStacks"]
        return {"Stacks": [failed]}

    answers.by_operation["DescribeStacks"] = once
    result = run("deploy", "--yes", "--replace", "--json")

    assert json.loads(result.stdout)["result"] == "created"
    assert look(clients, "fleet").identifier != found["StackId"]


@pytest.mark.parametrize("name", ["", "1fleet", "a_fleet", "a" * 41])
def test_a_name_that_no_stack_can_have_is_wrong_use(run: Run, answers: "Answers", name: str) -> None:
    with pytest.raises(ConfigurationError, match="no fleet's name"):
        run("deploy", "--yes", "--fleet", name)
    assert answers.calls == []


def test_replace_and_dry_run_do_not_go_together(run: Run) -> None:
    with pytest.raises(ConfigurationError, match="no dry run"):
        run("deploy", "--replace", "--dry-run")


def test_destroy_removes_the_fleet_and_tells_where_the_recordings_are(run: Run, clients: DeployClients) -> None:
    run("deploy", "--yes")
    bucket = look(clients, "fleet").outputs["BucketName"]
    stop_instances(clients)

    result = run("destroy", "--yes")

    assert result.exit_code == 0
    assert f"ExistingBucketName={bucket}" in result.output
    assert not look(clients, "fleet").identifier
    assert "nothing is left to remove" in run("destroy", "--yes").output


def test_destroying_can_be_looked_at_first(run: Run, clients: DeployClients) -> None:
    run("deploy", "--yes")
    stop_instances(clients)
    result = run("destroy", "--dry-run")
    assert "this was a look only" in result.output
    assert look(clients, "fleet").identifier


@pytest.mark.parametrize("typed", ["", "another-bucket"])
def test_the_recordings_go_only_when_their_buckets_name_is_typed(run: Run, clients: DeployClients, typed: str) -> None:
    run("deploy", "--yes")
    bucket = look(clients, "fleet").outputs["BucketName"]
    stop_instances(clients)

    with pytest.raises((DeploymentError, ConfigurationError)):
        run("destroy", "--yes", "--delete-data", *(["--confirm-bucket", typed] if typed else []))
    assert look(clients, "fleet").identifier

    result = run("destroy", "--delete-data", typed=["y", bucket], terminal=True)
    assert result.exit_code == 0
    assert bucket not in [item["Name"] for item in clients.s3.list_buckets()["Buckets"]]


def test_answering_no_removes_nothing(run: Run, clients: DeployClients) -> None:
    run("deploy", "--yes")
    stop_instances(clients)
    assert run("destroy", typed=["n"], terminal=True).exit_code == 1
    assert look(clients, "fleet").identifier
