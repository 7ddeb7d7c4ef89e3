"""The simulated bucket: a million keys that are computed from their position, and the gaps known to be among them.

Ten sessions a user on average, from 1 to 19 (users of equal size would let every per-user listing end on a full
page, which no real bucket does), and 200 keys in every session. Nothing here reads the layout's parser or the
scanner: the expected gaps are known by construction, so they can prove the scanner wrong.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

KEYS_A_SESSION = 200
SESSIONS_A_USER = 10  # on average
_OLDEST = datetime(2025, 1, 1, tzinfo=UTC)
_AUDIO_BYTES = 40_000
_OTHER_BYTES = 2_500


class Entry(NamedTuple):
    """One object as a listing shows it. `last_modified` is S3's text form, `etag` comes without quotes."""

    key: str
    last_modified: str
    etag: str
    size: int


class ExpectedGap(NamedTuple):
    """A chunk whose transcript is missing; `size` in bytes."""

    session_path: str
    chunk: str
    key: str
    size: int


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a session's folder holds: chunks from 001 up, their transcripts but for `gaps`, and other files."""

    chunks: int
    gaps: frozenset[int]
    others: tuple[str, ...]

    def names(self) -> tuple[str, ...]:
        audio = [f"chunk-{n:03}.webm" for n in range(1, self.chunks + 1)]
        transcripts = [f"transcription-chunk-{n:03}.json" for n in range(1, self.chunks + 1) if n not in self.gaps]
        return tuple(sorted([*audio, *transcripts, *self.others]))


# Each comes to KEYS_A_SESSION keys, so that a position divides into session and file.
_COMPLETE = _Kind(99, frozenset(), ("metadata.json", "transcription.json"))
# What a worker leaves that is killed right after the last chunk.
_UNFINISHED = _Kind(100, frozenset(), ())
_ONE_GAP = _Kind(100, frozenset({17}), ("metadata.json",))
_HOLE = _Kind(102, frozenset(range(40, 45)), ("metadata.json",))
_NEVER_TRANSCRIBED = _Kind(199, frozenset(range(1, 200)), ("metadata.json",))


def _kind(session: int) -> _Kind:
    """Most sessions are complete; of a hundred, ten miss one chunk, ten five, two all, and two only their own."""
    if session % 50 == 7:
        return _NEVER_TRANSCRIBED
    if session % 50 == 21:
        return _UNFINISHED
    return {3: _HOLE, 6: _ONE_GAP}.get(session % 10, _COMPLETE)


class Keyspace:
    """All keys below `users/`, in UTF-8 order, by position; only the session paths are held in memory.

    Args:
        users: an even number, because users come in pairs with twenty sessions together.
    """

    def __init__(self, users: int) -> None:
        if users < 2 or users % 2:
            raise ValueError("users must be a positive even number")
        self.users = users
        self._paths = [
            f"users/user-{user:04}/audio/sessions/session-{n:04}"
            for user in range(users)
            for n in range(_sessions_of(user))
        ]
        self._names = {kind: kind.names() for kind in (_COMPLETE, _UNFINISHED, _ONE_GAP, _HOLE, _NEVER_TRANSCRIBED)}

    def __len__(self) -> int:
        return len(self._paths) * KEYS_A_SESSION

    @property
    def sessions(self) -> int:
        """How many session folders there are."""
        return len(self._paths)

    @property
    def unfinished(self) -> int:
        """How many sessions lack only their own transcript."""
        return sum(_kind(session) is _UNFINISHED for session in range(self.sessions))

    @property
    def newest(self) -> datetime:
        """When the last object was written."""
        return _written(self.sessions - 1)

    def key(self, position: int) -> str:
        """The key at `position`, counted from 0."""
        session, file = divmod(position, KEYS_A_SESSION)
        return f"{self._paths[session]}/{self._names[_kind(session)][file]}"

    def entries(self, positions: range) -> Iterator[Entry]:
        """The objects at consecutive positions; what a session's keys share is worked out once for each session."""
        position = positions.start
        while position < positions.stop:
            session, file = divmod(position, KEYS_A_SESSION)
            folder = self._paths[session] + "/"
            written = f"{_written(session):%Y-%m-%dT%H:%M:%S}.000Z"
            for name in self._names[_kind(session)][file : file + positions.stop - position]:
                size = _AUDIO_BYTES if name.startswith("chunk-") else _OTHER_BYTES
                yield Entry(folder + name, written, f"{position:032x}", size)
                position += 1

    def first_from(self, text: str) -> int:
        """The position of the first key that is `text` or after it; the length when there is none."""
        return bisect_left(range(len(self)), text, key=self.key)

    def first_after(self, text: str) -> int:
        """The position of the first key after `text`."""
        return bisect_right(range(len(self)), text, key=self.key)

    def end_of(self, prefix: str) -> int:
        """The position behind the last key that starts with `prefix`, or where such keys would end."""
        return bisect_right(range(len(self)), prefix, key=lambda position: self.key(position)[: len(prefix)])

    def expected_gaps(self) -> Iterator[ExpectedGap]:
        """Every gap, in listing order."""
        for session, path in enumerate(self._paths):
            for number in sorted(_kind(session).gaps):
                yield ExpectedGap(path, f"{number:03}", f"{path}/chunk-{number:03}.webm", _AUDIO_BYTES)


def _sessions_of(user: int) -> int:
    """1, 19, 2, 18, … 19, 1, and again: two neighbours have twice the average together."""
    low = 1 + (user // 2) % (2 * SESSIONS_A_USER - 1)
    return low if user % 2 == 0 else 2 * SESSIONS_A_USER - low


def _written(session: int) -> datetime:
    return _OLDEST + timedelta(minutes=session)
