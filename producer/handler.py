"""The scanner as a Lambda function, invoked by the schedule."""

from typing import Any

from producer.scan import Scanner
from producer.summary import summary
from shared.clock import SystemClock
from shared.logs import configure_logging
from shared.settings import load_settings


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Scan the bucket and queue its gaps.

    Args:
        event: `{"enqueue": false}` only looks; anything else queues.

    Returns:
        The summary that the command line prints as JSON. Raises on failure, so that Lambda counts an error.
    """
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    result = Scanner.from_settings(settings, SystemClock()).scan(enqueue=event.get("enqueue", True) is not False)
    return summary(result)
