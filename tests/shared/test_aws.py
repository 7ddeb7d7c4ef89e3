"""Clients: their time-outs fit what is asked of them."""

from typing import TYPE_CHECKING, Any

from shared.settings import Settings

if TYPE_CHECKING:
    from botocore.client import BaseClient

    from tests.conftest import Cloud


def config_of(client: "BaseClient") -> dict[str, Any]:
    """botocore sets a client's options as attributes that its types do not name."""
    return vars(client.meta.config)


def test_the_sqs_client_outlasts_the_longest_poll_and_a_lease_outlasts_the_client(cloud: "Cloud") -> None:
    longest_poll = Settings.model_json_schema()["properties"]["long_poll_seconds"]["maximum"]
    lease = Settings.model_fields["visibility_timeout_seconds"].default

    assert longest_poll < config_of(cloud.sqs)["read_timeout"] < lease


def test_the_ledgers_client_gives_up_well_before_a_lease_could_run_out(cloud: "Cloud") -> None:
    lease = Settings.model_fields["visibility_timeout_seconds"].default
    config = config_of(cloud.dynamodb)

    assert (config["connect_timeout"] + config["read_timeout"]) * config["retries"]["total_max_attempts"] < lease / 3


def test_clients_find_region_and_endpoint_by_the_standard_variables(cloud: "Cloud") -> None:
    for client in (cloud.s3, cloud.sqs, cloud.dynamodb, cloud.ec2):
        assert (client.meta.endpoint_url, client.meta.region_name) == (cloud.endpoint, "us-east-1")
