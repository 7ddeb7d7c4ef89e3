"""The instance that a worker runs on: what it is, since when, whose, and how it is stopped.

Light on purpose: `scribefleet stop-host` loads it where the model's libraries do not load.
"""

import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from consumer.host.group_membership import Membership
from consumer.host.imds import InstanceIdentity
from shared.aws import clients
from shared.clock import Clock
from shared.errors import AWS_ERRORS, cause_of, error_code
from shared.settings import HostSettings
from shared.state.instances import GROUP_TAG, HOLD_TAG, owned_since, run_start, tags_of
from shared.state.lock import LockState, SessionLock

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import InstanceTypeDef
    from mypy_boto3_s3 import S3Client

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class InstanceRun:
    """What EC2 says of the instance's present run.

    Attributes:
        owned: whether the autoscaler began it; of a member of the fleet's group, always.
        hold: whether a person protects the instance from being stopped.
        group: the Auto Scaling group that it is a member of, if any.
    """

    started_at: datetime
    owned: bool
    hold: bool = False
    group: str | None = None


class WorkerInstance:
    """The EC2 instance behind `identity`.

    Args:
        membership: its place in the fleet's Auto Scaling group, where instances come from one.
    """

    def __init__(
        self,
        ec2: "EC2Client",
        identity: InstanceIdentity,
        power_off_command: str,
        membership: Membership | None = None,
    ) -> None:
        self._ec2 = ec2
        self.identity = identity
        self._power_off_command = power_off_command
        self._membership = membership

    def run(self) -> InstanceRun | None:
        """Whose run this is and since when; `None`, with a warning, when EC2 does not say."""
        try:
            answer = self._ec2.describe_instances(InstanceIds=[self.identity.instance_id])
        except AWS_ERRORS as error:
            log.warning("instance_not_described", error=cause_of(error))
            return None
        for reservation in answer["Reservations"]:
            for instance in reservation["Instances"]:
                return self._run_of(instance)
        log.warning("instance_not_described", error="not found")
        return None

    def keep(self, *, needed: bool) -> None:
        """Say whether this instance is needed, to the group that might choose it when it scales in."""
        if self._membership:
            self._membership.protect(wanted=needed)

    def stop(self) -> bool:
        """Stop this instance: StopInstances, or power the host off when EC2 refuses; a group's member leaves its group.

        It looks again whose it is right before: nothing stops an instance that a person holds, nor one of a foreign
        group, which would replace it.

        Returns:
            Whether one of them was accepted. When not, the autoscaler and an alarm are left to do it.
        """
        run = self.run()
        if run is None or run.hold or not run.owned:
            log.info("instance_kept", hold=bool(run and run.hold))
            return False
        if run.group and self._membership:
            return self._membership.leave()
        return self._stop()

    def _run_of(self, instance: "InstanceTypeDef") -> InstanceRun:
        tags = tags_of(instance.get("Tags", []))
        launched = instance["LaunchTime"]
        hold = HOLD_TAG in tags
        group = tags.get(GROUP_TAG)
        if group:
            ours = self._membership is not None and group == self._membership.group
            return InstanceRun(launched, ours, hold, group)
        return InstanceRun(run_start(tags, launched), owned_since(tags, launched) is not None, hold)

    def _stop(self) -> bool:
        instance_id = self.identity.instance_id
        try:
            self._ec2.stop_instances(InstanceIds=[instance_id])
        except AWS_ERRORS as error:
            log.error("instance_stop_refused", instance_id=instance_id, error=error_code(error) or str(error))
            return self._power_off()
        log.info("instance_stopping", instance_id=instance_id)
        return True

    def _power_off(self) -> bool:
        if not self._power_off_command:
            return False
        command = shlex.split(self._power_off_command)
        try:
            # The operator's own setting, run without a shell.
            subprocess.run(command, check=True, timeout=30)  # noqa: S603
        except (OSError, subprocess.SubprocessError) as error:
            log.error("power_off_failed", error=type(error).__name__)
            return False
        log.info("host_powering_off")
        return True


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
