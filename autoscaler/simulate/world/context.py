"""What all simulated workers share, and how jobs that become visible reach those that poll."""

from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from autoscaler.simulate.world.agenda import Agenda
from autoscaler.simulate.world.conditions import Conditions
from autoscaler.simulate.world.jobs import SimulatedQueue
from autoscaler.simulate.world.live import LiveSessions
from autoscaler.simulate.world.rules import RuleChecker
from autoscaler.simulate.world.waits import Waits
from shared.settings import Settings

_TURNS = 4


class PolledWorker(Protocol):
    """A simulated worker, as the others see it."""

    def receive(self) -> None: ...

    def lock_taken(self) -> None: ...

    def lock_released(self) -> None: ...


@dataclass(slots=True)
class SimulationContext:
    """What every worker of the simulated world shares.

    Attributes:
        polling: the workers whose long poll waits for a job.
        locked: the workers that wait for the lock.
        busy_seconds: of all workers, up to their last hand.
        job_seconds: what a worker needs for one job.
    """

    agenda: Agenda
    queue: SimulatedQueue
    live: LiveSessions
    watch: RuleChecker
    waits: Waits
    settings: Settings
    conditions: Conditions
    random: Random
    polling: list[PolledWorker] = field(default_factory=list)
    locked: list[PolledWorker] = field(default_factory=list)
    working: dict[PolledWorker, None] = field(default_factory=dict)
    busy_seconds: float = 0.0
    job_seconds: float = field(init=False)

    def __post_init__(self) -> None:
        self.job_seconds = self.settings.chunk_seconds / self.conditions.rtfx

    def hand_size(self) -> int:
        """How many jobs a worker takes now.

        Workers that poll share what there is, ten jobs a receive. Where nobody polls and there is enough for several
        turns of everyone, a worker takes them at once: who does which job then makes no difference, and a simulation
        of millions of jobs is several times as fast.
        """
        most = self.settings.max_jobs_in_hand
        if self.polling:
            share = -(-self.queue.visible // (len(self.polling) + 1))
            return min(most, max(self.settings.receive_max_jobs, share))
        deep = self.queue.visible > 2 * _TURNS * most * (len(self.working) + 1)
        return _TURNS * most if deep else most


def wake(around: SimulationContext) -> None:
    """Jobs have become visible: long polls that wait for one return, in no order."""
    while around.queue.visible and around.polling and not around.live.held:
        waiting = around.polling.pop(around.random.randrange(len(around.polling)))
        waiting.receive()
