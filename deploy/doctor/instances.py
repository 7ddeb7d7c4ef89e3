"""The instances: whether the fleet could start and stop them, and whether they are set up as they should be."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from deploy.doctor.examination import ExaminedFleet
from deploy.doctor.finding import Finding, failure, ok, warning
from shared.state.fleet_view import describe_fleet, parse_instance
from shared.state.instances import FLEET_TAG, HOLD_TAG

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

# CloudFormation starts an instance of the pool once, to set it up; it powers itself off when that is done.
FIRST_BOOT = timedelta(minutes=30)


def look_at_instances(fleet: ExaminedFleet) -> Iterator[Finding]:
    """Every instance that carries the fleet's tag; in a group, the group as well."""
    described = describe_fleet(fleet.clients.ec2, fleet.settings.fleet_name)
    found = sorted(described, key=lambda instance: instance["InstanceId"])
    grouped = fleet.settings.capacity_provider == "asg"
    if grouped:
        yield from _group(fleet)
    elif not found:
        yield failure(
            "instances",
            f"none carries the tag {FLEET_TAG}={fleet.settings.fleet_name}: nothing can ever start",
            "deploy again, or tag the instances that belong to the fleet",
        )
    for instance in found:
        yield from instance_findings(instance, grouped=grouped, now=fleet.clock.now())
        if not grouped:
            yield from _shutdown(fleet, instance["InstanceId"])


def instance_findings(described: "InstanceTypeDef", *, grouped: bool, now: datetime) -> Iterator[Finding]:
    """What one instance's description shows; `grouped` where it is a member of an Auto Scaling group."""
    instance = parse_instance(described)
    name, state = instance.id, instance.state
    yield ok("instance", f"{name} ({described['InstanceType']}) is {state}")
    if instance.hold:
        seen = f"{name} is on hold (tag {HOLD_TAG}): the fleet neither starts nor stops it"
        yield warning("instance", seen, "remove the tag when nobody needs it any more")
    unowned = not grouped and not instance.owned
    if state == "running" and unowned and now - instance.launch_time > FIRST_BOOT:
        seen = f"{name} was not started by the autoscaler: the fleet uses it and never stops it"
        yield warning("instance", seen, f"aws ec2 stop-instances --instance-ids {name}, when nobody needs it")
    if described.get("MetadataOptions", {}).get("HttpTokens") != "required":
        remedy = f"aws ec2 modify-instance-metadata-options --instance-id {name} --http-tokens required"
        yield warning(
            "instance", f"{name} still answers IMDSv1, through which a tricked program leaks its role", remedy
        )
    if "IamInstanceProfile" not in described:
        seen = f"{name} has no instance profile: its worker may not read the queue"
        yield failure("instance", seen, "associate the stack's worker profile with it, or deploy again")
    if described.get("HibernationOptions", {}).get("Configured"):
        seen = f"{name} can hibernate: a worker that wakes up holds leases that have long run out"
        yield warning("instance", seen, "replace it by one without hibernation; the fleet only stops")
    reason = described.get("StateReason", {}).get("Code", "")
    if state == "stopped" and reason.startswith("Server."):
        seen = f"{name} was stopped by AWS: {reason}"
        yield warning("instance", seen, "the autoscaler tries again; another type or zone may have capacity")


def _shutdown(fleet: ExaminedFleet, name: str) -> Iterator[Finding]:
    """An instance of the pool that powers itself off must be stopped by that, and not be gone."""
    answer = fleet.clients.ec2.describe_instance_attribute(
        InstanceId=name, Attribute="instanceInitiatedShutdownBehavior"
    )
    if answer.get("InstanceInitiatedShutdownBehavior", {}).get("Value") == "terminate":
        remedy = f"aws ec2 modify-instance-attribute --instance-id {name} --instance-initiated-shutdown-behavior stop"
        yield failure("instance", f"{name} is terminated for good when its host powers off", remedy)


def _group(fleet: ExaminedFleet) -> Iterator[Finding]:
    name = fleet.settings.auto_scaling_group
    groups = fleet.clients.autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    if not groups:
        yield failure("group", f"the Auto Scaling group {name} does not exist", "deploy again")
        return
    (group,) = groups
    yield ok("group", f"{name}: {group['DesiredCapacity']} wanted, {group['MinSize']} to {group['MaxSize']} possible")
    suspended = [process["ProcessName"] for process in group.get("SuspendedProcesses", [])]
    if {"Launch", "Terminate"} & set(suspended):
        remedy = f"aws autoscaling resume-processes --auto-scaling-group-name {name}"
        yield failure("group", f"{name} does nothing: {', '.join(suspended)} suspended", remedy)
    if group["MaxSize"] < fleet.settings.max_instances:
        seen = f"{name} may have {group['MaxSize']} members, the autoscaler wants up to {fleet.settings.max_instances}"
        yield warning("group", seen, "deploy again with MaxInstances as you mean it")
