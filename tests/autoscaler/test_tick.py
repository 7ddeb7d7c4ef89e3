"""Ticks that come twice, at once, without the table or with doubtful counts; on moto's server."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from autoscaler.model import Decision
from autoscaler.record import TickRecord
from autoscaler.record_store import RecordStore
from autoscaler.result import TickResult
from autoscaler.tick import Autoscaler
from shared.errors import LedgerError

if TYPE_CHECKING:
    from tests.autoscaler.conftest import PoolOnMoto, Refuse

KEY = {"sessionPath": {"S": "autoscaler"}, "chunk": {"S": "tick"}}


@pytest.fixture
def autoscaler(pool_on_moto: "PoolOnMoto") -> Callable[..., Autoscaler]:
    """An autoscaler of the cloud's fleet, with some settings changed."""

    def make(*, dry_run: bool = False, **changes: Any) -> Autoscaler:
        settings = pool_on_moto.cloud.settings_with(**changes)
        return Autoscaler.from_settings(settings, pool_on_moto.clock, dry_run=dry_run)

    return make


Make = Callable[..., Autoscaler]


def send_jobs(pool: "PoolOnMoto", count: int = 1) -> None:
    for _ in range(count):
        pool.cloud.sqs.send_message(QueueUrl=pool.cloud.settings.jobs_queue_url, MessageBody="{}")


def store(pool: "PoolOnMoto") -> RecordStore:
    return RecordStore(pool.cloud.dynamodb, pool.cloud.settings.table_name)


def delete_table(pool: "PoolOnMoto") -> None:
    pool.cloud.dynamodb.delete_table(TableName=pool.cloud.settings.table_name)


# --- twice, and at once


def test_given_another_tick_that_decides_meanwhile_then_this_one_does_nothing_and_says_so(
    pool_on_moto: "PoolOnMoto", autoscaler: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    (instance,) = pool_on_moto.add()
    send_jobs(pool_on_moto)
    ours, other = autoscaler(), autoscaler()
    results: list[TickResult] = []
    observe = ours._parts.observer.observe

    def overtaken() -> Any:
        seen = observe()
        results.append(other.tick())
        return seen

    monkeypatch.setattr(ours._parts.observer, "observe", overtaken)
    result = ours.tick()
    assert result.decision is Decision.SUPERSEDED
    assert result.outcome.started == ()
    assert results[0].outcome.started == (instance,)


def test_given_the_same_event_twice_then_the_second_tick_starts_nothing_more(
    pool_on_moto: "PoolOnMoto", autoscaler: Make
) -> None:
    pool_on_moto.add(3)
    send_jobs(pool_on_moto)
    first, second = autoscaler(max_instances=3).tick(), autoscaler(max_instances=3).tick()
    assert len(first.outcome.started) == 1
    assert (second.outcome.started, second.decision) == ((), Decision.ENOUGH)
    assert list(pool_on_moto.states().values()).count("running") == 1


def test_given_ticks_in_a_row_then_each_adds_one_to_the_records_version(
    pool_on_moto: "PoolOnMoto", autoscaler: Make
) -> None:
    for _ in range(3):
        autoscaler().tick()
    assert store(pool_on_moto).read().version == 3


def test_given_a_dry_run_then_the_record_stays_as_it_is(pool_on_moto: "PoolOnMoto", autoscaler: Make) -> None:
    autoscaler().tick()
    before = store(pool_on_moto).read()
    pool_on_moto.clock.advance(60)
    autoscaler(dry_run=True).tick()
    assert store(pool_on_moto).read() == before


# --- the record itself


def test_given_a_record_that_someone_has_written_meanwhile_then_it_is_not_overwritten(
    pool_on_moto: "PoolOnMoto",
) -> None:
    records = store(pool_on_moto)
    assert records.write(TickRecord(version=1, gpu_seconds=10))
    assert not records.write(TickRecord(version=1, gpu_seconds=99))
    assert records.write(TickRecord(version=2, gpu_seconds=20))
    assert not records.write(TickRecord(version=2, gpu_seconds=99))
    assert records.read().gpu_seconds == 20


@pytest.mark.parametrize("text", ["no json", '{"gpuSeconds": "many"}', "[]"])
def test_given_a_record_that_is_not_valid_then_it_is_begun_anew_in_its_place(
    pool_on_moto: "PoolOnMoto", autoscaler: Make, text: str
) -> None:
    item: Any = {**KEY, "version": {"N": "7"}, "record": {"S": text}}
    pool_on_moto.cloud.dynamodb.put_item(TableName=pool_on_moto.cloud.settings.table_name, Item=item)
    autoscaler().tick()
    assert store(pool_on_moto).read().version == 8


def test_given_the_table_is_away_then_the_store_says_so(pool_on_moto: "PoolOnMoto") -> None:
    delete_table(pool_on_moto)
    with pytest.raises(LedgerError, match="could not be read: ResourceNotFoundException"):
        store(pool_on_moto).read()
    with pytest.raises(LedgerError, match="could not be written: ResourceNotFoundException"):
        store(pool_on_moto).write(TickRecord(version=1))


# --- without the table


def test_given_the_table_is_away_then_work_is_started_all_the_same(
    pool_on_moto: "PoolOnMoto", autoscaler: Make
) -> None:
    (instance,) = pool_on_moto.add()
    send_jobs(pool_on_moto)
    delete_table(pool_on_moto)
    assert autoscaler(start_min_jobs=50).tick().outcome.started == (instance,)


def test_given_the_table_is_away_and_a_budget_then_nothing_is_started_and_the_reason_says_why(
    pool_on_moto: "PoolOnMoto", autoscaler: Make
) -> None:
    pool_on_moto.add()
    send_jobs(pool_on_moto)
    delete_table(pool_on_moto)
    result = autoscaler(daily_cost_usd=5).tick()
    assert result.outcome.started == ()
    assert result.reason.startswith("not starting: what today has cost could not be read")


def test_given_a_record_that_can_be_read_but_not_written_then_the_tick_acts(
    pool_on_moto: "PoolOnMoto", autoscaler: Make, refuse: "Refuse", monkeypatch: pytest.MonkeyPatch
) -> None:
    (instance,) = pool_on_moto.add()
    send_jobs(pool_on_moto)
    refuse(pool_on_moto.cloud.dynamodb, "PutItem", "AccessDeniedException")
    monkeypatch.setattr("autoscaler.tick.dynamodb_client", lambda: pool_on_moto.cloud.dynamodb)
    assert autoscaler().tick().outcome.started == (instance,)


# --- what the record changes


def test_given_a_few_jobs_under_a_threshold_then_they_are_started_for_when_they_have_waited_long_enough(
    pool_on_moto: "PoolOnMoto", autoscaler: Make
) -> None:
    (instance,) = pool_on_moto.add()
    send_jobs(pool_on_moto)
    started = []
    for _ in range(12):
        result = autoscaler(start_min_jobs=50, start_max_wait_seconds=600).tick()
        started.append(result.outcome.started)
        pool_on_moto.clock.advance(60)
    assert started[:11] == [()] * 10 + [(instance,)]


def test_given_a_zone_without_capacity_then_the_next_tick_lets_it_rest_and_a_later_one_asks_again(
    pool_on_moto: "PoolOnMoto", autoscaler: Make, refuse: "Refuse", monkeypatch: pytest.MonkeyPatch
) -> None:
    pool_on_moto.add()
    send_jobs(pool_on_moto)
    refuse(pool_on_moto.cloud.ec2, "StartInstances", "InsufficientInstanceCapacity", status=500)
    monkeypatch.setattr("autoscaler.tick.ec2_client", lambda: pool_on_moto.cloud.ec2)
    ticker = autoscaler()
    decisions = []
    for _ in range(4):
        decisions.append(ticker.tick().decision)
        pool_on_moto.clock.advance(30)
    assert decisions[:2] == [Decision.STARTING, Decision.NO_CAPACITY]
    assert Decision.STARTING in decisions[2:]


def test_given_a_used_up_budget_then_nothing_more_is_started_today(
    pool_on_moto: "PoolOnMoto", autoscaler: Make
) -> None:
    (instance,) = pool_on_moto.add()
    now = pool_on_moto.clock.now()
    store(pool_on_moto).write(TickRecord(version=1, counted_until=now, gpu_seconds=7200))
    send_jobs(pool_on_moto)
    assert autoscaler(daily_gpu_hours=2).tick().decision is Decision.OVER_BUDGET
    overridden = autoscaler(daily_gpu_hours=2, budget_override_until=now + timedelta(hours=1))
    assert overridden.tick().outcome.started == (instance,)


# --- doubtful counts


def test_given_counts_that_a_second_look_does_not_confirm_then_nothing_is_started(
    pool_on_moto: "PoolOnMoto", autoscaler: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool_on_moto.add()
    send_jobs(pool_on_moto)
    ticker = autoscaler(start_confirm_reads=2)
    look_again = ticker._parts.observer.look_again

    def after_a_purge(observation: Any) -> Any:
        pool_on_moto.cloud.sqs.purge_queue(QueueUrl=pool_on_moto.cloud.settings.jobs_queue_url)
        return look_again(observation)

    monkeypatch.setattr(ticker._parts.observer, "look_again", after_a_purge)
    result = ticker.tick()
    assert result.outcome.started == ()
    assert result.reason == "nothing to do: no work waits (1 seen at first, not confirmed), 0 instances run"


def test_given_counts_that_every_look_confirms_then_the_start_comes_a_few_seconds_later(
    pool_on_moto: "PoolOnMoto", autoscaler: Make
) -> None:
    (instance,) = pool_on_moto.add()
    send_jobs(pool_on_moto)
    began = pool_on_moto.clock.now()
    result = autoscaler(start_confirm_reads=3).tick()
    assert result.outcome.started == (instance,)
    assert pool_on_moto.clock.now() - began == timedelta(seconds=6)


def test_given_a_second_look_that_fails_then_nothing_is_started(
    pool_on_moto: "PoolOnMoto", autoscaler: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool_on_moto.add()
    send_jobs(pool_on_moto)
    ticker = autoscaler(start_confirm_reads=2)
    monkeypatch.setattr(
        ticker._parts.observer,
        "look_again",
        lambda seen: replace(seen, queue=None, problems=("could not read the queue jobs (Throttling)",)),
    )
    assert (ticker.tick().decision, ticker.tick().outcome.started) == (Decision.OBSERVATION_FAILED, ())


def test_given_nothing_to_start_then_no_second_look_is_taken(pool_on_moto: "PoolOnMoto", autoscaler: Make) -> None:
    began = pool_on_moto.clock.now()
    autoscaler(start_confirm_reads=5).tick()
    assert pool_on_moto.clock.now() == began
