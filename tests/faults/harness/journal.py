"""What went through the proxy: each call and how it was answered, kept small, and a way to wait for a call."""

import threading
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Final

from tests.faults.harness.call import Call
from tests.faults.harness.rules import matching

_LONGEST_BODY: Final = 1024
_PATTERN: Final = frozenset("*?[")
PATIENCE_SECONDS: Final = 10


@dataclass(frozen=True, slots=True)
class Entry:
    """One call that is over.

    Attributes:
        call: without its body when that was S3's, or long.
        status: what the client was told; 0 when it got no answer, or only part of one.
        carried_out: the status of each time that the call reached the cloud; empty when it never did.
        began, ended: monotonic seconds.
        faults: the names of the effects that struck it.
        etag: S3's, of the last time that it reached the cloud; empty when none was told.
        size: bytes of the request's body.
    """

    call: Call
    status: int
    carried_out: tuple[int, ...]
    began: float
    ended: float
    faults: tuple[str, ...] = ()
    etag: str = ""
    size: int = 0

    @property
    def effective(self) -> bool:
        """Whether the cloud did what was asked, whatever the client was told."""
        return any(200 <= status < 300 for status in self.carried_out)


class Journal:
    """The calls that went through a proxy, in the order in which they ended. Safe to share by threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._entries: list[Entry] = []
        self._by_operation: defaultdict[str, list[Entry]] = defaultdict(list)
        self._arrived: list[Call] = []

    def arrive(self, call: Call) -> None:
        """Note that a call came in."""
        with self._changed:
            self._arrived.append(_kept(call))
            self._changed.notify_all()

    def add(self, entry: Entry) -> None:
        """Keep what came of a call."""
        kept = replace(entry, call=_kept(entry.call))
        with self._changed:
            self._entries.append(kept)
            self._by_operation[kept.call.on].append(kept)
            self._changed.notify_all()

    def calls(self, on: str = "*", *, actor: str | None = None, target: str | None = None) -> list[Entry]:
        """The calls that are over and match; arguments as a rule's."""
        with self._changed:
            # Hosts ask for reboots several times a second, and a soak's journal has hundreds of thousands of calls.
            entries = (self._entries if _PATTERN & set(on) else self._by_operation.get(on, [])).copy()
        return [entry for entry in entries if matching(on, actor, target, entry.call)]

    def wait_for(
        self,
        on: str,
        *,
        count: int = 1,
        actor: str | None = None,
        target: str | None = None,
        timeout: float = PATIENCE_SECONDS,
        arrived: bool = False,
    ) -> None:
        """Wait until `count` calls that match are over since the start, or have come in with `arrived`.

        Raises:
            TimeoutError: fewer had after `timeout` seconds; the text says how many.
        """
        deadline = time.monotonic() + timeout
        looked, found = 0, 0
        with self._changed:
            while True:
                calls = self._arrived[looked:] if arrived else [entry.call for entry in self._entries[looked:]]
                looked += len(calls)  # each call is looked at once, however many come while a script waits
                found += sum(matching(on, actor, target, call) for call in calls)
                if found >= count:
                    return
                if not self._changed.wait(deadline - time.monotonic()) and time.monotonic() >= deadline:
                    raise TimeoutError(f"{found} of {count} calls {on} (actor {actor}, target {target})")

    def clear(self) -> None:
        """Forget all."""
        with self._changed:
            self._entries.clear()
            self._by_operation.clear()
            self._arrived.clear()


def _kept(call: Call) -> Call:
    return replace(call, raw=b"") if call.service == "s3" or len(call.raw) > _LONGEST_BODY else call
