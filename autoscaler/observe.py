"""Looks at the fleet: queues, lock, instances, heartbeats.

It only reads, and decides nothing. A part that cannot be read is `None` in the observation, with one line that says
why: the decision must know what it could not see. Errors that are not AWS's own are bugs and are not caught.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from autoscaler.model import Instance, Observation
from autoscaler.probe import QueueProbe
from autoscaler.providers.contract import CapacityProvider
from shared.aws.sqs import QueueDepth, queue_depth
from shared.errors import AWS_ERRORS, cause_of
from shared.formats.heartbeat import Heartbeats
from shared.settings import Settings
from shared.state.fleet_view import FleetView, read_fleet
from shared.state.ledger import Ledger
from shared.state.lock import LockState, SessionLock

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_sqs import SQSClient


class Observer:
    """Reads one fleet, as `settings` name it.

    Args:
        capacity: knows what the instances that were found are; without it, just that.
        probe: receives a message where a start needs it; without one, as in a dry run, none is received.
    """

    def __init__(
        self,
        sqs: "SQSClient",
        ec2: "EC2Client",
        lock: SessionLock,
        ledger: Ledger,
        settings: Settings,
        capacity: CapacityProvider | None = None,
        probe: QueueProbe | None = None,
    ) -> None:
        self._sqs = sqs
        self._ec2 = ec2
        self._lock = lock
        self._ledger = ledger
        self._settings = settings
        self._capacity = capacity
        self._probe = probe

    def observe(self) -> Observation:
        """One look at everything; never raises for what AWS refuses."""
        problems: list[str] = []
        fleet = read_fleet(self._ec2, self._ledger, self._settings.fleet_name)
        instances = self._instances(fleet, problems)
        heartbeats = None if instances is None else _heartbeats(fleet, problems)
        return Observation(
            queue=self._queue(problems),
            lock=self.lock(),
            instances=instances,
            heartbeats=heartbeats.valid if heartbeats else None,
            invalid_heartbeats=heartbeats.invalid if heartbeats else frozenset(),
            problems=tuple(problems),
        )

    def look_again(self, observation: Observation) -> Observation:
        """The observation with one more look at the queues: their counts may show messages that are not there."""
        problems: list[str] = []
        queue = self._queue(problems)
        if queue is None:
            return replace(observation, queue=None, problems=(*observation.problems, *problems))
        return replace(observation, confirmations=(*observation.confirmations, queue))

    def look_for_message(self, observation: Observation) -> Observation:
        """The observation with what a look for a real message found; unchanged while the lock is held by now."""
        lock = self.lock()
        if lock.held or self._probe is None:
            return replace(observation, lock=lock)
        sighting, problems = self._probe.look()
        return replace(observation, lock=lock, sighting=sighting, problems=(*observation.problems, *problems))

    def lock(self) -> LockState:
        """One look at the lock; free for fleets that share no GPU with live sessions."""
        return self._lock.read() if self._settings.lock_enabled else LockState()

    def _queue(self, problems: list[str]) -> QueueDepth | None:
        depth = QueueDepth()
        for url in (self._settings.jobs_queue_url, self._settings.priority_queue_url):
            try:
                depth += queue_depth(self._sqs, url)
            except AWS_ERRORS as error:
                problems.append(f"could not read the queue {url.rsplit('/', 1)[-1]} ({cause_of(error)})")
                return None
        return depth

    def _instances(self, fleet: FleetView, problems: list[str]) -> tuple[Instance, ...] | None:
        if isinstance(fleet.instances, Exception):
            problems.append(f"could not read the instances ({cause_of(fleet.instances)})")
            return None
        if not self._capacity:
            return fleet.instances
        view = self._capacity.see(fleet.instances)
        problems.extend(view.problems)
        return view.instances


def _heartbeats(fleet: FleetView, problems: list[str]) -> Heartbeats | None:
    if isinstance(fleet.heartbeats, Exception):
        problems.append(f"could not read the heartbeats ({fleet.heartbeats})")
        return None
    if fleet.heartbeats.invalid:
        problems.append(f"could not understand the heartbeats of {', '.join(sorted(fleet.heartbeats.invalid))}")
    return fleet.heartbeats
