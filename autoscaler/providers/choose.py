"""Chooses where instances come from, by setting, and names the providers for the rest of the autoscaler."""

from typing import TYPE_CHECKING

from autoscaler.deadline import TickDeadline
from autoscaler.providers.contract import ALREADY_STARTED, CapacityProvider
from autoscaler.providers.dry_run import DryRunPool
from autoscaler.providers.group import AutoScalingGroup
from autoscaler.providers.stoppable import InstancePool
from shared.aws.clients import autoscaling_client
from shared.clock import Clock
from shared.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

__all__ = ["ALREADY_STARTED", "AutoScalingGroup", "CapacityProvider", "DryRunPool", "InstancePool", "provider_for"]


def provider_for(
    settings: Settings, ec2: "EC2Client", clock: Clock, *, dry_run: bool = False, deadline: TickDeadline | None = None
) -> CapacityProvider:
    """The provider that the settings name; a dry run looks through it and changes nothing.

    Args:
        deadline: holds a client that is made here to it.
    """
    provider: CapacityProvider
    if settings.capacity_provider == "asg":
        autoscaling = autoscaling_client()
        if deadline:
            deadline.hold_to(autoscaling)
        provider = AutoScalingGroup(autoscaling, settings.auto_scaling_group, clock)
    else:
        provider = InstancePool(ec2)
    return DryRunPool(provider) if dry_run else provider
