"""One tick: observe, plan, act, and one log event with everything that went into it.

It keeps nothing between ticks: whatever did not work out is seen, and decided on again, a minute later.
"""

from datetime import timedelta

import structlog

from autoscaler.model import Action, Outcome, Plan, Policy, Pool, StartInstance
from autoscaler.observe import Observer
from autoscaler.plan import plan
from autoscaler.pool import DryRunPool, InstancePool
from autoscaler.result import TickResult
from shared.aws import dynamodb_client, ec2_client, s3_client, sqs_client
from shared.clock import Clock
from shared.ledger import Ledger
from shared.lock import SessionLock
from shared.settings import Settings

log = structlog.get_logger()


class Autoscaler:
    """Everything a tick needs, put together once."""

    def __init__(self, observer: Observer, pool: Pool, policy: Policy, clock: Clock) -> None:
        self._observer = observer
        self._pool = pool
        self._policy = policy
        self._clock = clock

    @classmethod
    def from_settings(cls, settings: Settings, clock: Clock, *, dry_run: bool = False) -> "Autoscaler":
        """An autoscaler on AWS, as boto3 finds it. A dry run sees everything and changes nothing."""
        ec2 = ec2_client()
        lock = SessionLock(s3_client(), settings.bucket, clock, timedelta(minutes=settings.lock_stale_minutes))
        observer = Observer(sqs_client(), ec2, lock, Ledger(dynamodb_client(), settings, clock), settings)
        pool = DryRunPool() if dry_run else InstancePool(ec2)
        return cls(observer, pool, Policy.from_settings(settings), clock)

    def tick(self) -> TickResult:
        """Look, decide, act. What AWS refuses is in the result, not raised."""
        observation = self._observer.observe()
        now = self._clock.now()
        decided = plan(observation, self._policy, now)
        outcome, reason = self._act(decided)
        result = TickResult(now, self._policy, observation, decided, reason, outcome)
        _log(result)
        return result

    def _act(self, decided: Plan) -> tuple[Outcome, str]:
        """What came of the plan, and the reason that holds in the end."""
        outcome = Outcome()
        for action in decided.actions:
            # A session may have begun since the observation, and its recorder looks at no instance: it relies on us.
            lock = self._observer.lock()
            if lock.held:
                return outcome, f"holding: {lock.describe()}; seen right before acting"
            outcome += self._perform(action)
        return outcome, decided.reason

    def _perform(self, action: Action) -> Outcome:
        if isinstance(action, StartInstance):
            return self._pool.start(action.candidates, action.count, self._clock.now())
        return self._pool.stop(action.instance_id)


def _log(result: TickResult) -> None:
    if result.outcome.failed:
        log.error("tick", **result.document())
    elif result.observation.problems or result.outcome.blocked:
        log.warning("tick", **result.document())
    else:
        log.info("tick", **result.document())
