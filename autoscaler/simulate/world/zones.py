"""The zones of the simulated EC2, and in which of them it has capacity for another instance."""

from autoscaler.simulate.world.context import SimulationContext

_ZONES = tuple(f"us-east-1{letter}" for letter in "abcdef")


class Zones:
    """Zones that run full and free again, one at a time or all at once."""

    def __init__(self, around: SimulationContext) -> None:
        self._around = around
        self._used: set[str] = set()
        self._full: set[str] = set()
        if around.conditions.capacity_outages_per_day:
            self._enter_next_outage()

    def allot(self, number: int) -> str:
        """The zone of that instance of the fleet, the first being 0; a fleet is spread evenly."""
        zone = _ZONES[number % len(_ZONES)]
        self._used.add(zone)
        return zone

    def is_full(self, zone: str) -> bool:
        return zone in self._full

    def fill(self, zone: str) -> None:
        """There is no capacity left in it."""
        self._full.add(zone)
        self._tell()

    def _enter_next_outage(self) -> None:
        per_second = self._around.conditions.capacity_outages_per_day / 86_400
        self._around.agenda.after(self._around.random.expovariate(per_second), self._outage)

    def _outage(self) -> None:
        random = self._around.random
        self._full = set(_ZONES) if random.random() < 0.5 else {random.choice(_ZONES)}
        self._tell()
        self._around.agenda.after(random.uniform(*self._around.conditions.capacity_outage_seconds), self._outage_over)

    def _outage_over(self) -> None:
        self._full = set()
        self._tell()
        self._enter_next_outage()

    def _tell(self) -> None:
        self._around.watch.capacity_changed(there=not self._used <= self._full)
