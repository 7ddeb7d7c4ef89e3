"""What the real tick looks at and acts through, made of the simulated world: eyes, repairs and the record's place.

It decides nothing, and changes nothing of what was decided. The capacity provider is `autoscaler.simulate.pool`.
"""

from dataclasses import replace
from datetime import datetime

from autoscaler.model import ActionOutcome, Observation, ProbeResult
from autoscaler.record import TickRecord
from autoscaler.simulate.world.fleet import SimulatedFleet
from autoscaler.simulate.world.jobs import Counts
from autoscaler.simulate.world.live import LiveSessions
from shared.clock import Clock
from shared.state.lock import LockState

_EMPTY_RECEIVE_SECONDS = 2.0  # `autoscaler.probe` waits so long for a message


class SimulatedObserver:
    """Sees the simulated world as `autoscaler.observe` sees AWS."""

    def __init__(self, counts: Counts, live: LiveSessions, fleet: SimulatedFleet, clock: Clock) -> None:
        self._counts = counts
        self._clock = clock
        self._live = live
        self._fleet = fleet

    def observe(self) -> Observation:
        return Observation(
            queue=self._counts.read(),
            lock=self._live.state(),
            instances=self._fleet.instances(),
            heartbeats=self._fleet.heartbeats(),
        )

    def look_again(self, observation: Observation) -> Observation:
        return replace(observation, confirmations=(*observation.confirmations, self._counts.read()))

    def look_for_message(self, observation: Observation) -> Observation:
        if self._live.held:
            return replace(observation, lock=self.lock())
        found = self._counts.find_message()
        if not found:
            self._clock.sleep(_EMPTY_RECEIVE_SECONDS)
        return replace(observation, sighting=ProbeResult.MESSAGE if found else ProbeResult.NOTHING)

    def lock(self) -> LockState:
        return self._live.state()


class SimulatedRepairs:
    """Marks and reboots simulated instances."""

    def __init__(self, fleet: SimulatedFleet) -> None:
        self._fleet = fleet

    def mark(self, instance_ids: tuple[str, ...], now: datetime) -> ActionOutcome:
        for name in instance_ids:
            self._fleet.mark(name, now)
        return ActionOutcome(marked=instance_ids)

    def reboot(self, instance_ids: tuple[str, ...], now: datetime) -> ActionOutcome:
        for name in instance_ids:
            self._fleet.reboot(name, now)
        return ActionOutcome(rebooted=instance_ids)


class MemoryRecords:
    """Keeps the ticks' record; as in the table, a write succeeds only over the version that was read."""

    def __init__(self) -> None:
        self._record = TickRecord()

    def read(self) -> TickRecord:
        return self._record

    def write(self, record: TickRecord) -> bool:
        if record.version != self._record.version + 1:
            return False
        self._record = record
        return True
