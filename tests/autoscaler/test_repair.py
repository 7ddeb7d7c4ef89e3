"""Dead and hung workers over several ticks, and EC2's refusals of marks and reboots; on moto's server."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from autoscaler.tick import Autoscaler
from shared.state.instances import HOLD_TAG, REBOOTED_TAG, SUSPECT_TAG

if TYPE_CHECKING:
    from tests.autoscaler.conftest import PoolOnMoto, Refuse


@pytest.fixture
def autoscaler(pool_on_moto: "PoolOnMoto") -> Callable[..., Autoscaler]:
    """An autoscaler of the cloud's fleet, with some settings changed."""

    def make(*, dry_run: bool = False, **changes: Any) -> Autoscaler:
        settings = pool_on_moto.cloud.settings_with(**changes)
        return Autoscaler.from_settings(settings, pool_on_moto.clock, dry_run=dry_run)

    return make


Make = Callable[..., Autoscaler]


def test_given_a_worker_that_dies_then_its_instance_is_marked_rebooted_and_at_last_stopped(
    pool_on_moto: "PoolOnMoto", autoscaler: Make
) -> None:
    instance = pool_on_moto.add_owned(minutes_ago=0)
    pool_on_moto.beat(instance, "busy")
    ticker = autoscaler(boot_limit_seconds=120, silent_limit_seconds=120)
    steps = []
    for _ in range(12):
        pool_on_moto.clock.advance(60)
        outcome = ticker.tick().outcome
        steps += [
            word
            for word, names in (
                ("marked", outcome.marked),
                ("rebooted", outcome.rebooted),
                ("stopped", outcome.stopped),
            )
            if instance in names
        ]
    assert steps == ["marked", "rebooted", "marked", "stopped"]
    assert {SUSPECT_TAG, REBOOTED_TAG} <= set(pool_on_moto.tags(instance))
    assert pool_on_moto.states() == {instance: "stopped"}


def test_given_a_hold_put_on_between_two_ticks_then_a_marked_instance_is_left_alone(
    pool_on_moto: "PoolOnMoto", autoscaler: Make
) -> None:
    instance = pool_on_moto.add_owned(minutes_ago=20)
    assert autoscaler().tick().outcome.marked == (instance,)
    pool_on_moto.cloud.ec2.create_tags(Resources=[instance], Tags=[{"Key": HOLD_TAG, "Value": ""}])
    for _ in range(10):
        pool_on_moto.clock.advance(60)
        assert autoscaler().tick().plan.actions == ()


@pytest.mark.parametrize(("code", "kind"), [("UnauthorizedOperation", "failed"), ("IncorrectInstanceState", "blocked")])
def test_given_a_reboot_that_is_refused_then_the_result_says_so_and_it_counts_as_tried(
    pool_on_moto: "PoolOnMoto",
    autoscaler: Make,
    refuse: "Refuse",
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    kind: str,
) -> None:
    instance = pool_on_moto.add_owned(minutes_ago=20)
    refuse(pool_on_moto.cloud.ec2, "RebootInstances", code)
    monkeypatch.setattr("autoscaler.tick.ec2_client", lambda: pool_on_moto.cloud.ec2)
    autoscaler().tick()
    pool_on_moto.clock.advance(60)
    assert getattr(autoscaler().tick().outcome, kind) == {instance: code}
    assert REBOOTED_TAG in pool_on_moto.tags(instance)


def test_given_an_instance_that_cannot_be_marked_then_it_is_not_rebooted_either(
    pool_on_moto: "PoolOnMoto", autoscaler: Make, refuse: "Refuse", monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = pool_on_moto.add_owned(minutes_ago=20)
    refuse(pool_on_moto.cloud.ec2, "CreateTags", "UnauthorizedOperation", status=403)
    monkeypatch.setattr("autoscaler.tick.ec2_client", lambda: pool_on_moto.cloud.ec2)
    for _ in range(3):
        pool_on_moto.clock.advance(60)
        assert autoscaler().tick().outcome.failed == {instance: "UnauthorizedOperation"}


def test_given_one_heartbeat_that_makes_no_sense_then_the_other_workers_are_still_judged(
    pool_on_moto: "PoolOnMoto", autoscaler: Make
) -> None:
    strange, idle = pool_on_moto.add_owned(minutes_ago=0), pool_on_moto.add_owned(minutes_ago=20)
    pool_on_moto.beat(idle, "idle", idle_minutes=20)
    item: Any = {
        "sessionPath": {"S": f"worker#{strange}"},
        "chunk": {"S": "heartbeat"},
        "state": {"S": "asleep"},
    }
    pool_on_moto.cloud.dynamodb.put_item(TableName=pool_on_moto.cloud.settings.table_name, Item=item)
    result = autoscaler().tick()
    assert result.outcome.stopped == (idle,)
    assert result.observation.problems == (f"could not understand the heartbeats of {strange}",)
