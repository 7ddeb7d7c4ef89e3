"""Spares callers the wait for a service that does not answer: after a time-out it is left alone for a while.

For services that work can do without. An answer of any kind, an error included, is no reason to rest: it came soon.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ConnectTimeoutError, ReadTimeoutError

from shared.clock import Clock


class CircuitOpenError(BotoCoreError):
    """The call was not made, since one a moment ago got no answer in its time."""

    fmt = "it did not answer a moment ago"


class CircuitBreaker:
    """One service's rest. Safe to share by threads.

    Args:
        seconds: how long a rest lasts; then one call tries, and the others rest on until it is answered.
    """

    def __init__(self, seconds: float, clock: Clock) -> None:
        self._seconds = seconds
        self._clock = clock
        self._until: float | None = None
        self._mutex = threading.Lock()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Around one call.

        Raises:
            RestingError: the service rests, and the call is not to be made.
        """
        self._begin()
        try:
            yield
        except (ConnectTimeoutError, ReadTimeoutError):
            self._end(until=self._clock.monotonic() + self._seconds)
            raise
        except BaseException:
            self._end(until=None)
            raise
        self._end(until=None)

    def _begin(self) -> None:
        with self._mutex:
            now = self._clock.monotonic()
            if self._until is None:
                return
            if now < self._until:
                raise CircuitOpenError
            self._until = now + self._seconds

    def _end(self, until: float | None) -> None:
        with self._mutex:
            self._until = until
