"""A request to stop, as SIGTERM, a spot notice or Ctrl-C make it: take no more jobs, finish what fits in the time."""

from shared.clock import Clock

ASKED_TO_STOP = "asked to stop before the queue was empty"

_POLL_INTERVAL_SECONDS = 0.5


class StopRequest:
    """Set from a signal handler, so it takes no lock and does no I/O.

    Args:
        drain_seconds: what the job in hand may still take once a stop is asked for. A second request ends it at once.
    """

    def __init__(self, clock: Clock, drain_seconds: float) -> None:
        self._clock = clock
        self._drain_seconds = drain_seconds
        self._deadline: float | None = None
        self.reason = ASKED_TO_STOP
        """Why a run that is cut off was, for its report."""

    def request(self) -> None:
        """Ask to stop; asked again, at once."""
        wait = self._drain_seconds if self._deadline is None else 0
        self._deadline = self._clock.monotonic() + wait

    def request_within(self, seconds: float, reason: str) -> None:
        """Ask to stop because the host ends: the job in hand has `seconds`, or the drain time if that is shorter.

        It never gives more time than an earlier request did. A SIGTERM that follows, as the host's end sends one, ends
        the job at once.
        """
        self.reason = reason
        deadline = self._clock.monotonic() + max(0.0, min(seconds, self._drain_seconds))
        self._deadline = deadline if self._deadline is None else min(self._deadline, deadline)

    @property
    def requested(self) -> bool:
        return self._deadline is not None

    def must_abort(self) -> bool:
        """Whether the time for the job in hand is over."""
        return self._deadline is not None and self._clock.monotonic() >= self._deadline

    def wait(self, seconds: float) -> None:
        """Wait, but not beyond a request to stop."""
        end = self._clock.monotonic() + seconds
        while not self.requested and (left := end - self._clock.monotonic()) > 0:
            self._clock.sleep(min(left, _POLL_INTERVAL_SECONDS))
