"""The calls that the code can make, and what the roles allow, are the same: none is missing, none is unused."""

import ast
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import shared
from tests.iam.harness.actions import ACTIONS
from tests.iam.harness.calls import UnknownCallError, Use, calls_in, fleet_modules, uses_in
from tests.iam.harness.evaluator import listed
from tests.iam.harness.platform import platform_requests

if TYPE_CHECKING:
    from tests.iam.harness.recording import Recording


ROOT = Path(shared.__file__).parent.parent
COMPONENTS = {"producer": "scanner", "autoscaler": "autoscaler", "consumer": "worker"}

# Calls of shared/ that no component makes, and who does.
OTHERS_CALLS = {
    Use(
        "shared/state/ledger_table.py", "dynamodb", "Query"
    ): "people's commands look at a session's jobs with their own permissions",
    Use("shared/state/lock.py", "s3", "DeleteObject"): "recorders release the lock with their own permissions",
}


@pytest.fixture(scope="session")
def recorded(pool_recording: "Recording", group_recording: "Recording") -> set[tuple[str, str, str]]:
    """Component, service and operation of every call that was made."""
    calls = [*pool_recording.calls, *group_recording.calls]
    return {(call.caller.component, call.service, call.operation) for call in calls}


def allowed(recordings: "Sequence[Recording]", component: str) -> set[str]:
    """The actions that a role allows, however instances are got."""
    statements = [statement for recording in recordings for statement in recording.policies[component]]
    return {action for statement in statements for action in listed(statement["Action"])}


def action_of(use: Use) -> str:
    return ACTIONS[use.service][use.operation]


@pytest.mark.parametrize("package", [*COMPONENTS, "shared"])
def test_it_is_known_what_every_call_needs(package: str) -> None:
    assert [use for use in uses_in(ROOT / package) if use.operation not in ACTIONS[use.service]] == []


@pytest.mark.parametrize(("package", "component"), COMPONENTS.items())
def test_every_call_of_a_component_is_made_in_a_run_under_its_role(
    recorded: set[tuple[str, str, str]], package: str, component: str
) -> None:
    never = [use for use in uses_in(ROOT / package) if (component, use.service, use.operation) not in recorded]
    assert never == []


def test_every_shared_call_is_made_by_a_component_or_explained(recorded: set[tuple[str, str, str]]) -> None:
    made = {(service, operation) for _, service, operation in recorded}
    never = {use for use in uses_in(ROOT / "shared") if (use.service, use.operation) not in made}
    assert never == set(OTHERS_CALLS)


@pytest.mark.parametrize(("package", "component"), COMPONENTS.items())
def test_a_role_allows_what_its_component_calls_and_nothing_else(
    pool_recording: "Recording", group_recording: "Recording", package: str, component: str
) -> None:
    recordings = (pool_recording, group_recording)
    own = {action_of(use) for use in uses_in(ROOT / package)}
    made = {
        request.action
        for recording in recordings
        for call in recording.calls
        if call.caller.component == component
        for request in call.requests
    }
    platforms = {request.action for request in platform_requests(component)}
    assert own - made == set(), "found in the code, and never made"
    assert allowed(recordings, component) == made | platforms


def test_clients_are_made_in_one_place_and_only_of_known_services() -> None:
    makers = {
        path.relative_to(ROOT).as_posix()
        for package in (*COMPONENTS, "shared")
        for path in fleet_modules(ROOT / package)
        if makes_clients(path.read_text())
    }
    assert makers == {"shared/aws/clients.py"}
    services = {
        node.args[0].value
        for node in ast.walk(ast.parse((ROOT / "shared/aws/clients.py").read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".client")
        if isinstance(node.args[0], ast.Constant)
    }
    assert services == set(ACTIONS)


def makes_clients(source: str) -> bool:
    """Whether a module can reach what makes clients: boto3 or botocore's session."""
    return any(
        isinstance(node, ast.Call) and ast.unparse(node.func).endswith((".client", ".create_client", ".resource"))
        for node in ast.walk(ast.parse(source))
    )


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("s3.put_object(Bucket=b)", [("s3", "PutObject")]),
        ("self._sqs.send_message_batch(Entries=e)", [("sqs", "SendMessageBatch")]),
        ("retry(self._sqs.delete_message, QueueUrl=u)", [("sqs", "DeleteMessage")]),
        ("ec2.get_paginator('describe_instances').paginate()", [("ec2", "DescribeInstances")]),
        ("self._ec2.delete_tags(Resources=r)", [("ec2", "DeleteTags")]),
        ("client.stop_instances(InstanceIds=i)", [("ec2", "StopInstances")]),
        ("self._dynamodb.scan(TableName=t)", [("dynamodb", "Scan")]),
        ("Scanner(settings).scan()", []),
        ("queue.delete(message)", []),
    ],
)
def test_a_call_is_found_however_it_is_written(source: str, found: list[tuple[str, str]]) -> None:
    assert list(calls_in(source)) == found


@pytest.mark.parametrize(
    "source", ["ec2.get_paginator(name)", "client.delete_tags(Resources=r)", "s3.upload_file('a', 'b', 'c')"]
)
def test_a_call_that_cannot_be_told_by_its_name_is_not_passed_over(source: str) -> None:
    with pytest.raises(UnknownCallError):
        list(calls_in(source))
