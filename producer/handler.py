"""The scanner as a Lambda function, invoked by the schedule."""

from math import inf
from typing import Any, Final, Protocol

from producer.scan.scan import Scanner
from producer.scan.summary import summary
from shared.clock import SystemClock
from shared.logs import configure_logging
from shared.settings import load_settings

# For the last session that is begun, which Lambda would end in the middle: one of 20,000 chunks takes half a minute.
_SPARE_SECONDS: Final = 180


class Context(Protocol):
    """What Lambda tells of a call (Lambda Developer Guide, "Using the Lambda context object in Python")."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda ends the call."""


def handler(event: dict[str, Any], context: Context | None) -> dict[str, Any]:
    """Scan the bucket, queue its gaps, and give sessions their transcripts in the time that is left.

    Args:
        event: `{"enqueue": false}` only looks; anything else queues.
        context: without one there is no end of time, as in the embedded cloud.

    Returns:
        The summary that the command line prints as JSON. Raises on failure, so that Lambda counts an error.
    """
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)

    def seconds_to_finalise() -> float:
        left = context.get_remaining_time_in_millis() / 1000 if context else inf
        return min(settings.scan_finalise_seconds, left - _SPARE_SECONDS)

    scanner = Scanner.from_settings(settings, SystemClock())
    enqueue = event.get("enqueue", True) is not False
    return summary(scanner.scan(enqueue=enqueue, seconds_to_finalise=seconds_to_finalise))
