"""The stand-in cloud itself: what other tests rest on."""

from typing import TYPE_CHECKING

import boto3
import pytest

from shared.settings import load_settings

if TYPE_CHECKING:
    from tests.conftest import Cloud


def test_another_process_with_the_clouds_environment_reads_the_same_settings(
    cloud: "Cloud", monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)

    assert load_settings() == cloud.settings


@pytest.mark.parametrize("test", ["one", "the next"])
def test_each_test_starts_with_an_empty_cloud(cloud: "Cloud", test: str) -> None:
    found = cloud.s3.list_objects_v2(Bucket=cloud.settings.bucket)["KeyCount"]
    cloud.put_audio("u", "s", "001")

    assert found == 0


def test_a_client_made_late_is_of_this_cloud_whatever_a_test_has_led_its_code_to(
    cloud: "Cloud", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    boto3.setup_default_session(region_name="eu-west-1")

    assert cloud.s3.meta.endpoint_url == cloud.endpoint
    assert cloud.s3.meta.region_name == "us-east-1"
    assert cloud.s3.list_objects_v2(Bucket=cloud.settings.bucket)["KeyCount"] == 0
