"""What a tick tells people through its record: what it came to and why, also where acting has changed that."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from autoscaler.record_store import RecordStore
from autoscaler.tick import Autoscaler
from shared.state.last_tick import LastTick, last_tick
from shared.state.lock import SessionLock

if TYPE_CHECKING:
    from tests.autoscaler.conftest import PoolOnMoto


def told(pool: "PoolOnMoto") -> LastTick:
    found = last_tick(pool.cloud.dynamodb, pool.cloud.settings.table_name)
    assert found
    return found


def version(pool: "PoolOnMoto") -> int:
    return RecordStore(pool.cloud.dynamodb, pool.cloud.settings.table_name).read().version


def autoscaler(pool: "PoolOnMoto") -> Autoscaler:
    return Autoscaler.from_settings(pool.cloud.settings, pool.clock)


def send_job(pool: "PoolOnMoto") -> None:
    pool.cloud.sqs.send_message(QueueUrl=pool.cloud.settings.jobs_queue_url, MessageBody="{}")


def test_given_a_tick_then_its_record_tells_what_it_decided_when_and_why(pool_on_moto: "PoolOnMoto") -> None:
    pool_on_moto.add()
    send_job(pool_on_moto)

    result = autoscaler(pool_on_moto).tick()

    seen = told(pool_on_moto)
    assert (seen.ticked_at, seen.decision, seen.reason) == (result.now, "starting", result.reason)
    assert version(pool_on_moto) == 2  # only acting has shown what was started
    autoscaler(pool_on_moto).tick()
    assert version(pool_on_moto) == 3  # one write is enough where acting has shown nothing new


def test_given_a_session_that_begins_right_before_the_start_then_the_record_tells_that_it_holds(
    pool_on_moto: "PoolOnMoto", monkeypatch: pytest.MonkeyPatch
) -> None:
    pool_on_moto.add()
    send_job(pool_on_moto)
    ours = autoscaler(pool_on_moto)
    write = ours._parts.records.write

    def overtaken(record: Any) -> bool:
        cloud = pool_on_moto.cloud
        SessionLock(cloud.s3, cloud.settings.bucket, pool_on_moto.clock, timedelta(minutes=30)).take("alice", "live")
        return write(record)

    monkeypatch.setattr(ours._parts.records, "write", overtaken)
    result = ours.tick()

    seen = told(pool_on_moto)
    assert result.outcome.started == ()
    assert seen.decision == "holding"
    assert seen.reason == result.reason
    assert "seen right before acting" in result.reason
