"""Simulated time: what happens next, in order, and the clock of it. It knows nothing of what the events mean."""

import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

BEGINNING = datetime(2025, 1, 6, tzinfo=UTC)
"""Second 0 of every simulation; a Monday."""

Event = Callable[[], object]


class Agenda:
    """Events in the order of their times; those of one moment in the order in which they were entered.

    Attributes:
        now: seconds since the beginning.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._entries: list[tuple[float, int, Event]] = []
        self._entered = 0

    def at(self, time: float, event: Event) -> None:
        """Enter an event; one for a moment that is over happens at once."""
        self._entered += 1
        heapq.heappush(self._entries, (max(time, self.now), self._entered, event))

    def after(self, seconds: float, event: Event) -> None:
        self.at(self.now + seconds, event)

    def run(self, until: float) -> None:
        """Let everything happen up to that moment, which is `now` then.

        An event may call it in turn, to wait: then the world goes on before that event does.
        """
        entries = self._entries
        while entries and entries[0][0] <= until:
            self.now, _, event = heapq.heappop(entries)
            event()
        self.now = max(self.now, until)

    @property
    def moment(self) -> datetime:
        """`now` as a time of day."""
        return moment_of(self.now)


class SimulatedClock:
    """The agenda as the clock (`shared.clock.Clock`) of code that knows nothing of simulations."""

    def __init__(self, agenda: Agenda) -> None:
        self._agenda = agenda

    def now(self) -> datetime:
        return self._agenda.moment

    def monotonic(self) -> float:
        return self._agenda.now

    def sleep(self, seconds: float) -> None:
        """The world goes on meanwhile."""
        self._agenda.run(self._agenda.now + seconds)


def moment_of(seconds: float) -> datetime:
    """Simulated seconds as a time of day."""
    return BEGINNING + timedelta(seconds=seconds)
