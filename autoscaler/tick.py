"""One tick: observe, plan, act, and one log event with everything that went into it.

It keeps nothing in the process between ticks: whatever did not work out is seen, and decided on again, a minute later.
What ticks tell each other is a record in the ledger's table (`autoscaler.record`), written before anything is done, so
that of two ticks at once (the Lambda's and an operator's) one acts. Without the table a tick decides all the same: the
queues, the lock and the instances say what work needs, a second start of the same instance is harmless, and what only
the record knows (a day's cost, a full zone) is unknown to the plan.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from autoscaler.deadline import TickDeadline
from autoscaler.model import (
    Action,
    ActionOutcome,
    Decision,
    History,
    MarkSuspect,
    Observation,
    Plan,
    Policy,
    RebootInstance,
    StartInstance,
)
from autoscaler.observe import Observer
from autoscaler.planning.plan import plan
from autoscaler.probe import QueueProbe
from autoscaler.providers.choose import CapacityProvider, provider_for
from autoscaler.record import TickRecord
from autoscaler.record_store import DryRunRecords, Records, RecordStore
from autoscaler.repair import DryRunRepairs, InstanceRepairs, Repairs
from autoscaler.result import TickResult
from shared.aws.clients import dynamodb_client, ec2_client, s3_client, sqs_client
from shared.clock import Clock
from shared.errors import LedgerError
from shared.settings import Settings
from shared.state.ledger import Ledger
from shared.state.lock import LockState, SessionLock

log = structlog.get_logger()

# Between two looks at the queues before a start; each look asks other servers of SQS.
_CONFIRM_SECONDS = 3.0
# So that a tick that looks twice and has 200 instances to stop ends within 10 s. The rest is decided on a minute later.
_ACT_SECONDS = 5.0


class FleetObserver(Protocol):
    """How a tick looks: at AWS, or at a simulated world. The methods are those of `autoscaler.observe.Observer`."""

    def observe(self) -> Observation: ...

    def look_again(self, observation: Observation) -> Observation: ...

    def look_for_message(self, observation: Observation) -> Observation: ...

    def lock(self) -> LockState: ...


@dataclass(frozen=True, slots=True)
class TickParts:
    """What a tick looks at and acts through."""

    observer: FleetObserver
    provider: CapacityProvider
    repairs: Repairs
    records: Records


@dataclass(frozen=True, slots=True)
class _Decided:
    """A plan, what it rests on, and the record that goes with it; none where the last one could not be read."""

    now: datetime
    observation: Observation
    history: History
    plan: Plan
    record: TickRecord | None


class Autoscaler:
    """Everything a tick needs, put together once.

    Args:
        deadline: of each tick; absent where nothing that a tick looks at takes time.
    """

    def __init__(
        self, parts: TickParts, policy: Policy, fleet: str, clock: Clock, deadline: TickDeadline | None = None
    ) -> None:
        self.fleet = fleet
        self._deadline = deadline or TickDeadline(clock)
        self._parts = parts
        self._policy = policy
        self._clock = clock

    @classmethod
    def from_settings(cls, settings: Settings, clock: Clock, *, dry_run: bool = False) -> "Autoscaler":
        """An autoscaler on AWS, as boto3 finds it. A dry run sees everything and changes nothing."""
        ec2, dynamodb, s3, sqs = ec2_client(), dynamodb_client(), s3_client(), sqs_client()
        deadline = TickDeadline(clock)
        for client in (ec2, dynamodb, s3, sqs):
            deadline.hold_to(client)
        lock = SessionLock(s3, settings.bucket, clock, timedelta(minutes=settings.lock_stale_minutes))
        provider = provider_for(settings, ec2, clock, dry_run=dry_run, deadline=deadline)
        # Work that someone waits for is polled first, and looked at first.
        probe = None if dry_run else QueueProbe(sqs, (settings.priority_queue_url, settings.jobs_queue_url))
        observer = Observer(sqs, ec2, lock, Ledger(dynamodb, settings, clock), settings, provider, probe)
        store = RecordStore(dynamodb, settings.table_name)
        parts = TickParts(
            observer,
            provider,
            DryRunRepairs() if dry_run else InstanceRepairs(ec2),
            DryRunRecords(store) if dry_run else store,
        )
        return cls(parts, Policy.from_settings(settings), settings.fleet_name, clock, deadline)

    def tick(self) -> TickResult:
        """Look, decide, act, and log it. What AWS refuses is in the result, not raised."""
        with self._deadline.running():
            result = self.unlogged_tick()
        _log(result)
        return result

    def unlogged_tick(self) -> TickResult:
        """The same without the log event, for simulations of a month in seconds."""
        last, problem = self._last_record()
        observation = self._parts.observer.observe()
        if problem:
            observation = replace(observation, problems=(*observation.problems, problem))
        decided = self._decide(observation, last)
        if self._outrun(decided):
            result = self._result(decided, ActionOutcome(), "another tick decided at this moment", Decision.SUPERSEDED)
        else:
            result = self._act(decided)
            self._complete_record(decided, result)
        return result

    # --- deciding

    def _decide(self, observation: Observation, last: TickRecord | None) -> _Decided:
        """The plan; one that starts something only after enough looks at the queues agree that work waits.

        The look that receives a message comes last: it is the dearest, and short spikes are over by then.
        """
        decided = self._plan(observation, last)
        for _ in range(self._policy.confirm_reads - 1):
            if not (decided.plan.in_doubt or any(isinstance(act, StartInstance) for act in decided.plan.actions)):
                break
            self._clock.sleep(_CONFIRM_SECONDS)
            observation = self._parts.observer.look_again(observation)
            decided = self._plan(observation, last)
        if decided.plan.in_doubt:
            observation = self._parts.observer.look_for_message(observation)
            decided = self._plan(observation, last)
        return decided

    def _plan(self, observation: Observation, last: TickRecord | None) -> _Decided:
        now = self._clock.now()
        record = last.after(observation, now) if last else None
        seen = record.with_own_starts(observation) if record else observation
        history = record.history(observation, now) if record else History()
        planned = plan(seen, history, self._policy, now)
        if record:
            record = record.model_copy(update={"surplus": planned.surplus}).telling(planned.decision, planned.reason)
        return _Decided(now, seen, history, planned, record)

    # --- the record

    def _last_record(self) -> tuple[TickRecord | None, str | None]:
        try:
            return self._parts.records.read(), None
        except LedgerError as error:
            return None, str(error)

    def _outrun(self, decided: _Decided) -> bool:
        """Whether another tick has decided since this one looked. A table that is away tells of none."""
        return decided.record is not None and not self._write(decided.record)

    def _complete_record(self, decided: _Decided, result: TickResult) -> None:
        """Write once more what only acting has shown: starts, full zones, and a reason other than the plan's."""
        before = decided.record
        if before is None:
            return
        instances = decided.observation.instances or ()
        after = before.with_zones(instances, result.outcome, self.fleet, self._clock.now())
        after = after.with_starts(result.outcome, decided.now).telling(result.decision, result.reason)
        if after != before:
            self._write(after.model_copy(update={"version": before.version + 1}))

    def _write(self, record: TickRecord) -> bool:
        try:
            return self._parts.records.write(record)
        except LedgerError as error:
            log.warning("tick_record_not_written", error=str(error))
            return True

    # --- acting

    def _act(self, decided: _Decided) -> TickResult:
        """Do what the plan says, for as long as no live session holds the lock and the time lasts."""
        if decided.observation.lock.held:
            return self._result(decided, self._parts.provider.hold_back())
        outcome, began = ActionOutcome(), self._clock.monotonic()
        steps = _steps(decided.plan.actions)
        for done, step in enumerate(steps):
            if self._clock.monotonic() - began > _ACT_SECONDS:
                reason = f"{decided.plan.reason}; out of time, {len(steps) - done} steps are left for the next tick"
                return self._result(decided, outcome, reason)
            # A session may have begun since the observation, and its recorder looks at no instance: it relies on us.
            lock = self._parts.observer.lock()
            if lock.held:
                outcome += self._parts.provider.hold_back()
                reason = f"holding: {lock.describe()}; seen right before acting"
                return self._result(decided, outcome, reason, Decision.HOLDING)
            outcome += self._perform(step)
        return self._result(decided, outcome)

    def _perform(self, step: tuple[Action, ...]) -> ActionOutcome:
        now = self._clock.now()
        first = step[0]
        if isinstance(first, StartInstance):
            return self._parts.provider.start(first.candidates, first.count, now)
        ids = tuple(action.instance_id for action in step if not isinstance(action, StartInstance))
        if isinstance(first, MarkSuspect):
            return self._parts.repairs.mark(ids, now)
        if isinstance(first, RebootInstance):
            return self._parts.repairs.reboot(ids, now)
        return self._parts.provider.stop(first.instance_id)

    def _result(
        self, decided: _Decided, outcome: ActionOutcome, reason: str | None = None, decision: Decision | None = None
    ) -> TickResult:
        return TickResult(
            now=decided.now,
            policy=self._policy,
            observation=decided.observation,
            history=decided.history,
            plan=decided.plan,
            reason=reason or decided.plan.reason,
            decision=decision or decided.plan.decision,
            outcome=outcome,
        )


def _steps(actions: tuple[Action, ...]) -> list[tuple[Action, ...]]:
    """The actions as they are done: marks in one call and reboots in one, all others one by one; starts come last.

    Marks come first: they disturb nobody, and the longest list of stops must not put them off.
    """
    together: list[tuple[Action, ...]] = [
        tuple(action for action in actions if isinstance(action, kind)) for kind in (MarkSuspect, RebootInstance)
    ]
    single = [(action,) for action in actions if not isinstance(action, (MarkSuspect, RebootInstance))]
    return [step for step in (*together, *single) if step]


def _log(result: TickResult) -> None:
    if result.outcome.failed or result.plan.alarms:
        log.error("tick", **result.document())
    elif result.observation.problems or result.outcome.blocked:
        log.warning("tick", **result.document())
    else:
        log.info("tick", **result.document())
