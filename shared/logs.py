"""structlog's set-up: JSON on machines, readable on a terminal, always on stderr.

Events carry a name and bound context. Levels: debug = expected retry, info = outcome, warning = degraded,
error = a person should look. What was said in a recording and secrets never go into an event.
"""

import contextlib
import logging
import sys
from typing import Literal

import structlog


class StderrLogger(structlog.WriteLogger):
    """Writes events to stderr as it is now, and does without those that cannot be written.

    On a host stderr is a file, and its disk can be full. Work must not end because nobody can be told of it: an error
    raised here would strike any thread at any line, also where a job's lease or a run's report is at stake.
    """

    def __init__(self) -> None:
        # Looked up anew: a test or a supervisor may replace stderr after the logs were set up.
        super().__init__(sys.stderr)

    def msg(self, message: str) -> None:
        """Write one event if that is possible."""
        with contextlib.suppress(OSError):
            super().msg(message)

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


def configure_logging(level: str = "info", style: Literal["auto", "json", "console"] = "auto") -> None:
    """Set up the process's logs; call it once, at the edge.

    Args:
        level: least severe event that is written.
        style: `auto` is `console` when stderr is a terminal, else `json`.
    """
    console = style == "console" or (style == "auto" and sys.stderr.isatty())
    renderer: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
        if console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=lambda *_: StderrLogger(),
        cache_logger_on_first_use=False,
    )
