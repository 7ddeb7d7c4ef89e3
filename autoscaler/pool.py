"""Acts on the pool of stoppable instances, and the dry run that only says what it would do.

It decides nothing. It marks what it starts as owned, takes the mark back where the start turns out not to be its own,
and reports each instance's fate instead of raising, so that one instance never hides what happened to the others.
"""

from datetime import datetime
from typing import TYPE_CHECKING

import structlog
from botocore.exceptions import ClientError

from autoscaler.model import Outcome
from shared.clock import iso
from shared.errors import AWS_ERRORS, error_code, http_status
from shared.instances import STARTED_AT_TAG

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import StartInstancesResultTypeDef

log = structlog.get_logger()

# EC2 User Guide, "Error codes for the Amazon EC2 API": no room in this zone, over the account's limit for the type, or
# the instance is between two states. Another instance may do now, and this one later.
_PASSING = frozenset(
    {"IncorrectInstanceState", "InstanceLimitExceeded", "InsufficientInstanceCapacity", "VcpuLimitExceeded"}
)
ALREADY_STARTED = "AlreadyStarted"
"""Our own code in `Outcome.blocked`: someone else started the instance between our look and our call."""


class InstancePool:
    """Starts and stops EC2 instances, one by one."""

    def __init__(self, ec2: "EC2Client") -> None:
        self._ec2 = ec2

    def start(self, candidates: tuple[str, ...], count: int, now: datetime) -> Outcome:
        """Start up to `count` of the `candidates` in order, going on to the next one where AWS says "not now".

        A failure that needs a person ends it: it would meet the next candidate too, or has perhaps started this one.
        """
        outcome = Outcome()
        for instance_id in candidates:
            if _running(outcome) >= count or outcome.failed:
                break
            outcome += self._start_one(instance_id, now)
        return outcome

    def stop(self, instance_id: str) -> Outcome:
        """Stop one instance. One that is between two states is blocked: the next tick sees what became of it."""
        try:
            self._ec2.stop_instances(InstanceIds=[instance_id])
        except AWS_ERRORS as error:
            code = _code(error)
            if code == "IncorrectInstanceState":
                log.info("instance_not_stopped", instance=instance_id, code=code)
                return Outcome(blocked={instance_id: code})
            log.error("instance_stop_failed", instance=instance_id, code=code, error=str(error))
            return Outcome(failed={instance_id: code})
        log.info("instance_stopped", instance=instance_id)
        return Outcome(stopped=(instance_id,))

    def _start_one(self, instance_id: str, now: datetime) -> Outcome:
        # The mark comes first. The other way round, an autoscaler that dies between the two calls leaves a GPU running
        # that nobody may stop; this way, it leaves a mark that the next start by a person outdates.
        try:
            self._ec2.create_tags(Resources=[instance_id], Tags=[{"Key": STARTED_AT_TAG, "Value": iso(now)}])
        except AWS_ERRORS as error:
            return _failed(instance_id, error)
        try:
            answer = self._ec2.start_instances(InstanceIds=[instance_id])
        except AWS_ERRORS as error:
            return self._not_started(instance_id, error)
        if _someone_else_was_first(answer):
            log.info("instance_already_started", instance=instance_id)
            return self._unmark(instance_id) + Outcome(blocked={instance_id: ALREADY_STARTED})
        log.info("instance_started", instance=instance_id)
        return Outcome(started=(instance_id,))

    def _not_started(self, instance_id: str, error: Exception) -> Outcome:
        code = _code(error)
        if code in _PASSING:
            log.warning("instance_start_blocked", instance=instance_id, code=code)
            return self._unmark(instance_id) + Outcome(blocked={instance_id: code})
        if not isinstance(error, ClientError) or http_status(error) >= 500:
            # EC2 may have started it before the answer got lost: the mark stays, or nobody could stop that GPU.
            return _failed(instance_id, error)
        return self._unmark(instance_id) + _failed(instance_id, error)

    def _unmark(self, instance_id: str) -> Outcome:
        try:
            self._ec2.delete_tags(Resources=[instance_id], Tags=[{"Key": STARTED_AT_TAG}])
        except AWS_ERRORS as error:
            # Not a warning: with the mark left on it, a person's run could be taken for the autoscaler's.
            log.error("instance_unmark_failed", instance=instance_id, code=_code(error), error=str(error))
            return Outcome(failed={instance_id: _code(error)})
        return Outcome()


class DryRunPool:
    """Does nothing, and reports what a pool without any trouble would have done."""

    def start(self, candidates: tuple[str, ...], count: int, now: datetime) -> Outcome:
        log.debug("dry_run_start", instances=candidates[:count], at=iso(now))
        return Outcome(started=candidates[:count])

    def stop(self, instance_id: str) -> Outcome:
        log.debug("dry_run_stop", instance=instance_id)
        return Outcome(stopped=(instance_id,))


def _running(outcome: Outcome) -> int:
    """How many instances run because of, or in spite of, these starts."""
    return len(outcome.started) + sum(code == ALREADY_STARTED for code in outcome.blocked.values())


def _someone_else_was_first(answer: "StartInstancesResultTypeDef") -> bool:
    # EC2 answers a second start with success. After a retry inside boto3 the first start was most likely ours, with
    # its answer lost on the way.
    tried_again = answer["ResponseMetadata"]["RetryAttempts"] > 0
    was_stopped = all(change["PreviousState"]["Name"] == "stopped" for change in answer["StartingInstances"])
    return not was_stopped and not tried_again


def _failed(instance_id: str, error: Exception) -> Outcome:
    log.error("instance_start_failed", instance=instance_id, code=_code(error), error=str(error))
    return Outcome(failed={instance_id: _code(error)})


def _code(error: Exception) -> str:
    return error_code(error) or type(error).__name__
