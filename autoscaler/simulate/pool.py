"""The capacity provider of the simulated world: instances of its fleet, under the contract that real providers keep."""

from collections import deque
from datetime import datetime
from enum import Enum, auto
from random import Random

from autoscaler.model import ActionOutcome, Instance
from autoscaler.providers.contract import ALREADY_STARTED, NOT_RUNNING, ProviderView
from autoscaler.simulate.world.conditions import Conditions
from autoscaler.simulate.world.fleet import SimulatedFleet
from shared.clock import Clock


class StartFault(Enum):
    """What becomes of a call that starts instances, apart from what becomes of the instances."""

    BUSY = auto()  # EC2 has no time for it
    FORBIDDEN = auto()
    LOST = auto()  # it is done, and its answer never arrives


class SimulatedPool:
    """Starts and stops the instances of the simulated fleet.

    Attributes:
        faults: what the next starts meet, one each; beyond them it is drawn from the conditions.
        blocked: how many starts EC2 has refused.
    """

    def __init__(self, fleet: SimulatedFleet, clock: Clock, conditions: Conditions, random: Random) -> None:
        self._fleet = fleet
        self._clock = clock
        self._conditions = conditions
        self._random = random
        self.faults: deque[StartFault] = deque()
        self.blocked = 0

    def see(self, found: tuple[Instance, ...]) -> ProviderView:
        return ProviderView(found)

    def start(self, candidates: tuple[str, ...], count: int, now: datetime) -> ActionOutcome:
        """All in one call, as EC2 takes fifty; what it starts runs at once, and the answer takes its time."""
        if not candidates or count <= 0:
            return ActionOutcome()
        fault = self.faults.popleft() if self.faults else self._draw_fault()
        if fault is StartFault.FORBIDDEN:
            return ActionOutcome(failed={candidates[0]: "UnauthorizedOperation"})
        if fault is StartFault.BUSY:
            outcome = ActionOutcome(blocked={candidates[0]: "RequestLimitExceeded"})
        else:
            outcome = self._start(candidates, count, now)
        self.blocked += sum(code != ALREADY_STARTED for code in outcome.blocked.values())
        self._clock.sleep(self._conditions.call_seconds)
        if fault is StartFault.LOST:
            return ActionOutcome(blocked=outcome.blocked, failed=dict.fromkeys(outcome.started, "InternalError"))
        return outcome

    def stop(self, instance_id: str) -> ActionOutcome:
        if self._fleet.stop(instance_id, "autoscaler"):
            return ActionOutcome(stopped=(instance_id,))
        return ActionOutcome(blocked={instance_id: NOT_RUNNING})

    def hold_back(self) -> ActionOutcome:
        return ActionOutcome()

    def _start(self, candidates: tuple[str, ...], count: int, now: datetime) -> ActionOutcome:
        started: list[str] = []
        blocked: dict[str, str] = {}
        running = 0
        for candidate in candidates:
            if running == count:
                break
            refusal = self._fleet.start(candidate, now)
            if refusal:
                blocked[candidate] = refusal
            else:
                started.append(candidate)
            running += refusal in {None, ALREADY_STARTED}
        return ActionOutcome(started=tuple(started), blocked=blocked)

    def _draw_fault(self) -> StartFault | None:
        draw, conditions = self._random.random(), self._conditions
        if draw < conditions.starts_throttled:
            return StartFault.BUSY
        return StartFault.LOST if draw < conditions.starts_throttled + conditions.answers_lost else None
