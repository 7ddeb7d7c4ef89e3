"""Tells of the jobs that this worker gave up on, many at a time: a broken session has thousands of them.

The dead letters that SQS makes by itself, when a worker dies with a message again and again, it does not see; the
alarm on the dead-letter queue does.
"""

import threading
from typing import Final

from shared.reporting.notify import Notifier, dead_letters
from shared.reporting.reports import ReportError

INTERVAL_SECONDS: Final = 60.0
# As many as a message names the reasons of at most; beyond it the alarm has long rung.
_MOST_KEPT: Final = 10_000


class DeadLetterNotices:
    """Gathers dead letters until it is time to tell of them; safe to share by threads."""

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._mutex = threading.Lock()
        self._gathered: list[ReportError] = []

    def add(self, letter: ReportError) -> None:
        """One more job went to the dead-letter queue."""
        with self._mutex:
            if len(self._gathered) < _MOST_KEPT:
                self._gathered.append(letter)

    def tell(self) -> None:
        """Tell of those that were gathered, if any; what could not be told is tried again with the next ones."""
        with self._mutex:
            letters, self._gathered = self._gathered, []
        if letters and not self._notifier.notify(dead_letters(letters)):
            with self._mutex:
                self._gathered = (letters + self._gathered)[:_MOST_KEPT]
