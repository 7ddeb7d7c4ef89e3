"""Something done again and again beside the main thread, for as long as a block lasts."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

log = structlog.get_logger()


@contextmanager
def repeating(call: Callable[[], None], interval_seconds: float, name: str) -> Iterator[None]:
    """Make a call every `interval_seconds` in a thread of its own, first after one interval.

    A call that raises must not end unseen: leases that nobody extends, say, would let two workers do every job. So the
    process is asked to stop, as by Ctrl-C, and the error is raised where the block ends.
    """
    closed = threading.Event()
    failures: list[Exception] = []

    def run() -> None:
        while not closed.wait(interval_seconds):
            try:
                call()
            except Exception as error:
                log.exception("background_failed", what=name, error=type(error).__name__)
                failures.append(error)
                os.kill(os.getpid(), signal.SIGINT)
                return

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        closed.set()
        thread.join()
        if failures:
            raise failures[0]
