"""structlog's set-up: JSON on machines, readable on a terminal, always on stderr.

Events carry a name and bound context. Levels: debug = expected retry, info = outcome, warning = degraded,
error = a person should look. What was said in a recording and secrets never go into an event.
"""

import logging
import sys
from typing import Literal

import structlog


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
        # Looked up at each write: a test or a supervisor may replace stderr after this was called.
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
