"""A worker's place in an Auto Scaling group: how its instance is kept there while busy, and how it leaves.

A member never stops or powers off its host: the group would take it for broken and launch another one in its place.
API: Amazon EC2 Auto Scaling API Reference, SetInstanceProtection and TerminateInstanceInAutoScalingGroup.
"""

from typing import TYPE_CHECKING

import structlog

from shared.clock import Clock
from shared.errors import AWS_ERRORS, cause_of, error_code

if TYPE_CHECKING:
    from mypy_boto3_autoscaling import AutoScalingClient

log = structlog.get_logger()

# The group refuses the protection until the instance is in service, which may take the length of a lifecycle hook.
_TRY_AGAIN_SECONDS = 30


class Membership:
    """One instance's membership of `group`."""

    def __init__(self, autoscaling: "AutoScalingClient", group: str, instance_id: str, clock: Clock) -> None:
        self._autoscaling = autoscaling
        self.group = group
        self._instance_id = instance_id
        self._clock = clock
        self._protected: bool | None = None
        self._not_before = 0.0

    def protect(self, *, wanted: bool) -> None:
        """Keep the group from choosing this instance when it scales in, or allow it again.

        Calls AWS only for a change. A refusal is tried again with a later call: work goes on without protection, and
        what a scale-in interrupts is handed back to the queue.
        """
        if wanted == self._protected or self._clock.monotonic() < self._not_before:
            return
        try:
            self._autoscaling.set_instance_protection(
                InstanceIds=[self._instance_id], AutoScalingGroupName=self.group, ProtectedFromScaleIn=wanted
            )
        except AWS_ERRORS as error:
            self._not_before = self._clock.monotonic() + _TRY_AGAIN_SECONDS
            log.warning("scale_in_protection_not_set", wanted=wanted, error=cause_of(error))
            return
        self._protected = wanted
        log.debug("scale_in_protection", protected=wanted)

    def leave(self) -> bool:
        """Terminate this instance and lower the group's desired capacity, in one call so that no other is its victim.

        Returns:
            Whether the group accepted. It refuses at its minimum size; this worker goes on polling then.
        """
        try:
            self._autoscaling.terminate_instance_in_auto_scaling_group(
                InstanceId=self._instance_id, ShouldDecrementDesiredCapacity=True
            )
        except AWS_ERRORS as error:
            log.error("instance_not_leaving_group", group=self.group, error=error_code(error) or str(error))
            return False
        log.info("instance_leaving_group", group=self.group)
        return True
