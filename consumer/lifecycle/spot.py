"""Watches for EC2's notice that it takes a spot instance away, and asks the worker to stop in the time that is left.

EC2 gives notice some two minutes ahead and asks programs to look every 5 s (EC2 User Guide, "Spot Instance
interruption notices"). What fits in that time, and what becomes of the rest, is the worker's business.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Final

import structlog

from consumer.host.imds import MetadataService
from consumer.lifecycle.stop_request import StopRequest
from shared.background import repeating
from shared.clock import Clock

log = structlog.get_logger()

_POLL_INTERVAL_SECONDS: Final = 5.0
# Kept of the time that is left: to give the rest back, to write the report, and to tell of it.
_RESERVE_SECONDS: Final = 30.0


class SpotWatch:
    """Asks to stop once, at the first notice."""

    def __init__(self, service: MetadataService, stop: StopRequest, clock: Clock) -> None:
        self._service = service
        self._stop = stop
        self._clock = clock
        self._noticed = False

    def running(self) -> AbstractContextManager[None]:
        """Watch for as long as the block lasts, if this instance is one that EC2 may take away."""
        return repeating(self.look, _POLL_INTERVAL_SECONDS, "spot") if self._service.is_spot() else nullcontext()

    def look(self) -> None:
        """Look once."""
        if self._noticed:
            return
        notice = self._service.spot_notice()
        if notice is None:
            return
        self._noticed = True
        left = (notice.at - self._clock.now()).total_seconds()
        log.warning("spot_notice", action=notice.action, seconds_left=round(left))
        why = f"spot notice: EC2 takes the instance back at {notice.at:%H:%M:%S} UTC"
        self._stop.request_within(left - _RESERVE_SECONDS, why)


def watching(service: MetadataService | None, stop: StopRequest, clock: Clock) -> AbstractContextManager[None]:
    """Watch for as long as the block lasts; `service` is absent where the host must not be asked."""
    return SpotWatch(service, stop, clock).running() if service else nullcontext()
