"""How long a tick over 200 instances takes, on moto's server and by a clock that each call moves on."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from autoscaler.model import Decision
from autoscaler.tick import Autoscaler

if TYPE_CHECKING:
    from tests.autoscaler.conftest import PoolOnMoto

MANY = 200
CALL_SECONDS = 0.05  # what a call to AWS takes from a Lambda function in its region, amply
LIMIT_SECONDS = 10


@pytest.fixture
def slowly(pool_on_moto: "PoolOnMoto") -> Callable[..., Autoscaler]:
    """An autoscaler for which every call takes its time, and a receive that finds nothing all of its wait."""

    def make(*, ghosts: int = 0, **changes: Any) -> Autoscaler:
        boto3.setup_default_session()
        assert boto3.DEFAULT_SESSION is not None
        events = boto3.DEFAULT_SESSION.events
        events.register("before-send", lambda **_: pool_on_moto.clock.advance(CALL_SECONDS))
        events.register("before-parameter-build.sqs.ReceiveMessage", wait)
        if ghosts:
            events.register("after-call.sqs.GetQueueAttributes", lambda parsed, **_: lie(parsed, ghosts))
        settings = pool_on_moto.cloud.settings_with(max_instances=MANY, start_confirm_reads=2, **changes)
        return Autoscaler.from_settings(settings, pool_on_moto.clock)

    def wait(params: dict[str, Any], **_: Any) -> None:
        pool_on_moto.clock.advance(params["WaitTimeSeconds"])
        params["WaitTimeSeconds"] = 0

    def lie(parsed: dict[str, Any], count: int) -> None:
        parsed["Attributes"]["ApproximateNumberOfMessages"] = str(count)

    return make


Make = Callable[..., Autoscaler]


def run_all(pool: "PoolOnMoto", *, minutes: float) -> list[str]:
    """Two hundred owned instances that run since so many minutes ago."""
    ids = pool.add(MANY, stopped=False)
    pool.cloud.ec2.create_tags(
        Resources=ids, Tags=[{"Key": "scribefleet:started-at", "Value": pool.clock.now().isoformat()}]
    )
    pool.clock.advance(minutes * 60)
    return ids


def send_jobs(pool: "PoolOnMoto", count: int) -> None:
    for _ in range(count):
        pool.cloud.sqs.send_message(QueueUrl=pool.cloud.settings.jobs_queue_url, MessageBody="{}")


def test_given_200_dead_workers_then_one_tick_sees_judges_and_marks_all_of_them_in_time(
    pool_on_moto: "PoolOnMoto", slowly: Make
) -> None:
    ids = run_all(pool_on_moto, minutes=20)
    for instance in ids[:5]:
        pool_on_moto.beat(instance, "busy")
    ticker, began = slowly(), pool_on_moto.clock.monotonic()
    result = ticker.tick()
    assert pool_on_moto.clock.monotonic() - began < LIMIT_SECONDS
    assert len(result.outcome.marked) == MANY - 5
    assert json.dumps(result.document())


def test_given_200_idle_workers_then_a_tick_ends_in_time_with_as_many_stopped_as_there_was_time_for(
    pool_on_moto: "PoolOnMoto", slowly: Make
) -> None:
    for instance in run_all(pool_on_moto, minutes=10):
        pool_on_moto.beat(instance, "idle", idle_minutes=9)
    ticker, began = slowly(), pool_on_moto.clock.monotonic()
    result = ticker.tick()
    assert pool_on_moto.clock.monotonic() - began < LIMIT_SECONDS
    assert MANY / 5 <= len(result.outcome.stopped) < MANY
    assert list(pool_on_moto.states().values()).count("stopped") == len(result.outcome.stopped)


def test_given_a_burst_for_200_stopped_instances_then_one_tick_looks_three_times_and_starts_them_all_in_time(
    pool_on_moto: "PoolOnMoto", slowly: Make
) -> None:
    pool_on_moto.add(MANY)
    send_jobs(pool_on_moto, 10)
    ticker, began = slowly(target_drain_seconds=1, rtfx=0.01), pool_on_moto.clock.monotonic()
    result = ticker.tick()
    assert pool_on_moto.clock.monotonic() - began < LIMIT_SECONDS
    assert result.observation.sighting == "message"
    assert len(result.outcome.started) == MANY


def test_given_counts_of_messages_that_are_not_there_then_the_looks_end_in_time(
    pool_on_moto: "PoolOnMoto", slowly: Make
) -> None:
    pool_on_moto.add(MANY)
    ticker, began = slowly(ghosts=100_000), pool_on_moto.clock.monotonic()
    assert ticker.tick().decision is Decision.UNCONFIRMED
    assert pool_on_moto.clock.monotonic() - began < LIMIT_SECONDS


def test_given_more_stops_than_the_time_allows_then_the_rest_is_left_to_the_next_tick_and_the_reason_counts_it(
    pool_on_moto: "PoolOnMoto", slowly: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [pool_on_moto.add_owned(minutes_ago=1) for _ in range(5)]
    pool_on_moto.clock.advance(1200)
    for instance in ids:
        pool_on_moto.beat(instance, "idle", idle_minutes=20)
    ticker = slowly()
    stop = ticker._parts.provider.stop

    def two_seconds(instance_id: str) -> Any:
        pool_on_moto.clock.advance(2)
        return stop(instance_id)

    monkeypatch.setattr(ticker._parts.provider, "stop", two_seconds)
    result = ticker.tick()
    assert len(result.outcome.stopped) == 3
    assert result.reason.endswith("; out of time, 2 steps are left for the next tick")
    assert len(ticker.tick().outcome.stopped) == 2
