"""Ends a tick in its time, however AWS behaves: once the time is over, no further call is begun.

A tick makes many calls, and each may take as long as its client's patience; a function that runs into its time-out
logs nothing, and says nothing of what it saw. So each try of each call, boto3's own further tries included, is refused
before it is sent when the tick's time is over. To the code that called it is one more thing that AWS did not answer.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError

from shared.clock import Clock

if TYPE_CHECKING:
    from botocore.client import BaseClient

# With the longest try of a call (15 s, of EC2) that begins just before it, and the longest wait for another try, less
# than the function's time-out.
TICK_SECONDS: Final = 25.0


class OutOfTimeError(BotoCoreError):
    """The tick's time was over before this call, or this try of it, was sent."""

    fmt = "the tick's {seconds:g} s are over"


class TickDeadline:
    """The time of one tick after another."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._over_at: float | None = None

    def hold_to(self, client: "BaseClient") -> None:
        """From now on, refuse the client's calls once the time of a tick that runs is over."""
        client.meta.events.register_first("before-send", self._check)

    @contextmanager
    def running(self) -> Iterator[None]:
        """A tick begins; its time counts for as long as the block lasts."""
        self._over_at = self._clock.monotonic() + TICK_SECONDS
        try:
            yield
        finally:
            self._over_at = None

    def _check(self, **_: object) -> None:
        if self._over_at is not None and self._clock.monotonic() >= self._over_at:
            raise OutOfTimeError(seconds=TICK_SECONDS)
