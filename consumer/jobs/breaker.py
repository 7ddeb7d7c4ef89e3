"""Keeps a worker from receiving jobs while AWS fails them, so that an outage costs each job one receive and not all.

A receive is dear: at the redrive policy's limit SQS takes the job for a bad one. So after a failure that is not the
job's nothing is received for a while. Then the service is asked without a job, and when it answers one job is taken to
see whether all is well, since what fails may be writing alone. Which failures count is decided in `shared.errors`.
"""

import threading
from collections.abc import Callable
from typing import Final

import structlog

from shared.clock import Clock
from shared.errors import AWS_ERRORS, cause_of, is_outage

log = structlog.get_logger()

_FIRST_SECONDS: Final = 5.0
# Between two jobs that fail. The one that did is hidden for its growing delay, so the next trial mostly is another one.
_LONGEST_SECONDS: Final = 300.0


class Breaker:
    """Safe to share by threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._mutex = threading.Lock()
        self._pause = 0.0
        self._until = 0.0
        self._ask: Callable[[], object] | None = None

    def failed(self, ask: Callable[[], object]) -> None:
        """A job failed through no fault of its own; `ask` is a call that tells whether the service is back.

        What fails while nothing is received anyway was in hand before, and says nothing new.
        """
        with self._mutex:
            if self._ask is not None and self._clock.monotonic() < self._until:
                return
            self._ask = ask
            self._rest()

    def worked(self) -> None:
        """A job has come to its end: all is well."""
        with self._mutex:
            if self._ask is not None:
                log.info("jobs_are_taken_again")
            self._ask, self._pause = None, 0.0

    def room(self, most: int, *, idle: bool) -> int:
        """How many jobs may be received now, of `most`. It may make the call that `failed` was given.

        Args:
            idle: whether nothing is in hand: of what is, one may tell more than another try would.
        """
        ask = self._ask
        if ask is None:
            return most
        if not idle or self._clock.monotonic() < self._until or not self._is_back(ask):
            return 0
        return min(most, 1)

    def _is_back(self, ask: Callable[[], object]) -> bool:
        try:
            ask()
        except AWS_ERRORS as error:
            if not is_outage(error):
                return True
            log.info("still_away", error=cause_of(error))
            with self._mutex:
                self._until = self._clock.monotonic() + _FIRST_SECONDS
            return False
        return True

    def _rest(self) -> None:
        self._pause = min(max(2 * self._pause, _FIRST_SECONDS), _LONGEST_SECONDS)
        self._until = self._clock.monotonic() + self._pause
        log.warning("no_jobs_are_taken", for_seconds=self._pause, why="AWS failed the last one")
