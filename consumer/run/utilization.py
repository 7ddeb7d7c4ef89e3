"""Measures how long the model was at work in at least one thread."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from shared.clock import Clock


class BusyMeter:
    """Sums the model's time; time in which windows overlap counts once, as the instance is paid for once.

    Args:
        on_work: called when a window ends, with the seconds not counted yet; one call at a time.
    """

    def __init__(self, clock: Clock, on_work: Callable[[float], None]) -> None:
        self._clock = clock
        self._on_work = on_work
        self._mutex = threading.Lock()
        self._active = 0
        self._counted_to = 0.0
        self._seconds = 0.0

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count the time of the block as work of the model."""
        with self._mutex:
            if self._active == 0:
                self._counted_to = self._clock.monotonic()
            self._active += 1
        try:
            yield
        finally:
            with self._mutex:
                now = self._clock.monotonic()
                self._on_work(now - self._counted_to)
                self._seconds += now - self._counted_to
                self._counted_to = now
                self._active -= 1

    @property
    def seconds(self) -> float:
        """How long the model has been at work up to now, including windows under way."""
        with self._mutex:
            return self._seconds + (self._clock.monotonic() - self._counted_to if self._active else 0)
