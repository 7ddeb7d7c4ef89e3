"""The instance that a worker runs on: what it is, since when, whose, and how it is stopped."""

import shlex
import subprocess
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import structlog

from consumer.metadata import InstanceIdentity
from shared.errors import AWS_ERRORS, error_code
from shared.instances import owned_since, run_start, tags_of

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class InstanceRun:
    """What EC2 says of the instance's present run."""

    started_at: datetime
    owned: bool


class WorkerInstance:
    """The EC2 instance behind `identity`."""

    def __init__(self, ec2: "EC2Client", identity: InstanceIdentity, power_off_command: str) -> None:
        self._ec2 = ec2
        self.identity = identity
        self._power_off_command = power_off_command

    def run(self) -> InstanceRun | None:
        """Whose run this is and since when; `None`, with a warning, when EC2 does not say."""
        try:
            answer = self._ec2.describe_instances(InstanceIds=[self.identity.instance_id])
        except AWS_ERRORS as error:
            log.warning("instance_not_described", error=error_code(error) or type(error).__name__)
            return None
        for reservation in answer["Reservations"]:
            for instance in reservation["Instances"]:
                tags = tags_of(instance.get("Tags", []))
                launched = instance["LaunchTime"]
                return InstanceRun(run_start(tags, launched), owned_since(tags, launched) is not None)
        log.warning("instance_not_described", error="not found")
        return None

    def stop(self) -> bool:
        """Stop this instance, or power the host off when EC2 refuses.

        Returns:
            Whether one of them was accepted. When not, the autoscaler and an alarm are left to do it.
        """
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
