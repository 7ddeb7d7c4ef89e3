"""Stop receiving jobs during an AWS outage, so that an outage costs each job one receive and not all of them.

A job has few receives: at the redrive policy's limit SQS moves its message to the dead-letter queue. So after a failure
that is not the job's own the worker receives nothing for a while. Then it probes the service without a job, and when
that works it takes a single job as a trial, since writes may fail where reads work. `shared.errors.is_outage` says
which failures count.

This is no `shared.aws.circuit_breaker.CircuitBreaker`, which guards single calls (docs/adr/0014).
"""

import threading
from collections.abc import Callable
from typing import Final

import structlog

from shared.clock import Clock
from shared.errors import AWS_ERRORS, cause_of, is_outage

log = structlog.get_logger()

_FIRST_SECONDS: Final = 5.0
# Between two trial jobs. A failed one is hidden for its growing delay, so the next trial mostly is another job.
_MAX_SECONDS: Final = 300.0


class ReceiveBreaker:
    """A circuit breaker around receiving: open, nothing is received. Safe to share by threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._mutex = threading.Lock()
        self._pause = 0.0
        self._until = 0.0
        self._probe: Callable[[], object] | None = None

    def failed(self, probe: Callable[[], object]) -> None:
        """Open the circuit: a job met an outage.

        A failure while the circuit is open is one of a job received before, and changes nothing.

        Args:
            probe: a call that fails as long as the service is away.
        """
        with self._mutex:
            if self._probe is not None and self._clock.monotonic() < self._until:
                return
            self._probe = probe
            self._pause = min(max(2 * self._pause, _FIRST_SECONDS), _MAX_SECONDS)
            self._until = self._clock.monotonic() + self._pause
            log.warning("circuit_opened", for_seconds=self._pause, why="AWS failed the last job")

    def worked(self) -> None:
        """Close the circuit: a job has ended well."""
        with self._mutex:
            if self._probe is not None:
                log.info("circuit_closed")
            self._probe, self._pause = None, 0.0

    def room(self, free: int, *, idle: bool) -> int:
        """How many messages may be received now, of `free`. May call the probe that `failed` was given.

        Args:
            idle: whether no message is held. Otherwise one that is may show whether the service is back.
        """
        probe = self._probe
        if probe is None:
            return free
        if not idle or self._clock.monotonic() < self._until or not self._is_back(probe):
            return 0
        return min(free, 1)

    def _is_back(self, probe: Callable[[], object]) -> bool:
        try:
            probe()
        except AWS_ERRORS as error:
            if not is_outage(error):
                return True
            log.info("circuit_probe_failed", error=cause_of(error))
            with self._mutex:
                self._until = self._clock.monotonic() + _FIRST_SECONDS
            return False
        return True
