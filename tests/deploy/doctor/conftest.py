"""A deployed fleet in the emulator, made by hand: each test breaks one part of it."""

import io
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from deploy.clients import aws_clients
from deploy.doctor.examination import ExaminedFleet
from deploy.doctor.finding import Finding, Status
from deploy.fleet import FleetStack, StackResource

if TYPE_CHECKING:
    from tests.conftest import Cloud, FakeClock

Seen = Callable[[Iterable[Finding]], list[tuple[str, str]]]


@dataclass(slots=True)
class Patient:
    """A fleet that a check looks at, and the cloud behind it."""

    cloud: "Cloud"
    clock: "FakeClock"
    fleet: ExaminedFleet

    def with_settings(self, **changes: Any) -> ExaminedFleet:
        """The fleet, deployed with other settings."""
        return replace(self.fleet, settings=self.cloud.settings_with(**changes))

    def with_function(self, name: str) -> str:
        """A function in the emulator, of an empty zip; returns its ARN."""
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("handler.py", "")
        role = boto3.client("iam").create_role(
            RoleName=name, AssumeRolePolicyDocument='{"Version": "2012-10-17", "Statement": []}'
        )["Role"]["Arn"]
        return self.fleet.clients.functions.create_function(
            FunctionName=name, Runtime="python3.12", Role=role, Handler="h.h", Code={"ZipFile": code.getvalue()}
        )["FunctionArn"]

    def with_resources(self, *resources: tuple[str, str], **parameters: str) -> ExaminedFleet:
        """The fleet, with a stack that has resources of these types and names."""
        made = tuple(StackResource(f"R{n}", kind, name, "CREATE_COMPLETE") for n, (kind, name) in enumerate(resources))
        return replace(self.fleet, stack=replace(self.fleet.stack, resources=made, parameters=parameters))


@pytest.fixture
def patient(cloud: "Cloud", clock: "FakeClock") -> Patient:
    stack = FleetStack(
        name="scribefleet",
        stack_id="arn:aws:cloudformation:us-east-1:123456789012:stack/scribefleet/1",
        status="CREATE_COMPLETE",
        reason="",
        outputs={},
        parameters={},
        resources=(),
    )
    return Patient(cloud, clock, ExaminedFleet(aws_clients(), stack, cloud.settings, clock))


@pytest.fixture
def wrong() -> Seen:
    """Status and text of the findings that are not ok, each of which must say what to do."""

    def not_ok(findings: Iterable[Finding]) -> list[tuple[str, str]]:
        some = [finding for finding in findings if finding.status is not Status.OK]
        assert all(finding.remedy for finding in some)
        return [(str(finding.status), finding.seen) for finding in some]

    return not_ok
