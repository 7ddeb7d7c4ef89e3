"""Who this host is, asked over the real protocol."""

import pytest

from consumer.host.imds import InstanceIdentity, instance_identity
from deploy.local.metadata_service import metadata_service


def test_an_instance_learns_who_it_is_with_a_session_token(monkeypatch: pytest.MonkeyPatch) -> None:
    with metadata_service("i-0123", "g4dn.xlarge", "us-east-1") as endpoint:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint)
        assert instance_identity() == InstanceIdentity("i-0123", "g4dn.xlarge")


def test_without_a_metadata_service_the_host_is_no_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    with metadata_service("i-0123", "g4dn.xlarge", "us-east-1") as endpoint:
        pass  # closed again: nobody listens at the address any more
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint)
    assert instance_identity() is None


def test_a_switched_off_metadata_service_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with metadata_service("i-0123", "g4dn.xlarge", "us-east-1") as endpoint:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        assert instance_identity() is None
