"""The autoscaler as a Lambda function, invoked every minute.

A thin shell: it puts the autoscaler together at the first call, lets each call tick, and prints the tick's metrics.
Importing it reads nothing of the environment and makes no client.
"""

import sys
from typing import Any

from autoscaler.metrics import metric_lines
from autoscaler.tick import Autoscaler
from shared.clock import Clock, SystemClock
from shared.errors import InstanceError
from shared.logs import configure_logging
from shared.metrics import write_line
from shared.settings import load_settings


class Handler:
    """The function that Lambda calls. Clients are kept for the container's life: making them costs most of a tick."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._autoscaler: Autoscaler | None = None

    def __call__(self, _event: object, _context: object) -> dict[str, Any]:
        """One tick.

        Returns:
            What was seen, decided and done, as in `TickResult.document`.

        Raises:
            ConfigurationError: a setting is missing or wrong.
            InstanceError: AWS refused an action for good; raised so that Lambda counts an error and the alarm sees it.
        """
        if self._autoscaler is None:
            self._autoscaler = self._put_together()
        result = self._autoscaler.tick()
        for line in metric_lines(result, self._autoscaler.fleet):
            write_line(line, sys.stdout)
        if result.outcome.failed:
            refused = ", ".join(f"{instance} ({code})" for instance, code in result.outcome.failed.items())
            raise InstanceError(f"AWS refused to change {refused}")
        return result.document()

    def _put_together(self) -> Autoscaler:
        settings = load_settings()
        configure_logging(settings.log_level, "json")
        return Autoscaler.from_settings(settings, self._clock)


handler = Handler(SystemClock())
