"""Every statement of every role is needed, and every permission in it: without it, a recorded call is refused.

One case for each statement in the template, made from the template itself.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from cfnlint.decode import decode

import deploy
from tests.iam.harness.evaluator import Request, Statement, allows, listed
from tests.iam.harness.platform import platform_requests
from tests.iam.harness.recording import Recording

TEMPLATE = Path(deploy.__file__).parent / "template.yaml"


def template_statements() -> list[tuple[str, str]]:
    """Component and Sid of each statement in the template."""
    template: Any
    template, _ = decode(str(TEMPLATE))
    policies = [made["Properties"] for made in template["Resources"].values() if made["Type"] == "AWS::IAM::Policy"]
    return [
        (policy["Roles"][0]["Ref"].removesuffix("Role").lower(), statement["Sid"])
        for policy in policies
        for statement in policy["PolicyDocument"]["Statement"]
    ]


STATEMENTS = template_statements()


@pytest.fixture(scope="session")
def recordings(pool_recording: Recording, group_recording: Recording) -> Sequence[Recording]:
    """Both ways to get instances; the pool, where the whole fleet ran, first."""
    return pool_recording, group_recording


def needed(recording: Recording, component: str) -> Iterator[Request]:
    """All that a component's role was asked for, and all that AWS's software will ask it for."""
    for call in recording.calls:
        if call.caller.component == component:
            yield from call.requests
    yield from platform_requests(component)


def refused(statements: Sequence[Statement], recording: Recording, component: str) -> list[Request]:
    """What the role does not allow with these statements, of what it allows as it is."""
    role = recording.policies[component]
    return [
        request for request in needed(recording, component) if allows(role, request) and not allows(statements, request)
    ]


def deployed(recordings: Sequence[Recording], component: str, sid: str) -> tuple[Recording, Statement]:
    """The statement, in the first deployment that has it."""
    for recording in recordings:
        for statement in recording.policies[component]:
            if statement["Sid"] == sid:
                return recording, statement
    raise AssertionError(f"no deployment has the statement {sid} of the {component}")


def narrowed(statement: Statement) -> Iterator[tuple[str, Statement]]:
    """The statement without one of its permissions, for each of them: a name, and what is left."""
    for action in listed(statement["Action"]):
        for resource in listed(statement["Resource"]):
            denial = {"Effect": "Deny", "Action": action, "Resource": resource}
            yield f"{action} on {resource}", denial


def test_statements_of_a_role_have_names_of_their_own() -> None:
    assert len(set(STATEMENTS)) == len(STATEMENTS) > 20


def test_what_is_deployed_is_what_is_tested(recordings: Sequence[Recording]) -> None:
    found = {
        (component, statement["Sid"])
        for recording in recordings
        for component, role in recording.policies.items()
        for statement in role
    }
    assert found == set(STATEMENTS)


@pytest.mark.parametrize(("component", "sid"), STATEMENTS)
def test_without_a_statement_a_run_fails(recordings: Sequence[Recording], component: str, sid: str) -> None:
    recording, statement = deployed(recordings, component, sid)
    without = [other for other in recording.policies[component] if other is not statement]
    assert refused(without, recording, component)


@pytest.mark.parametrize(("component", "sid"), STATEMENTS)
def test_no_permission_in_a_statement_is_for_nothing(recordings: Sequence[Recording], component: str, sid: str) -> None:
    recording, statement = deployed(recordings, component, sid)
    unneeded = [
        name
        for name, denial in narrowed(statement)
        if not refused([*recording.policies[component], denial], recording, component)
    ]
    assert unneeded == []


@pytest.mark.parametrize("component", ["scanner", "autoscaler", "worker"])
def test_what_aws_software_does_under_a_role_is_allowed(recordings: Sequence[Recording], component: str) -> None:
    _, group = recordings
    assert [need for need in platform_requests(component) if not allows(group.policies[component], need)] == []
