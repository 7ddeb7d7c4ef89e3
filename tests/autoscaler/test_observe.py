"""Looking at the fleet, against moto's server."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from autoscaler.observe import Observer
from shared.aws.sqs import QueueDepth
from shared.state.instances import HOLD_TAG, STARTED_AT_TAG
from shared.state.ledger import Ledger
from shared.state.lock import SessionLock

if TYPE_CHECKING:
    from shared.settings import Settings
    from tests.autoscaler.conftest import PoolOnMoto, Refuse


def observer(pool: "PoolOnMoto", settings: "Settings | None" = None) -> Observer:
    cloud, used = pool.cloud, settings or pool.cloud.settings
    lock = SessionLock(cloud.s3, used.bucket, pool.clock, timedelta(minutes=used.lock_stale_minutes))
    return Observer(cloud.sqs, cloud.ec2, lock, Ledger(cloud.dynamodb, used, pool.clock), used)


def test_given_messages_on_both_queues_then_the_depth_is_their_sum_by_kind(pool_on_moto: "PoolOnMoto") -> None:
    sqs, settings = pool_on_moto.cloud.sqs, pool_on_moto.cloud.settings
    for url, count in ((settings.jobs_queue_url, 3), (settings.priority_queue_url, 2)):
        for _ in range(count):
            sqs.send_message(QueueUrl=url, MessageBody="{}")
    sqs.send_message(QueueUrl=settings.jobs_queue_url, MessageBody="{}", DelaySeconds=900)
    sqs.receive_message(QueueUrl=settings.priority_queue_url, MaxNumberOfMessages=1)
    assert observer(pool_on_moto).observe().queue == QueueDepth(visible=4, in_flight=1, delayed=1)


def test_given_more_instances_than_a_page_holds_then_all_of_them_are_seen(pool_on_moto: "PoolOnMoto") -> None:
    ids = {instance for _ in range(12) for instance in pool_on_moto.add()}
    pages: list[int] = []
    events = pool_on_moto.cloud.ec2.meta.events

    def short_pages(params: dict[str, Any], **_: Any) -> None:
        params["MaxResults"] = 5

    def count(parsed: dict[str, Any], **_: Any) -> None:
        pages.append(len(parsed["Reservations"]))

    events.register("before-parameter-build.ec2.DescribeInstances", short_pages)
    events.register("after-call.ec2.DescribeInstances", count)
    seen = observer(pool_on_moto).observe().instances
    assert {instance.id for instance in seen or ()} == ids
    assert pages == [5, 5, 2]


def test_given_another_fleets_and_a_terminated_instance_then_neither_is_seen(pool_on_moto: "PoolOnMoto") -> None:
    (ours,) = pool_on_moto.add()
    pool_on_moto.add(tags={"scribefleet:fleet": "another"})
    gone = pool_on_moto.add()
    pool_on_moto.cloud.ec2.terminate_instances(InstanceIds=gone)
    seen = observer(pool_on_moto).observe().instances
    assert [instance.id for instance in seen or ()] == [ours]


def test_given_tags_on_an_instance_then_it_is_known_who_started_it_since_when_and_who_holds_it(
    pool_on_moto: "PoolOnMoto",
) -> None:
    owned = pool_on_moto.add_owned(minutes_ago=7)
    (plain,) = pool_on_moto.add(stopped=False)
    (garbage,) = pool_on_moto.add(tags={STARTED_AT_TAG: "yesterday"})
    (held,) = pool_on_moto.add(tags={HOLD_TAG: ""})
    (outdated,) = pool_on_moto.add(stopped=False)
    pool_on_moto.mark(outdated, pool_on_moto.clock.now() - timedelta(minutes=30))
    seen = {instance.id: instance for instance in observer(pool_on_moto).observe().instances or ()}
    assert {name for name, instance in seen.items() if instance.owned} == {owned}
    assert {name for name, instance in seen.items() if instance.hold} == {held}
    age = pool_on_moto.clock.now() - seen[owned].run_start
    assert age.total_seconds() == pytest.approx(7 * 60, abs=0.01)
    assert seen[plain].run_start == seen[plain].launch_time
    assert seen[garbage].state == "stopped"
    assert seen[plain].availability_zone.startswith("us-east-1")


def test_given_heartbeats_then_those_of_all_instances_are_read(pool_on_moto: "PoolOnMoto") -> None:
    running = pool_on_moto.add_owned(minutes_ago=3)
    (stopped,) = pool_on_moto.add()
    pool_on_moto.beat(running, "busy")
    pool_on_moto.beat(stopped, "draining")
    heartbeats = observer(pool_on_moto).observe().heartbeats
    assert {name: beat.state for name, beat in (heartbeats or {}).items()} == {
        running: "busy",
        stopped: "draining",
    }


def test_given_an_unreadable_queue_then_its_depth_is_unknown_and_the_problem_names_it(
    pool_on_moto: "PoolOnMoto",
) -> None:
    settings = pool_on_moto.cloud.settings
    pool_on_moto.cloud.sqs.delete_queue(QueueUrl=settings.priority_queue_url)
    seen = observer(pool_on_moto).observe()
    assert seen.queue is None
    (problem,) = seen.problems
    assert problem.startswith("could not read the queue jobs-priority (")
    assert seen.instances == ()


def test_given_unreadable_instances_then_they_and_their_heartbeats_are_unknown(
    pool_on_moto: "PoolOnMoto", refuse: "Refuse"
) -> None:
    refuse(pool_on_moto.cloud.ec2, "DescribeInstances", "UnauthorizedOperation", status=403)
    seen = observer(pool_on_moto).observe()
    assert (seen.instances, seen.heartbeats) == (None, None)
    assert seen.problems == ("could not read the instances (UnauthorizedOperation)",)
    assert seen.queue == QueueDepth()


def test_given_an_unreadable_ledger_then_the_heartbeats_are_unknown_and_the_rest_is_known(
    pool_on_moto: "PoolOnMoto",
) -> None:
    instance = pool_on_moto.add_owned(minutes_ago=3)
    pool_on_moto.cloud.dynamodb.delete_table(TableName=pool_on_moto.cloud.settings.table_name)
    seen = observer(pool_on_moto).observe()
    assert seen.heartbeats is None
    assert [found.id for found in seen.instances or ()] == [instance]
    assert len(seen.problems) == 1
    assert seen.problems[0].startswith("could not read the heartbeats (the ledger could not be read")


def test_given_the_lock_is_switched_off_then_a_held_lock_counts_as_free(pool_on_moto: "PoolOnMoto") -> None:
    cloud = pool_on_moto.cloud
    SessionLock(cloud.s3, cloud.settings.bucket, pool_on_moto.clock, timedelta(minutes=30)).take("u", "s")
    assert observer(pool_on_moto).lock().held
    assert not observer(pool_on_moto, cloud.settings_with(lock_enabled=False)).lock().held
