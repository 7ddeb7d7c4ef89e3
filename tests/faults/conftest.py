"""What tests of the fault proxy share."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import boto3
import pytest

from tests.faults.harness.proxy import FaultProxy
from tests.faults.through_proxy import NOWHERE

if TYPE_CHECKING:
    from botocore.loaders import Loader

    from tests.conftest import Cloud


@pytest.fixture
def proxy(cloud: "Cloud") -> Iterator[FaultProxy]:
    with FaultProxy(cloud.endpoint, seed=7) as proxy:
        yield proxy
    assert proxy.failures == []


@pytest.fixture
def lonely(service_models: "Loader", monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """A proxy with no cloud behind it: for what it answers itself, and much quicker."""
    variables = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_REGION": "us-east-1"}
    for name, value in (variables | {"AWS_DEFAULT_REGION": "us-east-1", "NO_PROXY": "127.0.0.1"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setattr("botocore.session.create_loader", lambda *_: service_models)
    with FaultProxy(NOWHERE, seed=7) as proxy:
        yield proxy
    assert proxy.failures == []
