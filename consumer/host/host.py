"""Builds, from the host's settings, what is needed to end a host's run: its instance and the live sessions' lock.

Light on purpose: it must load where the model's libraries do not.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from consumer.host.group_membership import Membership
from consumer.host.imds import InstanceIdentity
from consumer.host.instance import WorkerInstance
from shared.aws import clients
from shared.clock import Clock
from shared.settings import HostSettings
from shared.state.lock import LockState, SessionLock

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def host_instance(identity: InstanceIdentity, settings: HostSettings, clock: Clock) -> WorkerInstance:
    """The EC2 instance that this process runs on."""
    membership = None
    if settings.capacity_provider == "asg":
        group = settings.auto_scaling_group
        membership = Membership(clients.autoscaling_client(), group, identity.instance_id, clock)
    return WorkerInstance(clients.ec2_client(), identity, settings.power_off_command, membership)


def lock_reader(s3: "S3Client", settings: HostSettings, clock: Clock) -> Callable[[], LockState] | None:
    """One look at the live sessions' lock; `None` for a fleet that shares its GPUs with no live sessions."""
    if not settings.lock_enabled:
        return None
    stale = timedelta(minutes=settings.lock_stale_minutes)
    return SessionLock(s3, settings.bucket, clock, stale).read
