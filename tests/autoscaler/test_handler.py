"""The Lambda function from end to end, on moto's server."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from autoscaler.handler import Handler
from shared.aws.clients import s3_client
from shared.errors import ConfigurationError, InstanceError
from shared.formats.layout import LOCK_KEY
from shared.state.instances import STARTED_AT_TAG
from shared.state.lock import SessionLock

if TYPE_CHECKING:
    from tests.autoscaler.conftest import PoolOnMoto, Refuse
    from tests.conftest import Cloud


@pytest.fixture(autouse=True)
def environment(cloud: "Cloud", monkeypatch: pytest.MonkeyPatch) -> None:
    """The function's variables, as the template sets them."""
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def tick(pool_on_moto: "PoolOnMoto") -> Callable[[], dict[str, Any]]:
    """Invoke one and the same container."""
    handler = Handler(pool_on_moto.clock)
    return lambda: handler({}, None)


def send_job(cloud: "Cloud") -> None:
    cloud.sqs.send_message(QueueUrl=cloud.settings.jobs_queue_url, MessageBody="{}")


def take_lock(pool: "PoolOnMoto") -> SessionLock:
    lock = SessionLock(pool.cloud.s3, pool.cloud.settings.bucket, pool.clock, timedelta(minutes=30))
    lock.take("u", "talk-7")
    return lock


def on_call(event: str, hook: Callable[..., None]) -> None:
    """Hook into the calls of clients that are made from now on, as the handler makes them at its first call."""
    boto3.setup_default_session()
    assert boto3.DEFAULT_SESSION is not None
    boto3.DEFAULT_SESSION.events.register(event, hook)


def test_given_a_waiting_job_and_a_stopped_instance_then_it_runs_and_is_owned(
    pool_on_moto: "PoolOnMoto", tick: Callable[[], dict[str, Any]]
) -> None:
    (instance,) = pool_on_moto.add()
    send_job(pool_on_moto.cloud)
    result = tick()
    assert result["outcome"]["started"] == [instance]
    assert pool_on_moto.states() == {instance: "running"}
    assert STARTED_AT_TAG in pool_on_moto.tags(instance)
    following = tick()
    assert following["reason"] == "enough: 1 job waits, 1 of 1 instance at work"
    assert [(seen["owned"], seen["standing"]) for seen in following["instances"]] == [(True, "booting")]


def test_given_the_lock_is_held_then_nothing_starts_until_it_is_released(
    pool_on_moto: "PoolOnMoto", tick: Callable[[], dict[str, Any]]
) -> None:
    (instance,) = pool_on_moto.add()
    send_job(pool_on_moto.cloud)
    lock = take_lock(pool_on_moto)
    result = tick()
    assert result["reason"].startswith("holding: live session talk-7 since ")
    assert pool_on_moto.states() == {instance: "stopped"}
    assert STARTED_AT_TAG not in pool_on_moto.tags(instance)
    lock.release("u", "talk-7")
    tick()
    assert pool_on_moto.states() == {instance: "running"}


def test_given_the_lock_is_held_then_an_idle_owned_instance_is_not_stopped(
    pool_on_moto: "PoolOnMoto", tick: Callable[[], dict[str, Any]]
) -> None:
    instance = pool_on_moto.add_owned(minutes_ago=20)
    pool_on_moto.beat(instance, "idle", idle_minutes=20)
    take_lock(pool_on_moto)
    tick()
    assert pool_on_moto.states() == {instance: "running"}


def test_given_an_unreadable_lock_then_nothing_starts_and_the_reason_names_the_object(
    pool_on_moto: "PoolOnMoto", tick: Callable[[], dict[str, Any]]
) -> None:
    (instance,) = pool_on_moto.add()
    send_job(pool_on_moto.cloud)
    pool_on_moto.cloud.s3.put_object(Bucket=pool_on_moto.cloud.settings.bucket, Key=LOCK_KEY, Body=b"<html>")
    assert f"s3://recordings/{LOCK_KEY} is not a valid lock object" in tick()["reason"]
    assert pool_on_moto.states() == {instance: "stopped"}


def test_given_a_session_that_begins_while_the_tick_decides_then_nothing_starts(
    pool_on_moto: "PoolOnMoto", tick: Callable[[], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (instance,) = pool_on_moto.add()
    send_job(pool_on_moto.cloud)
    reads: list[str] = []

    def begin_after_the_first_read(**_: Any) -> None:
        if not reads:
            take_lock(pool_on_moto)
        reads.append("lock")

    s3 = s3_client()
    s3.meta.events.register("after-call.s3.GetObject", begin_after_the_first_read)
    monkeypatch.setattr("autoscaler.tick.s3_client", lambda: s3)
    result = tick()
    assert len(result["actions"]) == 1
    assert result["reason"].endswith("seen right before acting")
    assert result["reason"].startswith("holding: live session talk-7")
    assert result["outcome"]["started"] == []
    assert pool_on_moto.states() == {instance: "stopped"}


def test_given_idle_workers_then_the_owned_instance_is_stopped_and_a_persons_is_not(
    pool_on_moto: "PoolOnMoto", tick: Callable[[], dict[str, Any]]
) -> None:
    (theirs,) = pool_on_moto.add(stopped=False)
    owned = pool_on_moto.add_owned(minutes_ago=20)
    for instance in (theirs, owned):
        pool_on_moto.beat(instance, "idle", idle_minutes=10)
    assert tick()["outcome"]["stopped"] == [owned]
    assert pool_on_moto.states() == {theirs: "running", owned: "stopped"}


def test_given_an_unreadable_ledger_then_nothing_is_stopped_and_the_result_says_what_was_not_seen(
    pool_on_moto: "PoolOnMoto", tick: Callable[[], dict[str, Any]]
) -> None:
    instance = pool_on_moto.add_owned(minutes_ago=600)
    pool_on_moto.cloud.dynamodb.delete_table(TableName=pool_on_moto.cloud.settings.table_name)
    result = tick()
    assert result["heartbeatsKnown"] is False
    assert [problem.split("(")[0].split(":")[0].strip() for problem in result["problems"]] == [
        "could not read the heartbeats",
        "the ticks' record could not be read",
    ]
    assert pool_on_moto.states() == {instance: "running"}


def test_given_a_message_that_arrives_while_the_instance_stops_then_a_later_tick_starts_it(
    pool_on_moto: "PoolOnMoto", tick: Callable[[], dict[str, Any]]
) -> None:
    (instance,) = pool_on_moto.add()
    send_job(pool_on_moto.cloud)
    still_stopping = True

    def as_on_aws(parsed: dict[str, Any], **_: Any) -> None:
        # moto's instances are stopped at once; EC2's stay in `stopping` for a while
        for reservation in parsed["Reservations"] if still_stopping else []:
            for described in reservation["Instances"]:
                described["State"] = {"Code": 64, "Name": "stopping"}

    on_call("after-call.ec2.DescribeInstances", as_on_aws)
    assert tick()["reason"].startswith(f"waiting: {instance} is stopping, will retry")
    still_stopping = False
    assert tick()["outcome"]["started"] == [instance]
    assert pool_on_moto.states() == {instance: "running"}


def test_given_aws_refuses_a_start_for_good_then_the_invocation_fails_and_names_instance_and_code(
    pool_on_moto: "PoolOnMoto",
    tick: Callable[[], dict[str, Any]],
    refuse: "Refuse",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (instance,) = pool_on_moto.add()
    send_job(pool_on_moto.cloud)
    refuse(pool_on_moto.cloud.ec2, "StartInstances", "UnauthorizedOperation", status=403)
    monkeypatch.setattr("autoscaler.tick.ec2_client", lambda: pool_on_moto.cloud.ec2)
    with pytest.raises(InstanceError, match=rf"{instance} \(UnauthorizedOperation\)"):
        tick()


def test_given_a_tick_then_its_metrics_are_lines_of_their_own_on_standard_output(
    pool_on_moto: "PoolOnMoto", tick: Callable[[], dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    pool_on_moto.add(2)
    send_job(pool_on_moto.cloud)
    tick()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all("_aws" in line for line in lines)
    assert [line["Starts"] for line in lines if "Starts" in line] == [1]
    assert {line["State"]: line["InstancesByState"] for line in lines if "State" in line}["stopped"] == 2


def test_given_a_tick_then_it_logs_one_event_with_what_it_saw_and_why_it_acted(
    pool_on_moto: "PoolOnMoto", tick: Callable[[], dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    tick()
    (event,) = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert event["event"] == "tick"
    assert event["level"] == "info"
    assert event["queue"] == {"visible": 0, "inFlight": 0, "delayed": 0}
    assert event["lock"] == {"held": False, "description": "lock is free"}
    assert event["reason"] == "nothing to do: no work waits, 0 instances run"
    assert not any(event["outcome"].values())


def test_given_a_missing_setting_then_the_error_names_the_variable(
    tick: Callable[[], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SCRIBEFLEET_TABLE_NAME")
    with pytest.raises(ConfigurationError, match="SCRIBEFLEET_TABLE_NAME is not set"):
        tick()


# A fresh interpreter in which the optional packages, and those of the command line, cannot be imported.
_BARE_IMPORT = """
import sys
for name in ("faster_whisper", "av", "moto", "numpy", "click", "rich", "jinja2", "ctranslate2"):
    sys.modules[name] = None
import autoscaler.handler
assert callable(autoscaler.handler.handler)
"""


def test_given_a_bare_interpreter_without_settings_then_the_handler_imports_without_optional_packages() -> None:
    bare = subprocess.run(
        [sys.executable, "-c", _BARE_IMPORT], env={}, capture_output=True, text=True, check=False, timeout=60
    )
    assert bare.returncode == 0, bare.stderr
