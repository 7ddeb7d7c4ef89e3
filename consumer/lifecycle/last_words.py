"""Ends a process whose job hangs, after a last word: the report of its run, if that can be written within seconds.

A hung GPU call answers to no exception and no signal handler, and may hold a lock that the report needs. So the report
is left to a thread that nobody waits for any longer than its time.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from typing import Final

import structlog

log = structlog.get_logger()

_SECONDS: Final = 20.0


class LastWords:
    """What is still said when a job hangs.

    Attributes:
        say: set once there is something to say; it may hang itself.
    """

    def __init__(self, exit_code: int, *, seconds: float = _SECONDS, end: Callable[[int], None] = os._exit) -> None:
        self.say: Callable[[], None] | None = None
        self._exit_code = exit_code
        self._seconds = seconds
        self._end = end

    def end_process(self) -> None:
        """End the process, from whatever thread."""
        if self.say:
            saying = threading.Thread(target=self.say, name="last words", daemon=True)
            saying.start()
            saying.join(self._seconds)
            if saying.is_alive():
                log.error("report_not_written", error="it hangs, too")
        with contextlib.suppress(OSError):  # a full disk: the process must end all the same
            sys.stderr.flush()
        self._end(self._exit_code)
