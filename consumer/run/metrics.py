"""The worker's metrics: a log line once a minute and at the end of a run, in CloudWatch's embedded metric format.

A line holds counts and times only: no session, no user, no text.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from consumer.jobs.stages import JobRecord
from shared.clock import Clock
from shared.metrics import Value, metric_line

_INTERVAL_SECONDS: Final = 60.0


class WorkerMetrics:
    """Sums of what was done since the last line. Used under the reporter's lock.

    Args:
        fleet: the lines' only dimension. With one of the worker, each new instance would add a metric to pay for.
        write: takes a line that can be serialised as JSON.
    """

    def __init__(self, fleet: str, clock: Clock, write: Callable[[Mapping[str, Any]], None]) -> None:
        self._fleet = fleet
        self._clock = clock
        self._write = write
        self._completed = self._failed = 0
        self._audio_seconds = self._work_seconds = 0.0
        self._last_line = clock.monotonic()

    def ended(self, record: JobRecord) -> None:
        """Count one finished job. A skipped one is neither success nor failure, since nothing was tried."""
        self._completed += record.outcome == "completed"
        self._failed += record.outcome == "failed"
        self._audio_seconds += record.audio_seconds

    @property
    def due(self) -> bool:
        """Whether the last line is a minute old."""
        return self._clock.monotonic() - self._last_line >= _INTERVAL_SECONDS

    def write(self, work_seconds: float) -> None:
        """Write a line with the sums since the last one.

        Args:
            work_seconds: how long the model has been at work since the worker began.
        """
        now = self._clock.monotonic()
        values = {
            "JobsCompleted": Value(self._completed),
            "JobsFailed": Value(self._failed),
            "AudioSeconds": Value(round(self._audio_seconds, 3), "Seconds"),
        }
        # No fraction of an empty interval.
        if now > self._last_line:
            busy = (work_seconds - self._work_seconds) / (now - self._last_line)
            values["BusyFraction"] = Value(round(min(1.0, busy), 4), "None")
        self._completed = self._failed = 0
        self._audio_seconds, self._work_seconds, self._last_line = 0.0, work_seconds, now
        self._write(metric_line(self._clock.now(), self._fleet, values))
