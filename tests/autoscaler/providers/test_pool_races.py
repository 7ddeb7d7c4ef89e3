"""The pool when EC2 takes its time, forgets to answer, or listens to two autoscalers: on the scripted cloud."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest

from autoscaler.model import ActionOutcome
from autoscaler.providers.choose import ALREADY_STARTED, InstancePool
from autoscaler.providers.contract import HELD
from shared.state.instances import HOLD_TAG, STARTED_AT_TAG, owned_since
from tests.autoscaler.providers.scripted_ec2 import Fault, ScriptedEc2

if TYPE_CHECKING:
    from tests.conftest import FakeClock


@pytest.fixture
def ec2(clock: "FakeClock") -> ScriptedEc2:
    return ScriptedEc2(clock)


@pytest.fixture
def pool(ec2: ScriptedEc2) -> InstancePool:
    return InstancePool(cast("Any", ec2))


def owned(ec2: ScriptedEc2, name: str) -> bool:
    return owned_since(ec2.hosts[name].tags, ec2.hosts[name].launch_time) is not None


# The second one acts as a whole at this moment of the first. Between the first one's look and its mark is missing:
# EC2 has no conditional tag, so there its mark takes the other's place; the tick record keeps ticks from it.
@pytest.mark.parametrize(
    ("moment", "operation"),
    [
        ("before", "describe_instances"),
        ("after", "create_tags"),
        ("before", "start_instances"),
        ("after", "start_instances"),
    ],
)
def test_of_two_autoscalers_at_once_one_starts_the_instance_and_it_stays_owned(
    ec2: ScriptedEc2, pool: InstancePool, clock: "FakeClock", moment: str, operation: str
) -> None:
    name = ec2.add()
    later = clock.now() + timedelta(milliseconds=7)
    others: list[ActionOutcome] = []

    def other() -> None:
        others.append(InstancePool(cast("Any", ec2)).start((name,), 1, later))

    getattr(ec2, moment)[operation] = other
    outcome = pool.start((name,), 1, clock.now())
    assert sorted([outcome.started, others[0].started]) == [(), (name,)]
    assert {**outcome.blocked, **others[0].blocked} == {name: ALREADY_STARTED}
    assert owned(ec2, name)


def test_an_instance_that_a_person_starts_in_the_middle_of_it_stays_theirs(
    ec2: ScriptedEc2, pool: InstancePool, clock: "FakeClock"
) -> None:
    name = ec2.add()
    ec2.before["start_instances"] = lambda: ec2.start_by_person(name)
    assert pool.start((name,), 1, clock.now()) == ActionOutcome(blocked={name: ALREADY_STARTED})
    assert STARTED_AT_TAG not in ec2.hosts[name].tags


def test_a_mark_of_an_earlier_start_is_left_alone_when_the_instance_runs_already(
    ec2: ScriptedEc2, pool: InstancePool, clock: "FakeClock"
) -> None:
    name = ec2.add()
    pool.start((name,), 1, clock.now())
    before = dict(ec2.hosts[name].tags)
    clock.advance(90)
    assert pool.start((name,), 1, clock.now()) == ActionOutcome(blocked={name: ALREADY_STARTED})
    assert ec2.hosts[name].tags == before


def test_when_boto3_asked_twice_and_its_first_try_was_the_start_then_the_instance_is_ours(
    ec2: ScriptedEc2, pool: InstancePool, clock: "FakeClock"
) -> None:
    name = ec2.add()
    ec2.before["start_instances"] = lambda: setattr(ec2, "retried", True)
    assert pool.start((name,), 1, clock.now()) == ActionOutcome(started=(name,))
    assert owned(ec2, name)


def test_a_hold_that_came_since_the_look_is_respected_and_the_next_one_starts(
    ec2: ScriptedEc2, pool: InstancePool, clock: "FakeClock"
) -> None:
    held, other = ec2.add(), ec2.add()
    ec2.hosts[held].tags[HOLD_TAG] = "debugging"
    assert pool.start((held, other), 1, clock.now()) == ActionOutcome(started=(other,), blocked={held: HELD})
    assert ec2.running() == {other}


@pytest.mark.parametrize("state", ["stopping", "shutting-down", "terminated"])
def test_an_instance_that_is_no_longer_stopped_is_blocked_unmarked_and_the_next_one_starts(
    ec2: ScriptedEc2, pool: InstancePool, clock: "FakeClock", state: str
) -> None:
    first, second = ec2.add(), ec2.add()
    ec2.hosts[first].state = state
    outcome = pool.start((first, "i-unknown", second), 1, clock.now())
    assert outcome.started == (second,)
    assert set(outcome.blocked) == {first, "i-unknown"}
    assert STARTED_AT_TAG not in ec2.hosts[first].tags


def test_two_hundred_instances_start_in_a_few_calls(ec2: ScriptedEc2, pool: InstancePool, clock: "FakeClock") -> None:
    names = tuple(ec2.add() for _ in range(200))
    outcome = pool.start(names, 200, clock.now())
    assert outcome.started == names
    assert all(owned(ec2, name) for name in names)
    assert ec2.calls["start_instances"] == 4
    assert sum(ec2.calls.values()) <= 20


def test_when_one_zone_of_a_large_pool_is_full_the_others_start_in_one_tick(
    ec2: ScriptedEc2, pool: InstancePool, clock: "FakeClock"
) -> None:
    full = [ec2.add("a") for _ in range(4)]
    free = [ec2.add("b") for _ in range(46)]
    ec2.full_zones = {"a"}
    outcome = pool.start((*full, *free), 50, clock.now())
    assert set(outcome.started) == set(free)
    assert outcome.blocked == dict.fromkeys(full, "InsufficientInstanceCapacity")
    assert not any(STARTED_AT_TAG in ec2.hosts[name].tags for name in full)


def test_when_nothing_can_start_a_tick_ends_after_a_bounded_number_of_calls_and_leaves_no_mark(
    ec2: ScriptedEc2, pool: InstancePool, clock: "FakeClock"
) -> None:
    names = tuple(ec2.add("a") for _ in range(200))
    ec2.full_zones = {"a"}
    outcome = pool.start(names, 200, clock.now())
    assert (outcome.started, outcome.failed) == ((), {})
    assert ec2.calls["start_instances"] <= 40
    assert not any(STARTED_AT_TAG in host.tags for host in ec2.hosts.values())


def test_a_tick_that_dies_after_its_start_leaves_an_owned_instance(
    ec2: ScriptedEc2, pool: InstancePool, clock: "FakeClock"
) -> None:
    name = ec2.add()

    def die() -> None:
        raise KeyboardInterrupt

    ec2.after["start_instances"] = die
    with pytest.raises(KeyboardInterrupt):
        pool.start((name,), 1, clock.now())
    assert ec2.running() == {name}
    assert owned(ec2, name)


def test_an_instance_that_has_not_come_up_yet_is_not_stopped(
    ec2: ScriptedEc2, pool: InstancePool, clock: "FakeClock"
) -> None:
    name = ec2.add(running=True)
    assert pool.stop(name) == ActionOutcome(blocked={name: "IncorrectInstanceState"})
    clock.advance(60)
    assert pool.stop(name) == ActionOutcome(stopped=(name,))


def test_throttling_stops_nothing_for_good(ec2: ScriptedEc2, pool: InstancePool, clock: "FakeClock") -> None:
    name = ec2.add(running=True)
    clock.advance(60)
    ec2.faults.append(Fault("stop_instances", "RequestLimitExceeded", 503))
    assert pool.stop(name) == ActionOutcome(blocked={name: "RequestLimitExceeded"})
    assert pool.stop(name) == ActionOutcome(stopped=(name,))
