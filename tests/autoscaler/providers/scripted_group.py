"""EC2 Auto Scaling as the provider calls it, over the scripted EC2; what a group does by itself, it does when told.

Source: Amazon EC2 Auto Scaling API Reference. The contract suite runs over this and over moto alike.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.state.instances import GROUP_TAG
from tests.autoscaler.providers.scripted_ec2 import Fault, ScriptedEc2, aws_error


@dataclass(slots=True)
class ScriptedGroup:
    """EC2 Auto Scaling with one group. `reconcile` is the group's own doing, seconds to minutes after a change.

    Attributes:
        members: instance id -> whether it is protected from scale-in.
    """

    ec2: ScriptedEc2
    max_size: int = 4
    min_size: int = 0
    desired: int = 0
    zones: tuple[str, ...] = ("a", "b")
    suspended: bool = False
    members: dict[str, bool] = field(default_factory=dict)
    faults: deque[Fault] = field(default_factory=deque)
    name: str = "workers"

    def reconcile(self) -> None:
        """Replace members that do not run, launch what is missing where there is room, scale in what is too many."""
        self.ec2.settle()
        for name in list(self.members):
            state = self.ec2.hosts[name].state
            if state not in {"pending", "running"}:
                del self.members[name]
            if state in {"stopping", "stopped"}:
                self.ec2.terminate(name)
        open_zones = [zone for zone in self.zones if zone not in self.ec2.full_zones]
        while len(self.members) < self.desired and open_zones and not self.suspended:
            self.members[self.ec2.add(open_zones[0], running=True, tags={GROUP_TAG: self.name})] = False
        unprotected = [name for name, protected in self.members.items() if not protected]
        for name in unprotected[: max(0, len(self.members) - self.desired)]:
            self._remove(name)

    # --- the client's calls

    def describe_auto_scaling_groups(self, AutoScalingGroupNames: Sequence[str]) -> dict[str, Any]:
        self._refuse("describe_auto_scaling_groups")
        self.ec2.settle()
        suspended = [{"ProcessName": "Launch"}] if self.suspended else []
        described = {
            "AutoScalingGroupName": self.name,
            "MinSize": self.min_size,
            "MaxSize": self.max_size,
            "DesiredCapacity": self.desired,
            "SuspendedProcesses": suspended,
            "Instances": [{"InstanceId": name, "LifecycleState": "InService"} for name in self.members],
        }
        return {"AutoScalingGroups": [described] if self.name in AutoScalingGroupNames else []}

    def set_desired_capacity(self, AutoScalingGroupName: str, DesiredCapacity: int, HonorCooldown: bool) -> None:
        fault = self._refuse("set_desired_capacity")
        if not self.min_size <= DesiredCapacity <= self.max_size:
            raise aws_error("ValidationError", "SetDesiredCapacity")
        self.desired = DesiredCapacity
        _lose(fault)

    def terminate_instance_in_auto_scaling_group(self, InstanceId: str, ShouldDecrementDesiredCapacity: bool) -> None:
        fault = self._refuse("terminate_instance_in_auto_scaling_group")
        if InstanceId not in self.members:
            raise aws_error("ValidationError", "TerminateInstanceInAutoScalingGroup")
        if ShouldDecrementDesiredCapacity and self.desired <= self.min_size:
            raise aws_error("ValidationError", "TerminateInstanceInAutoScalingGroup")
        self.desired -= ShouldDecrementDesiredCapacity
        self._remove(InstanceId)
        _lose(fault)

    def set_instance_protection(
        self,
        InstanceIds: Sequence[str],
        AutoScalingGroupName: str,
        ProtectedFromScaleIn: bool,
    ) -> None:
        self._refuse("set_instance_protection")
        for name in InstanceIds:
            if name not in self.members:
                raise aws_error("ValidationError", "SetInstanceProtection")
            self.members[name] = ProtectedFromScaleIn

    def _refuse(self, operation: str) -> Fault | None:
        """The fault whose answer is to be lost after the deed, if any; raises one that comes before it."""
        fault = next((fault for fault in self.faults if fault.operation == operation), None)
        if fault:
            self.faults.remove(fault)
            if not fault.done:
                raise aws_error(fault.code, operation, fault.status)
        return fault

    def _remove(self, name: str) -> None:
        del self.members[name]
        self.ec2.terminate(name)


def _lose(fault: Fault | None) -> None:
    if fault:
        raise aws_error(fault.code, fault.operation, fault.status)
