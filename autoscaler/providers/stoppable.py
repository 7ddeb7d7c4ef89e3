"""The pool of stoppable instances: acts on EC2 instances that stay, stopped, between their runs.

It decides nothing. It marks what it starts as owned and takes its mark back where the start turns out not to be
its own. Instances start in batches: EC2 allows few StartInstances calls (a burst of 5, then 2 a second), with many
ids in each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import structlog

from autoscaler.model import ActionOutcome, Instance
from autoscaler.providers.contract import ALREADY_STARTED, HELD, NOT_RUNNING, ProviderView
from autoscaler.providers.refusals import Refusal, code_of, refusal
from shared.clock import iso
from shared.errors import AWS_ERRORS
from shared.state.instances import HOLD_TAG, STARTED_AT_TAG, tags_of

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import InstanceTypeDef, StartInstancesResultTypeDef

log = structlog.get_logger()

_BATCH = 50
# So that a tick ends in time when nothing can start; the plan's order says who is tried first a minute later.
_MAX_CALLS = 40


@dataclass(slots=True)
class _Budget:
    """How many calls are left, and whether more of them make sense."""

    calls: int = _MAX_CALLS
    closed: bool = False

    @property
    def open(self) -> bool:
        return self.calls > 0 and not self.closed


class InstancePool:
    """Starts and stops the instances of the pool."""

    def __init__(self, ec2: "EC2Client") -> None:
        self._ec2 = ec2

    def see(self, found: tuple[Instance, ...]) -> ProviderView:
        """The pool is what carries the fleet's tag."""
        return ProviderView(found)

    def start(self, candidates: tuple[str, ...], count: int, now: datetime) -> ActionOutcome:
        """Start up to `count` of the `candidates` in order, going on to the next ones where AWS says "not now".

        A failure that needs a person ends it: it would meet the next candidate too, or has perhaps started this one.
        """
        outcome, left, budget = ActionOutcome(), list(dict.fromkeys(candidates)), _Budget()
        while left and budget.open and (wanted := count - _running(outcome)) > 0:
            batch = left[: min(wanted, _BATCH)]
            del left[: len(batch)]
            outcome += self._start_stopped(batch, now, budget)
        return outcome

    def stop(self, instance_id: str) -> ActionOutcome:
        """Stop one instance. One that is between two states is blocked: the next tick sees what became of it."""
        try:
            answer = self._ec2.stop_instances(InstanceIds=[instance_id])
        except AWS_ERRORS as error:
            code = code_of(error)
            if refusal(error) in {Refusal.INSTANCE, Refusal.FLEET}:
                log.info("instance_not_stopped", instance=instance_id, code=code)
                return ActionOutcome(blocked={instance_id: code})
            log.error("instance_stop_failed", instance=instance_id, code=code, error=str(error))
            return ActionOutcome(failed={instance_id: code})
        tried_again = answer["ResponseMetadata"]["RetryAttempts"] > 0
        ran = any(change["PreviousState"]["Name"] in {"pending", "running"} for change in answer["StoppingInstances"])
        if not ran and not tried_again:
            return ActionOutcome(blocked={instance_id: NOT_RUNNING})
        log.info("instance_stopped", instance=instance_id)
        return ActionOutcome(stopped=(instance_id,))

    def hold_back(self) -> ActionOutcome:
        """EC2 starts an instance at once or not at all: there is nothing to take back."""
        return ActionOutcome()

    def _start_stopped(self, batch: Sequence[str], now: datetime, budget: _Budget) -> ActionOutcome:
        """Start those of the batch that are stopped; a mark on any other would be a claim to someone else's run."""
        try:
            described = self._ec2.describe_instances(Filters=[{"Name": "instance-id", "Values": list(batch)}])
        except AWS_ERRORS as error:
            budget.closed = True
            return _refused(batch[:1], error)
        found = {one["InstanceId"]: one for group in described["Reservations"] for one in group["Instances"]}
        blocked = {name: why for name in batch if (why := _why_not(found.get(name)))}
        if blocked:
            log.info("instances_not_startable", instances=blocked)
        rest = [name for name in batch if name not in blocked]
        return ActionOutcome(blocked=blocked) + (self._start_marked(rest, now, budget) if rest else ActionOutcome())

    def _start_marked(self, batch: Sequence[str], now: datetime, budget: _Budget) -> ActionOutcome:
        # The mark comes first. The other way round, an autoscaler that dies between the two calls leaves a GPU running
        # that nobody may stop; this way, it leaves a mark that the next start by a person outdates.
        mark = iso(now)
        not_marked = self._mark(batch, mark)
        if not_marked.failed or not_marked.blocked:
            budget.closed = True
            return self._unmark(batch, mark) + not_marked
        outcome, open_ended = self._start(batch, budget)
        # What EC2 may have started before the answer got lost keeps its mark, or nobody could stop that GPU.
        ours = [*outcome.started, *open_ended]
        not_ours = [name for name in batch if name not in ours]
        # A second autoscaler at the same moment may have put its mark over ours, and takes that back when it finds the
        # instance started. Written again, ours is not the one that it takes back.
        return self._mark(ours, mark) + self._unmark(not_ours, mark) + outcome

    def _mark(self, instances: Sequence[str], mark: str) -> ActionOutcome:
        """Empty where it worked."""
        if not instances:
            return ActionOutcome()
        try:
            self._ec2.create_tags(Resources=list(instances), Tags=[{"Key": STARTED_AT_TAG, "Value": mark}])
        except AWS_ERRORS as error:
            return _refused(instances, error)
        return ActionOutcome()

    def _start(self, batch: Sequence[str], budget: _Budget) -> tuple[ActionOutcome, tuple[str, ...]]:
        """What came of it, and the instances of which nobody knows whether they started."""
        if not budget.open:
            return ActionOutcome(), ()
        budget.calls -= 1
        try:
            answer = self._ec2.start_instances(InstanceIds=list(batch))
        except AWS_ERRORS as error:
            meaning = refusal(error)
            if meaning is Refusal.INSTANCE and len(batch) > 1:
                return self._start_halves(batch, budget)
            budget.closed = meaning is not Refusal.INSTANCE
            return _refused(batch, error), tuple(batch) if meaning is Refusal.UNKNOWN else ()
        return _started(batch, answer), ()

    def _start_halves(self, batch: Sequence[str], budget: _Budget) -> tuple[ActionOutcome, tuple[str, ...]]:
        """EC2 starts all instances of a call or none, and does not say which of them it is that cannot start."""
        half = len(batch) // 2
        first, open_ended = self._start(batch[:half], budget)
        second, more_open_ended = self._start(batch[half:], budget)
        return first + second, open_ended + more_open_ended

    def _unmark(self, instances: Sequence[str], mark: str) -> ActionOutcome:
        """Take back the mark of this start; with its value given, EC2 deletes no other."""
        if not instances:
            return ActionOutcome()
        try:
            self._ec2.delete_tags(Resources=list(instances), Tags=[{"Key": STARTED_AT_TAG, "Value": mark}])
        except AWS_ERRORS as error:
            # Not a warning: with the mark left on it, a person's run could be taken for the autoscaler's.
            log.error("instance_unmark_failed", instances=instances, code=code_of(error), error=str(error))
            return ActionOutcome(failed=dict.fromkeys(instances, code_of(error)))
        return ActionOutcome()


def _why_not(described: "InstanceTypeDef | None") -> str | None:
    """Why this instance cannot be started, in the words of `ActionOutcome.blocked`; `None` when it can."""
    state = described["State"]["Name"] if described else "terminated"
    if described and HOLD_TAG in tags_of(described.get("Tags", [])):
        return HELD
    if state in {"pending", "running"}:
        return ALREADY_STARTED
    return None if state == "stopped" else "IncorrectInstanceState"


def _running(outcome: ActionOutcome) -> int:
    """How many instances run because of, or in spite of, these starts."""
    return len(outcome.started) + sum(code == ALREADY_STARTED for code in outcome.blocked.values())


def _started(batch: Sequence[str], answer: "StartInstancesResultTypeDef") -> ActionOutcome:
    # EC2 answers a second start with success. After a retry inside boto3 the first start was most likely ours, with
    # its answer lost on the way.
    tried_again = answer["ResponseMetadata"]["RetryAttempts"] > 0
    before = {change["InstanceId"]: change["PreviousState"]["Name"] for change in answer["StartingInstances"]}
    theirs = [name for name in batch if before.get(name, "stopped") != "stopped" and not tried_again]
    ours = tuple(name for name in batch if name not in theirs)
    log.info("instances_started", instances=ours, already_started=theirs)
    return ActionOutcome(started=ours, blocked=dict.fromkeys(theirs, ALREADY_STARTED))


def _refused(batch: Sequence[str], error: Exception) -> ActionOutcome:
    code = code_of(error)
    if refusal(error) in {Refusal.INSTANCE, Refusal.FLEET}:
        log.warning("instance_start_blocked", instances=batch, code=code)
        return ActionOutcome(blocked=dict.fromkeys(batch, code))
    log.error("instance_start_failed", instances=batch, code=code, error=str(error))
    return ActionOutcome(failed=dict.fromkeys(batch, code))
