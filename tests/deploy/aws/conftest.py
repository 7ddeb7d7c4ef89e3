"""An account to deploy to: moto behind real boto3 clients, with what moto lacks mended at exactly that call.

moto has no quotas of EC2, no account settings of Lambda and no AMI parameter of Deep Learning AMIs: fixtures answer
those. Its change sets know no replacement; a stack made by one gets no outputs, and lists and numbers among its
parameters come back as Python's instead of as text, so that none ever equals what is sent. It can update few types of
resources and fails at the others: an update changes parameters and outputs here, which is what these tests look at.
"""

import copy
import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from moto.cloudformation.models import ChangeSet
from moto.cloudformation.models import Stack as MotoStack
from moto.cloudformation.parsing import OutputMap

from deploy.aws.artefacts import Builders
from deploy.aws.clients import Account, DeployClients, connect
from shared.clock import SystemClock
from tests.fixtures.fleet_resources import empty_cloud
from tests.fixtures.quick_clients import QuickClients

if TYPE_CHECKING:
    from tests.conftest import FakeClock

SERVICES = ("cloudformation", "ec2", "functions", "quotas", "s3", "ssm", "sts")
ACCOUNT = "123456789012"
IMAGE = "ami-12c6146b"  # one of moto's, with the root device /dev/sda1


class Answers:
    """Answers calls in moto's place, by operation, and records all calls.

    A function gives one answer after another; an exception is raised.
    """

    def __init__(self) -> None:
        self.by_operation: dict[str, Mapping[str, Any] | Exception | Callable[[], Mapping[str, Any]]] = {
            "GetParameter": {"Parameter": {"Value": IMAGE}},
            "GetServiceQuota": {"Quota": {"Value": 8.0}},
            "GetAccountSettings": {
                "AccountLimit": {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 1000}
            },
        }
        self.calls: list[tuple[str, Mapping[str, Any]]] = []

    @property
    def operations(self) -> list[str]:
        return [operation for operation, _ in self.calls]

    def note(self, params: Mapping[str, Any], model: Any, **_: Any) -> None:
        self.calls.append((model.name, dict(params)))

    def answer(self, model: Any, **_: Any) -> tuple[Any, Mapping[str, Any]] | None:
        answer = self.by_operation.get(model.name)
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            return None
        if callable(answer):
            answer = answer()
        return _Ok(), {"ResponseMetadata": {"HTTPStatusCode": 200}, **answer}


class _Ok:
    status_code = 200


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture(scope="module")
def connected(moto_endpoint: str, quick_clients: QuickClients) -> Iterator[DeployClients]:
    """Clients of moto for all tests of a module: making them takes longer than most tests."""
    with pytest.MonkeyPatch.context() as environment:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            environment.delenv(name)
        environment.setenv("AWS_ENDPOINT_URL", moto_endpoint)
        environment.setenv("AWS_CONFIG_FILE", os.devnull)  # a developer's profile must not reach the tests
        environment.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        environment.setenv("AWS_ACCESS_KEY_ID", "testing")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        environment.setenv("NO_PROXY", "127.0.0.1")
        quick_clients.install(environment)
        yield connect(None, "us-east-1", SystemClock())


@pytest.fixture
def clients(
    connected: DeployClients, clock: "FakeClock", answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> Iterator[DeployClients]:
    """Clients of an account with a default network, the AMI that AWS names, and a bucket called recordings."""
    empty_cloud()
    connected.s3.create_bucket(Bucket="recordings")
    monkeypatch.setattr("yaml.load", _load_once)
    monkeypatch.setattr(ChangeSet, "apply", _apply_with_outputs)
    monkeypatch.setattr(MotoStack, "stack_parameters", property(_parameters_as_text))
    monkeypatch.setattr(MotoStack, "parameter_list", property(_parameter_list))
    monkeypatch.setattr(MotoStack, "has_parameters", _has_parameters)
    services = [getattr(connected, name) for name in SERVICES]
    for client in services:
        client.meta.events.register("provide-client-params", answers.note)
        client.meta.events.register("before-call", answers.answer)
    yield dataclasses.replace(connected, clock=clock)
    for client in services:
        client.meta.events.unregister("provide-client-params", answers.note)
        client.meta.events.unregister("before-call", answers.answer)


@pytest.fixture
def account() -> Account:
    return Account(ACCOUNT, f"arn:aws:iam::{ACCOUNT}:user/tester")


@pytest.fixture
def builders() -> Builders:
    """Packaging without a network: the functions' own files are real, what pip would bring is one small file."""

    def install(_requirements: Path, into: Path) -> None:
        (into / "dependency.py").write_text("VERSION = 1\n")

    def wheel(into: Path) -> None:
        (into / "scribefleet-0-py3-none-any.whl").write_bytes(b"a wheel")

    return Builders(install, wheel)


_apply = ChangeSet.apply
_load = yaml.load
_loaded: dict[str, Any] = {}


def _load_once(text: str, Loader: Any) -> Any:  # noqa: N803 - yaml's own name
    """moto parses the template half a dozen times a deployment, which would be most of what these tests take."""
    if text not in _loaded:
        _loaded[text] = _load(text, Loader)
    return copy.deepcopy(_loaded[text])


def _apply_with_outputs(self: ChangeSet) -> None:
    resources = self.stack.resource_map
    if self.change_set_type == "CREATE":
        _apply(self)
    else:
        resources.input_parameters = self.parameters
        resources.load_parameters()
    self.stack.output_map = OutputMap(resources, self.template_dict, self.stack.stack_id)


def _parameters_as_text(self: MotoStack) -> dict[str, str]:
    resolved = self.resource_map.resolved_parameters
    return {name: ",".join(value) if isinstance(value, list) else str(value) for name, value in resolved.items()}


def _has_parameters(self: MotoStack, sent: Mapping[str, str]) -> bool:
    current = _parameters_as_text(self)
    return {**current, **sent} == current


def _parameter_list(self: MotoStack) -> list[dict[str, str]]:
    return [{"ParameterKey": name, "ParameterValue": value} for name, value in _parameters_as_text(self).items()]
