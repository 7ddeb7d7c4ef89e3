"""The operator's command, on moto's server."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from autoscaler.cli import autoscale
from autoscaler.record import TickRecord
from autoscaler.record_store import RecordStore
from shared.formats.layout import LOCK_KEY
from shared.state.instances import STARTED_AT_TAG

if TYPE_CHECKING:
    from tests.autoscaler.conftest import PoolOnMoto
    from tests.conftest import Cloud


@pytest.fixture(autouse=True)
def environment(cloud: "Cloud", monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLUMNS", "120")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(autoscale, arguments, catch_exceptions=False)


def send_job(cloud: "Cloud") -> None:
    cloud.sqs.send_message(QueueUrl=cloud.settings.priority_queue_url, MessageBody="{}")


def test_given_a_waiting_job_when_run_then_the_instance_starts_and_the_table_says_what_was_seen_and_done(
    pool_on_moto: "PoolOnMoto",
) -> None:
    (instance,) = pool_on_moto.add()
    send_job(pool_on_moto.cloud)
    result = run()
    assert result.exit_code == 0
    assert pool_on_moto.states() == {instance: "running"}
    row = next(line for line in result.stdout.splitlines() if instance in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == [instance, "stopped", "stopped", "no", "-", "-"]
    lines = result.stdout.splitlines()
    assert "queue      1 waiting, 0 in flight, 0 delayed" in lines
    assert "lock       lock is free" in lines
    assert "decision   starting 1: 1 job waits, 0 of 1 instance at work" in lines
    assert f"outcome    started {instance}" in lines


def test_given_a_dry_run_then_it_says_what_it_would_do_and_changes_nothing(pool_on_moto: "PoolOnMoto") -> None:
    (instance,) = pool_on_moto.add()
    send_job(pool_on_moto.cloud)
    result = run("--dry-run")
    assert result.exit_code == 0
    assert f"outcome    would have started {instance}" in result.stdout.splitlines()
    assert pool_on_moto.states() == {instance: "stopped"}
    assert STARTED_AT_TAG not in pool_on_moto.tags(instance)


def test_given_a_dry_run_and_an_idle_owned_instance_then_it_would_be_stopped_but_keeps_running(
    pool_on_moto: "PoolOnMoto",
) -> None:
    instance = pool_on_moto.add_owned(minutes_ago=0)
    pool_on_moto.beat(instance, "idle", idle_minutes=20)
    result = run("--dry-run")
    assert f"outcome    would have stopped {instance}" in result.stdout.splitlines()
    assert pool_on_moto.states() == {instance: "running"}


def test_given_json_then_one_object_holds_what_was_seen_decided_and_done(pool_on_moto: "PoolOnMoto") -> None:
    (instance,) = pool_on_moto.add()
    send_job(pool_on_moto.cloud)
    result = run("--json", "--dry-run")
    printed = json.loads(result.stdout)
    assert printed["dryRun"] is True
    assert printed["queue"] == {"visible": 1, "inFlight": 0, "delayed": 0}
    assert [seen["id"] for seen in printed["instances"]] == [instance]
    (action,) = printed["actions"]
    assert (action["action"], action["candidates"], action["count"]) == ("start", [instance], 1)
    assert printed["outcome"]["started"] == [instance]


def test_given_a_busy_owned_worker_then_its_row_tells_standing_owner_and_heartbeat(pool_on_moto: "PoolOnMoto") -> None:
    instance = pool_on_moto.add_owned(minutes_ago=0)
    pool_on_moto.beat(instance, "busy")
    row = next(line for line in run().stdout.splitlines() if instance in line)
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells[:4] == [instance, "running", "at work", "yes"]
    assert cells[4].startswith("busy, ")


def test_given_an_unreadable_lock_then_it_says_so_and_exits_with_1(cloud: "Cloud") -> None:
    cloud.s3.put_object(Bucket=cloud.settings.bucket, Key=LOCK_KEY, Body=b"[]")
    result = run()
    assert result.exit_code == 1
    assert f"s3://recordings/{LOCK_KEY} is not a valid lock object" in result.stdout


def test_given_an_unreadable_queue_then_the_problem_is_printed_and_it_exits_with_1(cloud: "Cloud") -> None:
    cloud.sqs.delete_queue(QueueUrl=cloud.settings.jobs_queue_url)
    result = run()
    assert result.exit_code == 1
    assert "problem    could not read the queue jobs (" in result.stdout
    assert "decision   waiting: could not read the queue jobs (" in result.stdout


def test_given_waiting_work_then_backlog_age_and_todays_cost_are_printed(pool_on_moto: "PoolOnMoto") -> None:
    pool_on_moto.add()
    for _ in range(8):
        send_job(pool_on_moto.cloud)
    lines = run("--dry-run").stdout.splitlines()
    # 8 jobs x 5 s / 20
    assert "backlog    2s of work for one instance, the oldest job waits 0s at most" in lines
    assert "today      0.00 GPU hours, 0.00 USD" in lines


def test_given_counts_that_are_looked_at_twice_then_both_looks_are_printed(
    pool_on_moto: "PoolOnMoto", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRIBEFLEET_START_CONFIRM_READS", "2")
    monkeypatch.setattr("autoscaler.tick._CONFIRM_SECONDS", 0)
    pool_on_moto.add()
    send_job(pool_on_moto.cloud)
    assert run("--dry-run").stdout.splitlines().count("queue      1 waiting, 0 in flight, 0 delayed") == 2


def test_given_a_dry_run_and_a_dead_worker_then_it_would_be_marked_and_no_tag_is_written(
    pool_on_moto: "PoolOnMoto", monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = pool_on_moto.add_owned(minutes_ago=0)
    # Within the five minutes in which a launch may follow its mark, and beyond the boot limit.
    pool_on_moto.mark(instance, pool_on_moto.clock.now() - timedelta(minutes=4))
    monkeypatch.setenv("SCRIBEFLEET_BOOT_LIMIT_SECONDS", "120")
    tags = pool_on_moto.tags(instance)
    result = run("--dry-run", "--json")
    printed = json.loads(result.stdout)
    assert [(action["action"], action["instanceId"]) for action in printed["actions"]] == [("suspect", instance)]
    assert printed["decision"] == "repairing"
    assert pool_on_moto.tags(instance) == tags


def test_given_a_budget_that_is_used_up_then_the_alarm_is_printed(
    pool_on_moto: "PoolOnMoto", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRIBEFLEET_DAILY_GPU_HOURS", "2")
    pool_on_moto.add()
    send_job(pool_on_moto.cloud)
    record = TickRecord(version=1, counted_until=datetime.now(UTC), gpu_seconds=9000)
    RecordStore(pool_on_moto.cloud.dynamodb, pool_on_moto.cloud.settings.table_name).write(record)
    lines = run("--dry-run").stdout.splitlines()
    assert any(line.startswith("alarm      over budget: 2.5 of 2 GPU hours of today are used") for line in lines)


def test_given_an_empty_pool_then_it_says_so(cloud: "Cloud") -> None:
    result = run()
    assert result.exit_code == 0
    assert "the pool is empty" in result.stdout


def test_given_a_missing_setting_then_the_console_script_prints_one_line_and_exits_with_2(cloud: "Cloud") -> None:
    environment = cloud.environment()
    del environment["SCRIBEFLEET_TABLE_NAME"]
    ended = subprocess.run(
        [sys.executable, "-c", "from deploy.cli import main; main()", "autoscale"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert "SCRIBEFLEET_TABLE_NAME is not set" in line
