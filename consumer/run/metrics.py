"""What the worker did since it last said so, as a line of metrics on its log once a minute and at the end of a run.

The line holds counts and times alone: no session, no user, nothing that was said. It decides nothing.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from consumer.jobs.stages import JobRecord
from shared.clock import Clock
from shared.metrics import Value, metric_line

_INTERVAL_SECONDS: Final = 60.0


class WorkerMetrics:
    """Adds up jobs between two lines.

    Args:
        fleet: the lines' only dimension. Each worker's own would be a metric to pay for with every new instance.
        write: takes a line, JSON-able, in CloudWatch's embedded metric format.
    """

    def __init__(self, fleet: str, clock: Clock, write: Callable[[Mapping[str, Any]], None]) -> None:
        self._fleet = fleet
        self._clock = clock
        self._write = write
        self._completed = self._failed = 0
        self._audio_seconds = self._work_seconds = 0.0
        self._last_line = clock.monotonic()

    def ended(self, record: JobRecord) -> None:
        """Count one finished job. One that was skipped is neither success nor failure: nothing was tried."""
        self._completed += record.outcome == "completed"
        self._failed += record.outcome == "failed"
        self._audio_seconds += record.audio_seconds

    @property
    def due(self) -> bool:
        """Whether the last line is a minute old."""
        return self._clock.monotonic() - self._last_line >= _INTERVAL_SECONDS

    def say(self, work_seconds: float) -> None:
        """Write a line of what was done since the one before.

        Args:
            work_seconds: how long the model has been at work since the worker began.
        """
        now = self._clock.monotonic()
        values = {
            "JobsCompleted": Value(self._completed),
            "JobsFailed": Value(self._failed),
            "AudioSeconds": Value(round(self._audio_seconds, 3), "Seconds"),
        }
        # Right after a line there is no time of which to tell a fraction.
        if now > self._last_line:
            busy = (work_seconds - self._work_seconds) / (now - self._last_line)
            values["BusyFraction"] = Value(round(min(1.0, busy), 4), "None")
        self._completed = self._failed = 0
        self._audio_seconds, self._work_seconds, self._last_line = 0.0, work_seconds, now
        self._write(metric_line(self._clock.now(), self._fleet, values))
