"""Places where the contract of capacity providers is checked: each provider on moto's server and scripted.

The simulated one has its site in `simulated_site`; a further provider joins the suite by a site of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, cast

from autoscaler.model import Instance
from autoscaler.providers.contract import CapacityProvider
from autoscaler.providers.group import AutoScalingGroup
from autoscaler.providers.stoppable import InstancePool
from shared.state.instances import FLEET_TAG, HOLD_TAG, owned_since, tags_of
from tests.autoscaler.providers.scripted_ec2 import FLEET, Fault, ScriptedEc2, aws_error
from tests.autoscaler.providers.scripted_group import ScriptedGroup

if TYPE_CHECKING:
    from tests.conftest import FakeClock

_ALIVE = {"pending", "running", "stopping", "stopped"}
GROUP = "workers"


def _found(ec2: Any) -> tuple[Instance, ...]:
    described = [one for reservation in ec2.describe_instances()["Reservations"] for one in reservation["Instances"]]
    return tuple(
        _instance(one)
        for one in described
        if one["State"]["Name"] in _ALIVE and tags_of(one.get("Tags", [])).get(FLEET_TAG) == FLEET
    )


def _instance(one: Any) -> Instance:
    tags = tags_of(one.get("Tags", []))
    return Instance(
        one["InstanceId"],
        one["State"]["Name"],
        one["LaunchTime"],
        owned_since(tags, one["LaunchTime"]),
        hold=HOLD_TAG in tags,
    )


class Site(Protocol):
    """A provider, and what a test does to the world around it."""

    provider: CapacityProvider

    def found(self) -> tuple[Instance, ...]:
        """What an observer hands to the provider: the fleet's instances that are not gone."""

    def tag(self, instance_id: str, key: str, value: str) -> None:
        """A person tags an instance."""

    def offer(self, count: int) -> None:
        """Have `count` more instances that could be started."""

    def settle(self) -> None:
        """Let what has begun come to its end."""

    def start_by_person(self, candidate: str) -> None:
        """Someone else starts the candidate."""

    def full(self, candidate: str) -> None:
        """The candidate cannot be started from now on, for a reason that passes."""

    def busy(self) -> None:
        """AWS has no time for the next start."""

    def forbid_start(self) -> None:
        """AWS does not permit the next start."""

    def lose_start(self) -> None:
        """The next start happens, and its answer gets lost."""


def seen(site: Site) -> dict[str, Instance]:
    """The provider's view by id."""
    site.settle()
    sight = site.provider.see(site.found())
    assert sight.instances is not None
    return {instance.id: instance for instance in sight.instances}


def startable(site: Site) -> tuple[str, ...]:
    """What the plan would take for candidates."""
    return tuple(sorted(name for name, one in seen(site).items() if one.state == "stopped" and not one.hold))


def at_work(site: Site) -> set[str]:
    """The instances that run, once everything has settled."""
    return {name for name, one in seen(site).items() if one.state == "running"}


class _OnEc2:
    """A site whose instances are EC2's, moto's or scripted."""

    ec2: Any

    def found(self) -> tuple[Instance, ...]:
        return _found(self.ec2)

    def tag(self, instance_id: str, key: str, value: str) -> None:
        self.ec2.create_tags(Resources=[instance_id], Tags=[{"Key": key, "Value": value}])


@dataclass
class ScriptedPool(_OnEc2):
    """The pool on the scripted cloud."""

    clock: "FakeClock"
    ec2: ScriptedEc2 = field(init=False)
    provider: CapacityProvider = field(init=False)

    def __post_init__(self) -> None:
        self.ec2 = ScriptedEc2(self.clock)
        self.provider = InstancePool(cast("Any", self.ec2))

    def offer(self, count: int) -> None:
        for _ in range(count):
            self.ec2.add(zone=f"zone-{len(self.ec2.hosts)}")

    def settle(self) -> None:
        self.clock.advance(60)
        self.ec2.settle()

    def start_by_person(self, candidate: str) -> None:
        self.ec2.start_instances(InstanceIds=[candidate])

    def full(self, candidate: str) -> None:
        self.ec2.full_zones.add(self.ec2.hosts[candidate].zone)

    def busy(self) -> None:
        self.ec2.faults.append(Fault("start_instances", "RequestLimitExceeded", 503))

    def forbid_start(self) -> None:
        self.ec2.faults.append(Fault("start_instances", "UnauthorizedOperation", 403))

    def lose_start(self) -> None:
        self.ec2.faults.append(Fault("start_instances", "InternalError", 500, done=True))


@dataclass
class ScriptedGroupSite(_OnEc2):
    """The group on the scripted cloud."""

    clock: "FakeClock"
    ec2: ScriptedEc2 = field(init=False)
    group: ScriptedGroup = field(init=False)
    provider: CapacityProvider = field(init=False)

    def __post_init__(self) -> None:
        self.ec2 = ScriptedEc2(self.clock)
        self.group = ScriptedGroup(self.ec2, max_size=0, name=GROUP)
        self.provider = AutoScalingGroup(cast("Any", self.group), GROUP, self.clock)

    def offer(self, count: int) -> None:
        self.group.max_size += count

    def settle(self) -> None:
        self.group.reconcile()
        self.clock.advance(60)
        self.group.reconcile()

    def start_by_person(self, candidate: str) -> None:
        self.group.desired += 1

    def full(self, candidate: str) -> None:
        # Its places are alike, so the group has one place less.
        self.group.max_size -= 1

    def busy(self) -> None:
        self.group.faults.append(Fault("set_desired_capacity", "ScalingActivityInProgress"))

    def forbid_start(self) -> None:
        self.group.faults.append(Fault("set_desired_capacity", "AccessDenied", 403))

    def lose_start(self) -> None:
        self.group.faults.append(Fault("set_desired_capacity", "InternalFailure", 500, done=True))


Refuse = Callable[..., None]


@dataclass
class MotoPool(_OnEc2):
    """The pool on moto's server; `client` is the provider's own, so that only its calls are refused."""

    ec2: Any
    client: Any
    refuse: Refuse
    provider: CapacityProvider = field(init=False)

    def __post_init__(self) -> None:
        self.provider = InstancePool(self.client)

    def offer(self, count: int) -> None:
        made = self.ec2.run_instances(
            ImageId="ami-12c6146b",
            MinCount=count,
            MaxCount=count,
            TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": FLEET_TAG, "Value": FLEET}]}],
        )
        self.ec2.stop_instances(InstanceIds=[one["InstanceId"] for one in made["Instances"]])

    def settle(self) -> None:
        """Moto's instances are there at once."""

    def start_by_person(self, candidate: str) -> None:
        self.ec2.start_instances(InstanceIds=[candidate])

    def full(self, candidate: str) -> None:
        self.refuse(self.client, "StartInstances", "InsufficientInstanceCapacity", status=500, when=candidate)

    def busy(self) -> None:
        self.refuse(self.client, "StartInstances", "RequestLimitExceeded", status=503)

    def forbid_start(self) -> None:
        self.refuse(self.client, "StartInstances", "UnauthorizedOperation", status=403)

    def lose_start(self) -> None:
        _lose_answer(self.client, "ec2", "StartInstances")


@dataclass
class MotoGroup(_OnEc2):
    """The group on moto's server."""

    ec2: Any
    autoscaling: Any
    client: Any
    clock: "FakeClock"
    refuse: Refuse
    provider: CapacityProvider = field(init=False)

    def __post_init__(self) -> None:
        self.provider = AutoScalingGroup(self.client, GROUP, self.clock)
        self.autoscaling.create_launch_configuration(
            LaunchConfigurationName="workers", ImageId="ami-12c6146b", InstanceType="g4dn.xlarge"
        )
        self.autoscaling.create_auto_scaling_group(
            AutoScalingGroupName=GROUP,
            LaunchConfigurationName="workers",
            MinSize=0,
            MaxSize=0,
            DesiredCapacity=0,
            AvailabilityZones=["us-east-1a"],
            Tags=[{"Key": FLEET_TAG, "Value": FLEET, "PropagateAtLaunch": True}],
        )

    def _size(self) -> Any:
        return self.autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[GROUP])["AutoScalingGroups"][0]

    def offer(self, count: int) -> None:
        size = self._size()["MaxSize"] + count
        self.autoscaling.update_auto_scaling_group(AutoScalingGroupName=GROUP, MaxSize=size)

    def settle(self) -> None:
        """Moto's instances are there at once."""

    def start_by_person(self, candidate: str) -> None:
        wanted = self._size()["DesiredCapacity"] + 1
        self.autoscaling.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=wanted)

    def full(self, candidate: str) -> None:
        self.offer(-1)

    def busy(self) -> None:
        self.refuse(self.client, "SetDesiredCapacity", "ScalingActivityInProgress", status=400)

    def forbid_start(self) -> None:
        self.refuse(self.client, "SetDesiredCapacity", "AccessDenied", status=403)

    def lose_start(self) -> None:
        _lose_answer(self.client, "autoscaling", "SetDesiredCapacity")


def _lose_answer(client: Any, service: str, operation: str) -> None:
    def lose(**_: Any) -> None:
        raise aws_error("InternalError", operation, 500)

    client.meta.events.register(f"after-call.{service}.{operation}", lose)
