"""Simulated time: what happens next, in order. It knows nothing of what the events mean."""

import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

BEGINNING = datetime(2025, 1, 6, tzinfo=UTC)
"""Second 0 of every simulation; a Monday."""

Event = Callable[[], None]


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
        """Let everything happen up to that moment, which is `now` then."""
        entries = self._entries
        while entries and entries[0][0] <= until:
            self.now, _, event = heapq.heappop(entries)
            event()
        self.now = until

    @property
    def moment(self) -> datetime:
        """`now` as a time of day."""
        return moment_of(self.now)


def moment_of(seconds: float) -> datetime:
    """Simulated seconds as a time of day."""
    return BEGINNING + timedelta(seconds=seconds)
