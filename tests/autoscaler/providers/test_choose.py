"""The pool's own ways, against moto's server; what it has in common with other providers is in the contract suite."""

from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config

from autoscaler.model import ActionOutcome
from autoscaler.providers.choose import ALREADY_STARTED, DryRunPool, InstancePool
from shared.clock import iso
from shared.state.instances import STARTED_AT_TAG, owned_since

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

    from tests.autoscaler.conftest import PoolOnMoto, Refuse


@pytest.fixture
def ec2(pool_on_moto: "PoolOnMoto") -> "EC2Client":
    """A client that tries each call once, so that no test waits for a retry."""
    return boto3.client("ec2", config=Config(retries={"total_max_attempts": 1, "mode": "standard"}))


def test_given_a_stopped_instance_when_started_then_it_runs_and_is_marked_as_owned(
    pool_on_moto: "PoolOnMoto", ec2: "EC2Client"
) -> None:
    (instance,) = pool_on_moto.add()
    now = pool_on_moto.clock.now()
    assert InstancePool(ec2).start((instance,), 1, now) == ActionOutcome(started=(instance,))
    assert pool_on_moto.states() == {instance: "running"}
    assert pool_on_moto.tags(instance)[STARTED_AT_TAG] == iso(now)
    assert owned_since(pool_on_moto.tags(instance), now) is not None


def test_given_more_candidates_than_are_wanted_then_only_the_first_ones_start(
    pool_on_moto: "PoolOnMoto", ec2: "EC2Client"
) -> None:
    ids = pool_on_moto.add(3)
    InstancePool(ec2).start(tuple(ids), 2, pool_on_moto.clock.now())
    assert [pool_on_moto.states()[instance] for instance in ids] == ["running", "running", "stopped"]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("InsufficientInstanceCapacity", 500),
        ("IncorrectInstanceState", 400),
        ("InstanceLimitExceeded", 400),
        ("VcpuLimitExceeded", 400),
    ],
)
def test_given_the_first_candidate_cannot_start_now_then_its_mark_goes_and_the_next_one_starts(
    pool_on_moto: "PoolOnMoto", ec2: "EC2Client", refuse: "Refuse", code: str, status: int
) -> None:
    first, second = pool_on_moto.add(2)
    refuse(ec2, "StartInstances", code, status=status, when=first)
    outcome = InstancePool(ec2).start((first, second), 1, pool_on_moto.clock.now())
    assert outcome == ActionOutcome(started=(second,), blocked={first: code})
    assert pool_on_moto.states() == {first: "stopped", second: "running"}
    assert STARTED_AT_TAG not in pool_on_moto.tags(first)


def test_given_a_refusal_that_a_person_must_see_then_it_is_reported_the_mark_goes_and_no_other_is_tried(
    pool_on_moto: "PoolOnMoto", ec2: "EC2Client", refuse: "Refuse"
) -> None:
    first, second = pool_on_moto.add(2)
    refuse(ec2, "StartInstances", "UnauthorizedOperation", status=403)
    outcome = InstancePool(ec2).start((first, second), 1, pool_on_moto.clock.now())
    assert outcome == ActionOutcome(failed={first: "UnauthorizedOperation"})
    assert STARTED_AT_TAG not in pool_on_moto.tags(first)
    assert STARTED_AT_TAG not in pool_on_moto.tags(second)


def test_given_an_answer_that_leaves_open_whether_it_started_then_the_mark_stays_so_that_it_can_be_stopped(
    pool_on_moto: "PoolOnMoto", ec2: "EC2Client", refuse: "Refuse"
) -> None:
    (instance,) = pool_on_moto.add()
    refuse(ec2, "StartInstances", "InternalError", status=500)
    outcome = InstancePool(ec2).start((instance,), 1, pool_on_moto.clock.now())
    assert outcome == ActionOutcome(failed={instance: "InternalError"})
    assert STARTED_AT_TAG in pool_on_moto.tags(instance)


def test_given_an_instance_that_cannot_be_marked_then_it_is_not_started(
    pool_on_moto: "PoolOnMoto", ec2: "EC2Client", refuse: "Refuse"
) -> None:
    (instance,) = pool_on_moto.add()
    refuse(ec2, "CreateTags", "UnauthorizedOperation", status=403)
    outcome = InstancePool(ec2).start((instance,), 1, pool_on_moto.clock.now())
    assert outcome == ActionOutcome(failed={instance: "UnauthorizedOperation"})
    assert pool_on_moto.states() == {instance: "stopped"}


def test_given_a_person_was_first_then_the_instance_stays_theirs_and_counts_as_started(
    pool_on_moto: "PoolOnMoto", ec2: "EC2Client"
) -> None:
    (running,) = pool_on_moto.add(stopped=False)
    (other,) = pool_on_moto.add()
    outcome = InstancePool(ec2).start((running, other), 1, pool_on_moto.clock.now())
    assert outcome == ActionOutcome(blocked={running: ALREADY_STARTED})
    assert STARTED_AT_TAG not in pool_on_moto.tags(running)
    assert pool_on_moto.states()[other] == "stopped"


def test_given_a_mark_that_cannot_be_taken_back_then_that_is_a_failure(
    pool_on_moto: "PoolOnMoto", ec2: "EC2Client", refuse: "Refuse"
) -> None:
    (instance,) = pool_on_moto.add()
    refuse(ec2, "StartInstances", "InsufficientInstanceCapacity", status=500)
    refuse(ec2, "DeleteTags", "UnauthorizedOperation", status=403)
    outcome = InstancePool(ec2).start((instance,), 1, pool_on_moto.clock.now())
    assert outcome.failed == {instance: "UnauthorizedOperation"}


def test_given_a_running_instance_when_stopped_then_it_stops(pool_on_moto: "PoolOnMoto", ec2: "EC2Client") -> None:
    (instance,) = pool_on_moto.add(stopped=False)
    assert InstancePool(ec2).stop(instance) == ActionOutcome(stopped=(instance,))
    assert pool_on_moto.states() == {instance: "stopped"}


def test_given_an_instance_between_two_states_when_stopped_then_it_is_blocked_and_not_a_failure(
    pool_on_moto: "PoolOnMoto", ec2: "EC2Client", refuse: "Refuse"
) -> None:
    (instance,) = pool_on_moto.add(stopped=False)
    refuse(ec2, "StopInstances", "IncorrectInstanceState")
    assert InstancePool(ec2).stop(instance) == ActionOutcome(blocked={instance: "IncorrectInstanceState"})


def test_given_a_stop_that_is_refused_for_good_then_it_is_a_failure(
    pool_on_moto: "PoolOnMoto", ec2: "EC2Client", refuse: "Refuse"
) -> None:
    (instance,) = pool_on_moto.add(stopped=False)
    refuse(ec2, "StopInstances", "UnauthorizedOperation", status=403)
    assert InstancePool(ec2).stop(instance) == ActionOutcome(failed={instance: "UnauthorizedOperation"})


def test_given_a_dry_run_then_it_tells_what_the_pool_would_have_done(pool_on_moto: "PoolOnMoto") -> None:
    now = pool_on_moto.clock.now()
    assert DryRunPool().start(("i-1", "i-2"), 1, now) == ActionOutcome(started=("i-1",))
    assert DryRunPool().stop("i-3") == ActionOutcome(stopped=("i-3",))
