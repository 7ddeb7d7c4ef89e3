"""The end of a host whose worker has ended for good: what is stopped, what is kept, and when."""

import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from consumer.host.group_membership import Membership
from consumer.host.imds import InstanceIdentity
from consumer.host.instance import WorkerInstance
from consumer.host.stop_host import stop_host, stop_when_free
from shared.aws.clients import autoscaling_client
from shared.setting_groups import ENV_PREFIX
from shared.state.instances import HOLD_TAG
from shared.state.lock import SessionLock

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Cloud
    from tests.consumer.conftest import Crew, MakeCrew, Refuse


def host(cloud: "Cloud", instance_id: str, power_off_command: str = "") -> WorkerInstance:
    return WorkerInstance(cloud.ec2, InstanceIdentity(instance_id, "g4dn.xlarge"), power_off_command)


@pytest.fixture
def one(crew: "MakeCrew") -> "Crew":
    return crew(lock_poll_seconds=10)


def test_an_owned_host_is_stopped(
    one: "Crew", cloud: "Cloud", instance: "Callable[..., str]", state_of: "Callable[[str], str]"
) -> None:
    mine = instance(owned=True)
    assert stop_when_free(host(cloud, mine), one.lock.read, one.clock, 10)
    assert state_of(mine) == "stopped"


def test_a_host_that_someone_else_started_is_rightly_kept(
    one: "Crew", cloud: "Cloud", instance: "Callable[..., str]", state_of: "Callable[[str], str]"
) -> None:
    theirs = instance(owned=False)
    assert stop_when_free(host(cloud, theirs), one.lock.read, one.clock, 10)
    assert state_of(theirs) == "running"


def test_a_host_that_a_person_holds_is_rightly_kept(
    one: "Crew", cloud: "Cloud", instance: "Callable[..., str]", state_of: "Callable[[str], str]"
) -> None:
    mine = instance(owned=True)
    cloud.ec2.create_tags(Resources=[mine], Tags=[{"Key": HOLD_TAG, "Value": "debugging"}])
    assert stop_when_free(host(cloud, mine), one.lock.read, one.clock, 10)
    assert state_of(mine) == "running"


def test_while_a_live_session_lasts_the_host_runs_and_it_is_stopped_after_that(
    one: "Crew", cloud: "Cloud", instance: "Callable[..., str]", state_of: "Callable[[str], str]"
) -> None:
    mine = instance(owned=True)
    one.lock.take("bob", "live")
    meanwhile = []

    def look() -> None:
        meanwhile.append(state_of(mine))
        if len(meanwhile) == 5:
            one.lock.release("bob", "live")

    one.clock.on_sleep = look
    assert stop_when_free(host(cloud, mine), one.lock.read, one.clock, 10)
    assert meanwhile == ["running"] * 5
    assert state_of(mine) == "stopped"


def test_an_unreadable_lock_counts_as_held(
    one: "Crew", cloud: "Cloud", instance: "Callable[..., str]", state_of: "Callable[[str], str]"
) -> None:
    mine = instance(owned=True)
    cloud.s3.put_object(Bucket=cloud.settings.bucket, Key="batch-lock.json", Body=b"not json")
    meanwhile = []

    def look() -> None:
        meanwhile.append(state_of(mine))
        if len(meanwhile) == 3:
            cloud.s3.delete_object(Bucket=cloud.settings.bucket, Key="batch-lock.json")

    one.clock.on_sleep = look
    assert stop_when_free(host(cloud, mine), one.lock.read, one.clock, 10)
    assert meanwhile == ["running"] * 3


def test_a_fleet_without_live_sessions_looks_at_no_lock(
    one: "Crew", cloud: "Cloud", instance: "Callable[..., str]", state_of: "Callable[[str], str]"
) -> None:
    mine = instance(owned=True)
    one.lock.take("bob", "live")
    assert stop_when_free(host(cloud, mine), None, one.clock, 10)
    assert state_of(mine) == "stopped"


def test_a_host_that_ec2_does_not_know_for_a_while_is_stopped_when_it_answers_again(
    one: "Crew", cloud: "Cloud", instance: "Callable[..., str]", state_of: "Callable[[str], str]", refuse: "Refuse"
) -> None:
    mine = instance(owned=True)
    refused = refuse(cloud.ec2, "ec2.DescribeInstances", "UnauthorizedOperation", 403, times=3)
    assert stop_when_free(host(cloud, mine), one.lock.read, one.clock, 10)
    assert refused() == 3
    assert state_of(mine) == "stopped"


def test_a_host_of_which_nobody_says_whose_it_is_keeps_running_and_that_is_an_error(
    one: "Crew", cloud: "Cloud", instance: "Callable[..., str]", state_of: "Callable[[str], str]", refuse: "Refuse"
) -> None:
    mine = instance(owned=True)
    refuse(cloud.ec2, "ec2.DescribeInstances", "UnauthorizedOperation", 403, times=10)
    began = one.clock.monotonic()
    assert not stop_when_free(host(cloud, mine), one.lock.read, one.clock, 10)
    assert state_of(mine) == "running"
    assert one.clock.monotonic() - began == 9 * 30


def test_a_host_whose_stop_is_refused_powers_off(
    one: "Crew", cloud: "Cloud", instance: "Callable[..., str]", refuse: "Refuse", tmp_path: Path
) -> None:
    mine = instance(owned=True)
    refuse(cloud.ec2, "ec2.StopInstances", "UnauthorizedOperation", 403)
    command = f"{sys.executable} -c \"open(r'{tmp_path / 'off'}', 'w')\""
    assert stop_when_free(host(cloud, mine, command), one.lock.read, one.clock, 10)
    assert (tmp_path / "off").exists()


def test_a_member_of_the_fleets_group_leaves_it_and_never_powers_off(
    one: "Crew", cloud: "Cloud", tmp_path: Path, state_of: "Callable[[str], str]"
) -> None:
    group = autoscaling_client()
    group.create_launch_configuration(LaunchConfigurationName="w", ImageId="ami-12c6146b", InstanceType="g4dn.xlarge")
    group.create_auto_scaling_group(
        AutoScalingGroupName="workers",
        LaunchConfigurationName="w",
        MinSize=0,
        MaxSize=1,
        DesiredCapacity=1,
        AvailabilityZones=["us-east-1a"],
    )
    described = group.describe_auto_scaling_groups()["AutoScalingGroups"][0]
    mine = described["Instances"][0]["InstanceId"]
    command = f"{sys.executable} -c \"open(r'{tmp_path / 'off'}', 'w')\""
    membership = Membership(group, "workers", mine, one.clock)
    member = WorkerInstance(cloud.ec2, InstanceIdentity(mine, "g4dn.xlarge"), command, membership)
    assert stop_when_free(member, one.lock.read, one.clock, 10)
    assert state_of(mine) == "terminated"
    assert group.describe_auto_scaling_groups()["AutoScalingGroups"][0]["DesiredCapacity"] == 0
    assert not (tmp_path / "off").exists()


# --- the command


@pytest.fixture
def on_ec2(cloud: "Cloud", monkeypatch: pytest.MonkeyPatch) -> "Callable[[str | None], None]":
    """Makes this machine an instance; its settings are nothing but the bucket and a wrong one of the model's."""

    def make(instance_id: str | None) -> None:
        identity = InstanceIdentity(instance_id, "g4dn.xlarge") if instance_id else None
        monkeypatch.setattr("consumer.host.stop_host.instance_identity", lambda: identity)
        monkeypatch.setenv(f"{ENV_PREFIX}BUCKET", cloud.settings.bucket)
        monkeypatch.setenv(f"{ENV_PREFIX}BEAM_SIZE", "none")

    return make


def test_a_wrong_setting_of_the_worker_does_not_keep_its_host_running(
    on_ec2: "Callable[[str], None]", instance: "Callable[..., str]", state_of: "Callable[[str], str]"
) -> None:
    mine = instance(owned=True)
    on_ec2(mine)
    done = CliRunner().invoke(stop_host)
    assert (done.exit_code, state_of(mine)) == (0, "stopped")


def test_a_machine_that_is_no_instance_is_left_alone(on_ec2: "Callable[[None], None]") -> None:
    on_ec2(None)
    assert CliRunner().invoke(stop_host).exit_code == 0


def test_the_command_respects_a_live_session(
    on_ec2: "Callable[[str], None]",
    cloud: "Cloud",
    one: "Crew",
    instance: "Callable[..., str]",
    state_of: "Callable[[str], str]",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine = instance(owned=True)
    on_ec2(mine)
    SessionLock(cloud.s3, cloud.settings.bucket, one.clock, timedelta(minutes=30)).take("bob", "live")
    monkeypatch.setattr("consumer.host.stop_host.SystemClock", lambda: one.clock)
    meanwhile = []

    def look() -> None:
        meanwhile.append(state_of(mine))
        one.lock.release("bob", "live")

    one.clock.on_sleep = look
    assert CliRunner().invoke(stop_host).exit_code == 0
    assert (meanwhile, state_of(mine)) == (["running"], "stopped")
