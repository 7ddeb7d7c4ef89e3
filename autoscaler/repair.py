"""Marks and reboots instances whose worker seems dead. It decides nothing, and is the same for every provider.

Each step reports the instance's fate instead of raising, so that one instance never hides what happened to the others.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Protocol

import structlog

from autoscaler.model import ActionOutcome
from shared.clock import iso
from shared.errors import AWS_ERRORS, cause_of
from shared.state.instances import REBOOTED_TAG, SUSPECT_TAG

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

log = structlog.get_logger()

# The instance went away or changes its state just now: the next tick sees what became of it.
_PASSING = frozenset({"IncorrectState", "IncorrectInstanceState", "InvalidInstanceID.NotFound"})


class Repairs(Protocol):
    """Where repairs go: EC2, or a dry run that only says what it would do."""

    def mark(self, instance_ids: tuple[str, ...], now: datetime) -> ActionOutcome:
        """Write down that the instances were found silent or stuck at `now`."""

    def reboot(self, instance_ids: tuple[str, ...], now: datetime) -> ActionOutcome:
        """Reboot the instances, and write down that this was done."""


class InstanceRepairs:
    """Repairs of EC2 instances, all in one call: EC2 takes or refuses them together."""

    def __init__(self, ec2: "EC2Client") -> None:
        self._ec2 = ec2

    def mark(self, instance_ids: tuple[str, ...], now: datetime) -> ActionOutcome:
        refused = self._tag(instance_ids, SUSPECT_TAG, now)
        if refused is None:
            log.warning("instances_suspect", instances=instance_ids)
        return refused or ActionOutcome(marked=instance_ids)

    def reboot(self, instance_ids: tuple[str, ...], now: datetime) -> ActionOutcome:
        # The tag comes first: a reboot that is not written down would be repeated for as long as the worker is silent.
        refused = self._tag(instance_ids, REBOOTED_TAG, now)
        if refused is not None:
            return refused
        try:
            self._ec2.reboot_instances(InstanceIds=instance_ids)
        except AWS_ERRORS as error:
            return _refused(instance_ids, "instances_reboot_failed", error)
        log.warning("instances_rebooted", instances=instance_ids)
        return ActionOutcome(rebooted=instance_ids)

    def _tag(self, instance_ids: tuple[str, ...], tag: str, now: datetime) -> ActionOutcome | None:
        try:
            self._ec2.create_tags(Resources=instance_ids, Tags=[{"Key": tag, "Value": iso(now)}])
        except AWS_ERRORS as error:
            return _refused(instance_ids, "instances_mark_failed", error)
        return None


class DryRunRepairs:
    """Does nothing, and reports what repairs without any trouble would have done."""

    def mark(self, instance_ids: tuple[str, ...], now: datetime) -> ActionOutcome:
        log.debug("dry_run_mark", instances=instance_ids, at=iso(now))
        return ActionOutcome(marked=instance_ids)

    def reboot(self, instance_ids: tuple[str, ...], now: datetime) -> ActionOutcome:
        log.debug("dry_run_reboot", instances=instance_ids, at=iso(now))
        return ActionOutcome(rebooted=instance_ids)


def _refused(instance_ids: tuple[str, ...], event: str, error: Exception) -> ActionOutcome:
    code = cause_of(error)
    if code in _PASSING:
        log.info(event, instances=instance_ids, code=code)
        return ActionOutcome(blocked=dict.fromkeys(instance_ids, code))
    log.error(event, instances=instance_ids, code=code, error=str(error))
    return ActionOutcome(failed=dict.fromkeys(instance_ids, code))
