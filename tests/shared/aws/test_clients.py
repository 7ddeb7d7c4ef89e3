"""Clients: their time-outs fit what is asked of them."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoscaler.deadline import TICK_SECONDS
from consumer.lifecycle.watchdog import _LONGEST_STEP_SECONDS
from shared.aws.timeouts import PATIENCE, Name
from shared.settings import Settings

if TYPE_CHECKING:
    from botocore.client import BaseClient

    from tests.conftest import Cloud

LEASE = Settings.model_fields["visibility_timeout_seconds"].default


def config_of(client: "BaseClient") -> dict[str, Any]:
    """botocore sets a client's options as attributes that its types do not name."""
    return vars(client.meta.config)


def test_the_polling_client_outlasts_the_longest_poll_and_a_lease_outlasts_the_client() -> None:
    longest_poll = Settings.model_json_schema()["properties"]["long_poll_seconds"]["maximum"]

    assert longest_poll < PATIENCE["sqs-poll"].read_seconds
    assert PATIENCE["sqs-poll"].worst_seconds < LEASE


def test_an_extension_of_leases_that_hangs_ends_before_the_next_one_is_due() -> None:
    assert PATIENCE["sqs"].worst_seconds < LEASE / 3


def test_the_ledgers_client_gives_up_well_before_a_lease_could_run_out() -> None:
    assert PATIENCE["dynamodb"].worst_seconds < LEASE / 3


def test_all_tries_of_a_jobs_call_to_s3_end_well_before_the_job_counts_as_hung() -> None:
    attempts = Settings.model_fields["retry_attempts"].default
    between = sum(2**done + 0.5 for done in range(attempts - 1))

    assert attempts * PATIENCE["s3"].worst_seconds + between < Settings.model_fields["job_deadline_seconds"].default / 2


def test_the_workers_loop_counts_as_hung_only_after_the_longest_honest_receive() -> None:
    assert PATIENCE["sqs"].worst_seconds + PATIENCE["sqs-poll"].worst_seconds < _LONGEST_STEP_SECONDS


def test_a_try_that_begins_just_before_a_ticks_deadline_ends_within_the_functions_time() -> None:
    template = (Path(__file__).parents[3] / "deploy/template.yaml").read_text()
    function = template[template.index("Handler: autoscaler.handler.handler") :]
    found = re.search(r"^ +Timeout: (\d+)$", function, re.MULTILINE)
    clients: tuple[Name, ...] = ("s3", "sqs", "dynamodb", "ec2", "autoscaling")
    last_backoff = 2 + 5

    assert found
    slowest = max(PATIENCE[name].one_try_seconds for name in clients)
    assert TICK_SECONDS + slowest + last_backoff < int(found[1])


def test_every_thread_that_settings_allow_has_a_connection_of_its_own(cloud: "Cloud") -> None:
    bounds = Settings.model_json_schema()["properties"]
    most_threads = max(bounds[name]["maximum"] for name in ("io_threads", "scan_threads"))

    for client in (cloud.s3, cloud.sqs, cloud.dynamodb):
        assert config_of(client)["max_pool_connections"] >= most_threads


def test_clients_find_region_and_endpoint_by_the_standard_variables(cloud: "Cloud") -> None:
    for client in (cloud.s3, cloud.sqs, cloud.dynamodb, cloud.ec2):
        assert (client.meta.endpoint_url, client.meta.region_name) == (cloud.endpoint, "us-east-1")
