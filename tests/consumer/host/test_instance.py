"""How a worker's instance is kept and how it ends: in the pool, in the fleet's group, and in nobody's."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from consumer.host.group_membership import Membership
from consumer.host.imds import InstanceIdentity
from consumer.host.instance import WorkerInstance
from shared.aws.clients import autoscaling_client
from shared.clock import iso
from shared.state.instances import HOLD_TAG, STARTED_AT_TAG
from tests.autoscaler.providers.scripted_ec2 import aws_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Cloud, FakeClock
    from tests.consumer.conftest import MakeCrew

GROUP = "workers"


@dataclass(frozen=True)
class GroupOnMoto:
    """The fleet's group with two members, and the worker on the first of them."""

    cloud: "Cloud"
    autoscaling: Any
    mine: str
    other: str
    worker: WorkerInstance

    def described(self) -> Any:
        return self.autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[GROUP])["AutoScalingGroups"][0]

    def protected(self) -> dict[str, bool]:
        return {one["InstanceId"]: one["ProtectedFromScaleIn"] for one in self.described()["Instances"]}

    def desired(self) -> int:
        return int(self.described()["DesiredCapacity"])

    def tag(self, key: str) -> None:
        self.cloud.ec2.create_tags(Resources=[self.mine], Tags=[{"Key": key, "Value": ""}])


@pytest.fixture
def group(cloud: "Cloud", clock: "FakeClock", tmp_path: Path) -> GroupOnMoto:
    autoscaling = autoscaling_client()
    autoscaling.create_launch_configuration(
        LaunchConfigurationName="w", ImageId="ami-12c6146b", InstanceType="g4dn.xlarge"
    )
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName=GROUP,
        LaunchConfigurationName="w",
        MinSize=0,
        MaxSize=3,
        DesiredCapacity=2,
        AvailabilityZones=["us-east-1a"],
    )
    described = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[GROUP])["AutoScalingGroups"][0]
    mine, other = (one["InstanceId"] for one in described["Instances"])
    return GroupOnMoto(cloud, autoscaling, mine, other, in_group(cloud, clock, mine, power_off(tmp_path)))


def in_group(cloud: "Cloud", clock: "FakeClock", name: str, command: str = "", group: str = GROUP) -> WorkerInstance:
    membership = Membership(autoscaling_client(), group, name, clock)
    return WorkerInstance(cloud.ec2, InstanceIdentity(name, "g4dn.xlarge"), command, membership)


def power_off(folder: Path) -> str:
    """A command that leaves a file when it is run."""
    return f"{sys.executable} -c \"open(r'{folder / 'off'}', 'w')\""


def test_a_member_of_the_fleets_group_is_owned_since_its_launch(group: GroupOnMoto) -> None:
    run = group.worker.run()
    assert run is not None
    assert (run.owned, run.group, run.hold) == (True, GROUP, False)


def test_an_idle_member_leaves_and_the_group_does_not_replace_it(
    group: GroupOnMoto, state_of: "Callable[[str], str]"
) -> None:
    assert group.worker.stop()
    assert state_of(group.mine) == "terminated"
    assert state_of(group.other) == "running"
    assert (group.desired(), set(group.protected())) == (1, {group.other})


def test_a_busy_member_is_not_the_one_that_goes_when_someone_lowers_the_capacity(
    group: GroupOnMoto, state_of: "Callable[[str], str]"
) -> None:
    group.worker.keep(needed=True)
    group.autoscaling.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=1)
    assert (state_of(group.mine), state_of(group.other)) == ("running", "terminated")


def test_a_member_that_is_idle_again_is_no_longer_protected(group: GroupOnMoto) -> None:
    group.worker.keep(needed=True)
    assert group.protected() == {group.mine: True, group.other: False}
    group.worker.keep(needed=False)
    assert group.protected() == {group.mine: False, group.other: False}


def test_protection_that_was_refused_is_set_half_a_minute_later_and_not_asked_for_at_every_poll(
    group: GroupOnMoto, cloud: "Cloud", clock: "FakeClock"
) -> None:
    client = autoscaling_client()
    asked: list[str] = []

    def not_in_service(**_: Any) -> None:
        asked.append("")
        if len(asked) == 1:
            raise aws_error("ValidationError", "SetInstanceProtection")

    client.meta.events.register("before-call.autoscaling.SetInstanceProtection", not_in_service)
    membership = Membership(client, GROUP, group.mine, clock)
    worker = WorkerInstance(cloud.ec2, InstanceIdentity(group.mine, "g4dn.xlarge"), "", membership)
    for _ in range(3):
        worker.keep(needed=True)
        assert not group.protected()[group.mine]
    clock.advance(31)
    worker.keep(needed=True)
    worker.keep(needed=True)
    assert group.protected()[group.mine]
    assert len(asked) == 2


def test_a_member_on_hold_stays(group: GroupOnMoto, state_of: "Callable[[str], str]") -> None:
    group.tag(HOLD_TAG)
    assert not group.worker.stop()
    assert (state_of(group.mine), group.desired()) == ("running", 2)


def test_a_member_of_a_foreign_group_is_neither_owned_nor_stopped_nor_powered_off(
    group: GroupOnMoto, cloud: "Cloud", clock: "FakeClock", tmp_path: Path, state_of: "Callable[[str], str]"
) -> None:
    cloud.ec2.create_tags(Resources=[group.mine], Tags=[{"Key": STARTED_AT_TAG, "Value": iso(clock.now())}])
    without = WorkerInstance(cloud.ec2, InstanceIdentity(group.mine, "g4dn.xlarge"), power_off(tmp_path))
    for worker in (without, in_group(cloud, clock, group.mine, power_off(tmp_path), "another")):
        run = worker.run()
        assert run is not None
        assert not run.owned
        assert not worker.stop()
    assert (state_of(group.mine), group.desired()) == ("running", 2)
    assert not (tmp_path / "off").exists()


def test_a_member_that_may_not_leave_goes_on_and_is_not_powered_off(
    group: GroupOnMoto, cloud: "Cloud", clock: "FakeClock", tmp_path: Path, state_of: "Callable[[str], str]"
) -> None:
    client = autoscaling_client()

    def deny(**_: Any) -> None:
        raise aws_error("AccessDenied", "TerminateInstanceInAutoScalingGroup", 403)

    client.meta.events.register("before-call.autoscaling.TerminateInstanceInAutoScalingGroup", deny)
    worker = WorkerInstance(
        cloud.ec2,
        InstanceIdentity(group.mine, "g4dn.xlarge"),
        power_off(tmp_path),
        Membership(client, GROUP, group.mine, clock),
    )
    assert not worker.stop()
    assert (state_of(group.mine), group.desired()) == ("running", 2)
    assert not (tmp_path / "off").exists()


def test_an_owned_instance_of_the_pool_on_hold_stays(
    cloud: "Cloud", instance: "Callable[..., str]", state_of: "Callable[[str], str]"
) -> None:
    mine = instance(owned=True)
    cloud.ec2.create_tags(Resources=[mine], Tags=[{"Key": HOLD_TAG, "Value": "debugging"}])
    worker = WorkerInstance(cloud.ec2, InstanceIdentity(mine, "g4dn.xlarge"), "")
    assert not worker.stop()
    assert state_of(mine) == "running"


def test_an_owned_instance_of_the_pool_is_stopped(
    cloud: "Cloud", instance: "Callable[..., str]", state_of: "Callable[[str], str]"
) -> None:
    mine = instance(owned=True)
    worker = WorkerInstance(cloud.ec2, InstanceIdentity(mine, "g4dn.xlarge"), "")
    worker.keep(needed=True)  # nobody scales a pool in
    assert worker.stop()
    assert state_of(mine) == "stopped"


def test_a_worker_says_that_it_is_needed_while_it_is_busy_or_locked_and_not_while_it_is_idle_or_leaves(
    crew: "MakeCrew", instance: "Callable[..., str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[tuple[str, bool]] = []
    one = crew(instance_id=instance(owned=True), until_empty=False)
    monkeypatch.setattr(WorkerInstance, "keep", lambda _, *, needed: said.append((one.heartbeat_state(), needed)))
    one.job()
    one.lock.take("bob", "live-1")

    def end_the_live_session() -> None:
        one.lock.release("bob", "live-1")

    one.clock.on_sleep = end_the_live_session
    one.run()
    assert set(said) == {("locked", True), ("idle", False), ("busy", True), ("draining", False)}
