"""What instances are made of and where they come from: the pool, an Auto Scaling group, or ones that were there.

Looked up in the emulator after deployment.
"""

from typing import TYPE_CHECKING, Any

import pytest

from autoscaler.providers.group import AutoScalingGroup
from shared.settings import load_settings

if TYPE_CHECKING:
    from tests.conftest import FakeClock
    from tests.deploy.conftest import AwsClient, Deploy, Fleet

pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse AWS")


@pytest.fixture(scope="module")
def subnets(aws: "AwsClient") -> list[str]:
    """Two subnets of one VPC, in two zones."""
    found = aws("ec2").describe_subnets()["Subnets"][:2]
    assert len({subnet["AvailabilityZone"] for subnet in found}) == 2
    return [subnet["SubnetId"] for subnet in found]


@pytest.fixture(scope="module")
def pool(deploy_fleet: "Deploy", subnets: list[str]) -> "Fleet":
    return deploy_fleet("pooled", PoolSize="4", SubnetIds=",".join(subnets))


@pytest.fixture(scope="module")
def group(deploy_fleet: "Deploy", subnets: list[str]) -> "Fleet":
    return deploy_fleet("grouped", CapacityProvider="asg", MaxInstances="3", SubnetIds=",".join(subnets))


@pytest.fixture(params=["pool", "group"])
def fleet(request: pytest.FixtureRequest) -> "Fleet":
    chosen: Fleet = request.getfixturevalue(request.param)
    return chosen


def described_group(fleet: "Fleet") -> dict[str, Any]:
    names = [fleet.outputs["AutoScalingGroupName"]]
    (found,) = fleet.aws("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=names)["AutoScalingGroups"]
    described: dict[str, Any] = found
    return described


# --- every worker's host


def test_the_first_boot_of_a_pools_instance_configures_the_worker_and_powers_off(pool: "Fleet") -> None:
    config = pool.cloud_config()

    (file,) = config["write_files"]
    assert (file["path"], file["permissions"]) == ("/etc/scribefleet/worker.env", "0644")
    assert config["runcmd"] == [["systemctl", "enable", "scribefleet-worker.service"]]
    assert config["power_state"]["mode"] == "poweroff"
    # The condition is true unless it is given: nothing may keep a new instance running without an owner.
    assert "condition" not in config["power_state"]


def test_a_worker_knows_its_region_and_how_to_power_off(fleet: "Fleet") -> None:
    variables = fleet.worker_environment()

    assert variables["AWS_DEFAULT_REGION"] == "us-east-1"
    assert variables["SCRIBEFLEET_POWER_OFF_COMMAND"] == "/usr/bin/touch /run/scribefleet/power-off"
    assert variables["SCRIBEFLEET_DEVICE"] == "cuda"  # never a silent fall back to the CPU of a GPU host


def test_an_instance_keeps_its_credentials_and_disk_to_itself(fleet: "Fleet") -> None:
    data = fleet.launch_data()

    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert data["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    (disk,) = data["BlockDeviceMappings"]
    assert disk["Ebs"]["Encrypted"] is True


def test_workers_have_the_workers_role_and_nobody_can_connect_to_them(fleet: "Fleet") -> None:
    data = fleet.launch_data()
    profile_name = data["IamInstanceProfile"]["Arn"].split("/")[-1]
    profile = fleet.aws("iam").get_instance_profile(InstanceProfileName=profile_name)["InstanceProfile"]
    (group,) = fleet.aws("ec2").describe_security_groups(GroupIds=data["SecurityGroupIds"])["SecurityGroups"]

    assert [role["RoleName"] for role in profile["Roles"]] == [fleet.physical["WorkerRole"]]
    assert group["IpPermissions"] == []
    assert group["VpcId"] == fleet.parameters["VpcId"]


# --- the pool


def test_a_pools_instance_survives_powering_off(pool: "Fleet") -> None:
    assert pool.launch_data()["InstanceInitiatedShutdownBehavior"] == "stop"


def test_the_instances_of_a_pool_are_spread_over_the_subnets(pool: "Fleet", subnets: list[str]) -> None:
    # A stopped instance stays in its zone, and a zone may have no capacity when it should start.
    assert [one["SubnetId"] for one in pool.instances()] == [*subnets, *subnets]


def test_a_pool_has_no_group_and_a_group_has_no_pool(pool: "Fleet", group: "Fleet") -> None:
    assert pool.aws("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"] == [described_group(group)]
    assert "AutoScalingGroupName" not in pool.outputs
    assert "InstanceIds" not in group.outputs
    assert not {name for name in group.physical if name.startswith("Instance")}


def test_instances_that_were_there_become_the_pool_and_none_is_made(deploy_fleet: "Deploy", pool: "Fleet") -> None:
    theirs = ",".join(one["InstanceId"] for one in pool.instances()[:2])

    fleet = deploy_fleet("adopting", ExistingInstanceIds=theirs, PoolSize="4")

    assert fleet.outputs["InstanceIds"] == theirs
    assert fleet.instances() == []  # a person tags them
    assert not {name for name in fleet.physical if name.startswith("Instance")}


def test_whoever_brings_instances_is_told_what_they_need(deploy_fleet: "Deploy") -> None:
    fleet = deploy_fleet("adopting", ExistingInstanceIds="i-0123456789abcdef0,i-11111111")

    steps = fleet.outputs["ExistingInstancesNeed"]

    assert f"--resources i-0123456789abcdef0 i-11111111 --tags Key=scribefleet:fleet,Value={fleet.name}" in steps
    assert f"Name={fleet.physical['WorkerInstanceProfile']}" in steps
    assert fleet.outputs["WorkerLaunchTemplateId"] in steps


def test_nobody_else_is_told_of_existing_instances(fleet: "Fleet") -> None:
    assert "ExistingInstancesNeed" not in fleet.outputs


# --- the Auto Scaling group


def test_a_group_is_empty_until_the_autoscaler_says_otherwise_and_never_larger_than_told(
    group: "Fleet", subnets: list[str]
) -> None:
    described = described_group(group)

    assert (described["MinSize"], described["DesiredCapacity"], described["MaxSize"]) == (0, 0, 3)
    assert described["VPCZoneIdentifier"].split(",") == subnets
    # Nothing but the autoscaler changes its size, and it must be able to end what is idle.
    assert group.aws("autoscaling").describe_policies()["ScalingPolicies"] == []
    assert described["NewInstancesProtectedFromScaleIn"] is False
    assert described["CapacityRebalance"] is False


@pytest.mark.parametrize(("given", "percentage"), [({}, 100), ({"OnDemandPercentage": "0"}, 0)])
def test_a_groups_instances_are_spot_instances_only_if_asked_for(
    deploy_fleet: "Deploy", given: dict[str, str], percentage: int
) -> None:
    fleet = deploy_fleet("spot", CapacityProvider="asg", **given)

    policy = described_group(fleet)["MixedInstancesPolicy"]

    assert policy["InstancesDistribution"] == {
        "OnDemandBaseCapacity": 0,
        "OnDemandPercentageAboveBaseCapacity": percentage,
        "SpotAllocationStrategy": "capacity-optimized",
    }
    specification = policy["LaunchTemplate"]["LaunchTemplateSpecification"]
    assert specification["LaunchTemplateId"] == fleet.outputs["WorkerLaunchTemplateId"]


def test_a_groups_instance_starts_its_worker_at_once_and_is_gone_when_powered_off(group: "Fleet") -> None:
    config = group.cloud_config()

    assert config["runcmd"] == [
        ["systemctl", "enable", "scribefleet-worker.service"],
        ["systemctl", "start", "--no-block", "scribefleet-worker.service"],
    ]
    assert "power_state" not in config
    assert group.launch_data()["InstanceInitiatedShutdownBehavior"] == "terminate"


@pytest.mark.parametrize("part", ["autoscaler", "worker"])
def test_autoscaler_and_worker_know_where_instances_come_from(
    fleet: "Fleet", part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = part == "worker"
    variables = fleet.worker_environment() if worker else fleet.function_environment("AutoscalerFunctionName")
    for name, text in variables.items():
        monkeypatch.setenv(name, text)

    settings = load_settings()

    grouped = "AutoScalingGroupName" in fleet.outputs
    assert settings.capacity_provider == ("asg" if grouped else "pool")
    assert settings.auto_scaling_group == fleet.outputs.get("AutoScalingGroupName", "")


def test_the_autoscaler_starts_a_member_that_carries_the_fleets_tag_and_ends_it(
    group: "Fleet", clock: "FakeClock"
) -> None:
    provider = AutoScalingGroup(group.aws("autoscaling"), group.outputs["AutoScalingGroupName"], clock)
    (place, *_) = [seen.id for seen in provider.see(()).instances or () if seen.state == "stopped"]

    outcome = provider.start((place,), 1, clock.now())

    assert outcome.started == (place,)
    (instance,) = group.instances()
    assert instance["State"]["Name"] == "running"

    assert provider.stop(instance["InstanceId"]).stopped == (instance["InstanceId"],)
    assert described_group(group)["DesiredCapacity"] == 0
