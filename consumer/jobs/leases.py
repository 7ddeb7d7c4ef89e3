"""Owns the leases (visibility timeouts) of messages in flight: extends them, and notices when one is lost.

Each lease is extended every third of its length, but not for ever: a job beyond its deadline hangs, and a stuck GPU
call cannot be interrupted. Its lease is left to expire, and the process is asked to end.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import structlog

from consumer.jobs.queue import JobQueue
from consumer.jobs.stages import Message
from shared.background import repeating
from shared.clock import Clock
from shared.errors import AWS_ERRORS, LeaseLostError
from shared.settings import Settings

log = structlog.get_logger()


@dataclass(slots=True)
class _Lease:
    message: Message
    expires_at: float  # on the monotonic clock
    begun_at: float | None = None
    lost: bool = False


class LeaseKeeper:
    """The leases of all messages in flight. Safe to share by threads.

    Args:
        on_hung: called from the keeper's thread when a job has exceeded its deadline.
    """

    def __init__(self, queue: JobQueue, settings: Settings, clock: Clock, on_hung: Callable[[], None]) -> None:
        self._queue = queue
        self._seconds = settings.visibility_timeout_seconds
        self._deadline = settings.job_deadline_seconds
        self._clock = clock
        self._on_hung = on_hung
        self._leases: dict[str, _Lease] = {}
        self._mutex = threading.Lock()

    def running(self) -> AbstractContextManager[None]:
        """Extend leases in the background for as long as the block lasts."""
        return repeating(self.extend_all, self._seconds / 3, "leases")

    def hold(self, messages: Sequence[Message]) -> None:
        """Keep the leases of messages just received."""
        with self._mutex:
            for message in messages:
                self._leases[message.receipt_handle] = _Lease(message, message.received_at + self._seconds)

    def drop(self, messages: Sequence[Message]) -> None:
        """Stop extending leases, before their messages are deleted or released."""
        with self._mutex:
            for message in messages:
                self._leases.pop(message.receipt_handle, None)

    def begin(self, message: Message) -> None:
        """Start the deadline of a held message: a step of its work begins."""
        with self._mutex:
            self._leases[message.receipt_handle].begun_at = self._clock.monotonic()

    def pause(self, message: Message) -> None:
        """Stop the deadline of a held message: nobody works on it for now."""
        with self._mutex:
            if lease := self._leases.get(message.receipt_handle):
                lease.begun_at = None

    def check(self, message: Message) -> None:
        """Check that the message is still ours.

        Raises:
            LeaseLostError: it is not, and another worker may have it by now.
        """
        with self._mutex:
            lease = self._leases.get(message.receipt_handle)
            if lease is None or lease.lost or self._clock.monotonic() >= lease.expires_at:
                raise LeaseLostError("the lease on the job has run out")

    def oldest_beginning(self) -> float | None:
        """When the longest-running step began, on the monotonic clock; `None` when none is running.

        Takes no lock, since the keeper's thread may hold it in a call that hangs. Making the list is atomic.
        """
        begun = [lease.begun_at for lease in list(self._leases.values())]
        return min((moment for moment in begun if moment is not None), default=None)

    def extend_all(self) -> None:
        """Extend every lease, but for lost ones and those of jobs that hang. Called by the keeper's thread."""
        now = self._clock.monotonic()
        # Held during the call too: a message that is released meanwhile would be hidden again by a late extension.
        with self._mutex:
            hung = [lease for lease in self._leases.values() if self._hangs(lease, now)]
            self._extend([lease for lease in self._leases.values() if not lease.lost and lease not in hung], now)
        if hung:
            log.error("job_hung", deadline_seconds=self._deadline, message_ids=[h.message.message_id for h in hung])
            self._on_hung()

    def _hangs(self, lease: _Lease, now: float) -> bool:
        return lease.begun_at is not None and now - lease.begun_at > self._deadline

    def _extend(self, leases: Sequence[_Lease], asked_at: float) -> None:
        if not leases:
            return
        try:
            refused = self._queue.set_visibility([lease.message for lease in leases], self._seconds)
        except AWS_ERRORS as error:
            # Not lost yet: the next try may be in time, and `check` compares with the end of the old lease.
            log.warning("leases_not_extended", error=type(error).__name__, jobs=len(leases))
            return
        for lease in leases:
            if lease.message.receipt_handle in refused:
                lease.lost = True
                log.warning("lease_lost", message_id=lease.message.message_id)
            else:
                lease.expires_at = asked_at + self._seconds
