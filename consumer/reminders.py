"""Keeps one message of each session on its queue until the session has been looked at, so that a crash is made good.

A session's transcript is written some time after the last of its jobs has ended. Were all their messages deleted by
then, a worker that dies in between would leave nothing that says that the session has to be finished. So the message of
the job that ended last stays leased: if the worker dies, it is delivered again, its job is skipped, since the
transcript exists, and whoever skips it finishes the session. Which look is good enough is `consumer.finishing`'s
business.
"""

import threading

import structlog

from consumer.jobqueue import JobQueue, Message
from consumer.leases import LeaseKeeper
from consumer.retrying import Retrier
from shared.errors import AWS_ERRORS, error_code

log = structlog.get_logger()


class Reminders:
    """The messages kept, one for each session path. Safe to share by threads."""

    def __init__(self, queue: JobQueue, leases: LeaseKeeper, retrier: Retrier) -> None:
        self._queue = queue
        self._leases = leases
        self._retrier = retrier
        self._kept: dict[str, Message] = {}
        self._mutex = threading.Lock()

    def keep(self, session_path: str, message: Message) -> None:
        """Keep the held message of a job that is done, in place of the one that was kept for its session."""
        self._leases.pause(message)
        with self._mutex:
            earlier = self._kept.get(session_path)
            self._kept[session_path] = message
        if earlier is None:
            return
        if earlier.message_id == message.message_id:  # delivered once more, so only the earlier lease is over
            self._leases.drop([earlier])
        else:
            self._delete(earlier)

    def of(self, session_path: str) -> Message | None:
        """What is kept for a session."""
        with self._mutex:
            return self._kept.get(session_path)

    def settle(self, session_path: str, message: Message | None) -> None:
        """The session needs no reminder any more, unless another one than `message` is kept by now."""
        with self._mutex:
            if message is None or self._kept.get(session_path) is not message:
                return
            del self._kept[session_path]
        self._delete(message)

    def take_all(self) -> list[Message]:
        """All that is kept; from now on it is the caller's."""
        with self._mutex:
            kept, self._kept = self._kept, {}
        return list(kept.values())

    def _delete(self, message: Message) -> None:
        """Its job is done and its transcript stands: where SQS is away, it comes back and is skipped."""
        self._leases.drop([message])
        try:
            self._retrier(self._queue.delete, message)
        except AWS_ERRORS as error:
            log.warning("message_not_deleted", error=error_code(error) or type(error).__name__)
