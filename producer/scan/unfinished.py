"""Sessions that are over and lack their own transcript, as a scan comes upon them: what is kept of how many.

Values only. Which sessions these are is the scanner's to say, and what is done about them that of
`producer.scan.finalise`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

# A scan finalises hundreds at most, and a bucket that was filled before there was any fleet has millions.
MOST: Final = 1000


@dataclass(frozen=True, slots=True, order=True)
class UnfinishedSession:
    """A session that waits for its transcript; they compare by whose turn is first.

    Attributes:
        has_older: whether there is a transcript, which then seems to be out of date. A listing can say so of one that
            is not, as when a bucket was copied in no order. Nothing is written then, and it comes up again at every
            scan: it must not stand before those that have none.
        since: when the newest thing came that the transcript has to tell of.
        given_up: its gaps, which nobody is going to fill: without them the transcript is a partial one.
    """

    has_older: bool
    since: datetime
    session_path: str
    given_up: frozenset[str] = field(default=frozenset(), compare=False)


@dataclass(slots=True)
class Unfinished:
    """All of them counted, and those kept whose turn is first."""

    count: int = 0
    _kept: list[UnfinishedSession] = field(default_factory=list)

    def add(self, session: UnfinishedSession) -> None:
        """Count one more."""
        self.count += 1
        self._keep([session])

    def merge(self, other: "Unfinished") -> None:
        """Add those of another part of the same scan."""
        self.count += other.count
        self._keep(other._kept)

    def first(self) -> list[UnfinishedSession]:
        """At most `MOST`, in the order of their turns: of those without any transcript the oldest is the first."""
        return sorted(self._kept)[:MOST]

    def _keep(self, sessions: Iterable[UnfinishedSession]) -> None:
        self._kept.extend(sessions)
        if len(self._kept) >= 2 * MOST:  # now and then, since sorting costs more than keeping
            self._kept = self.first()
