"""The site of the simulated pool, where the contract of capacity providers is checked like that of the real ones."""

from dataclasses import replace
from random import Random

from autoscaler.model import Instance
from autoscaler.providers.contract import CapacityProvider
from autoscaler.simulate.pool import SimulatedPool, StartFault
from autoscaler.simulate.world.agenda import Agenda, SimulatedClock
from autoscaler.simulate.world.conditions import STEADY
from autoscaler.simulate.world.context import SimulationContext
from autoscaler.simulate.world.fleet import SimulatedFleet
from autoscaler.simulate.world.jobs import SimulatedQueue
from autoscaler.simulate.world.live import LiveSessions
from autoscaler.simulate.world.rules import Bounds, RuleChecker
from autoscaler.simulate.world.waits import Waits
from shared.settings import Settings
from shared.state.instances import FLEET_TAG, HOLD_TAG
from tests.autoscaler.providers.scripted_ec2 import FLEET

_NO_CLOUD = ("bucket", "jobs_queue_url", "priority_queue_url", "dead_letter_queue_url", "table_name")


class SimulatedSite:
    """The pool of the simulated world."""

    def __init__(self) -> None:
        # Hosts that boot for an hour: no worker comes up that would stop its instance.
        self._agenda = Agenda()
        conditions = replace(STEADY, boot_seconds=(3600, 3600))
        clock, settings = SimulatedClock(self._agenda), Settings.model_validate(dict.fromkeys(_NO_CLOUD, "simulated"))
        around = SimulationContext(
            self._agenda,
            SimulatedQueue(self._agenda),
            LiveSessions(self._agenda),
            RuleChecker(Bounds(9, None, None, None)),
            Waits(1),
            settings,
            conditions,
            Random(1),
        )
        self._fleet = SimulatedFleet(0, around)
        self._of_others: set[str] = set()
        self._pool = SimulatedPool(self._fleet, clock, conditions, Random(1))
        self.provider: CapacityProvider = self._pool

    def found(self) -> tuple[Instance, ...]:
        return tuple(one for one in self._fleet.instances() if one.id not in self._of_others)

    def tag(self, instance_id: str, key: str, value: str) -> None:
        if key == HOLD_TAG:
            self._fleet.hold_by_person(instance_id)
        elif key == FLEET_TAG and value != FLEET:
            self._of_others.add(instance_id)

    def offer(self, count: int) -> None:
        self._fleet.add(count)

    def settle(self) -> None:
        self._agenda.run(self._agenda.now + 60)

    def start_by_person(self, candidate: str) -> None:
        self._fleet.start_by_person(candidate)

    def full(self, candidate: str) -> None:
        self._fleet.fill_zone_of(candidate)

    def busy(self) -> None:
        self._pool.faults.append(StartFault.BUSY)

    def forbid_start(self) -> None:
        self._pool.faults.append(StartFault.FORBIDDEN)

    def lose_start(self) -> None:
        self._pool.faults.append(StartFault.LOST)
