"""Finds gaps, audio chunks without a transcript, and sessions without their own, by listing the bucket once.

LIST only, never GET or HEAD. Keys arrive in order, so a session is compared as soon as it has gone by, and memory
grows with the gaps found, not with the bucket. What is done about either is not decided here.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final, TypedDict

from producer.scan.unfinished import Unfinished, UnfinishedSession
from shared.formats.layout import TRANSCRIPT_NAMES, USERS_PREFIX, SessionKey, chunk_order, parse_key

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_NEVER: Final = datetime.min.replace(tzinfo=UTC)
# Written last of the files of a session's transcript: where it stands, the others do.
_OWN_TRANSCRIPT: Final = f"/{TRANSCRIPT_NAMES[-1]}"


class ListedObject(TypedDict):
    """What a listing says of an object; `Size` in bytes."""

    Key: str
    Size: int
    LastModified: datetime


@dataclass(frozen=True, slots=True)
class Gap:
    """A chunk without a transcript; `size` is its audio in bytes."""

    chunk: str
    key: str
    size: int


@dataclass(frozen=True, slots=True)
class SessionGaps:
    """A session that has gaps.

    Attributes:
        gaps: in the order of the recording.
        audio_chunks: chunks that have audio.
        transcript_chunks: of these, the ones that have a transcript.
        total_audio_bytes: of all the session's audio chunks.
        created_at: when its oldest audio chunk was stored.
        unfinished: what it is besides if nobody is going to fill its gaps; `None` when its own transcript is up to date
            but for them, or the session may be going on.
    """

    session_path: str
    user_id: str
    session_id: str
    gaps: tuple[Gap, ...]
    audio_chunks: int
    transcript_chunks: int
    total_audio_bytes: int
    created_at: datetime
    unfinished: UnfinishedSession | None = None


@dataclass(slots=True)
class ScanTally:
    """Running counts of a scan.

    Attributes:
        users: user prefixes listed.
        sessions: sessions with at least one key that fits the layout.
        keys: objects listed.
        ignored_keys: objects under `users/` that do not fit the layout.
        gaps: chunks to fill in.
        too_young: chunks without a transcript that are left to the live path for now.
        unfinished: sessions without a gap whose own transcript is missing or out of date.
    """

    users: int = 0
    sessions: int = 0
    keys: int = 0
    ignored_keys: int = 0
    gaps: int = 0
    too_young: int = 0
    unfinished: Unfinished = field(default_factory=Unfinished)

    def add(self, other: "ScanTally") -> None:
        """Add the counts of another part of the same scan."""
        self.users += other.users
        self.sessions += other.sessions
        self.keys += other.keys
        self.ignored_keys += other.ignored_keys
        self.gaps += other.gaps
        self.too_young += other.too_young
        self.unfinished.merge(other.unfinished)


OnIgnored = Callable[[str], None]


def find_gaps(
    s3: "S3Client",
    bucket: str,
    *,
    older_than: datetime,
    threads: int,
    tally: ScanTally,
    on_listed: Callable[[], None] = lambda: None,
    on_ignored: OnIgnored | None = None,
) -> Iterator[SessionGaps]:
    """Every session of the bucket that has gaps, user by user in the order of keys.

    Args:
        older_than: chunks stored later than this are left to the live path.
        threads: user prefixes listed at the same time.
        tally: grows while the result is consumed.
        on_listed: called whenever the tally has grown.
        on_ignored: told each key that does not fit, from the thread that consumes the result.

    Raises what boto3 raises.
    """
    scan_user = partial(_scan_user, s3, bucket, older_than, on_ignored is not None)
    with ThreadPoolExecutor(threads, thread_name_prefix="scan") as pool:
        for found in _in_order(pool, scan_user, _user_prefixes(s3, bucket, tally, on_ignored), ahead=2 * threads):
            tally.add(found.tally)
            on_listed()
            for key in found.ignored:
                if on_ignored:
                    on_ignored(key)
            yield from found.sessions


def compare(
    objects: Iterable[ListedObject], *, older_than: datetime, tally: ScanTally, on_ignored: OnIgnored | None = None
) -> Iterator[SessionGaps]:
    """The sessions with gaps among `objects`, whose keys must be sorted, so that a session's keys stand together."""
    session: _Session | None = None
    for listed in objects:
        tally.keys += 1
        key = parse_key(listed["Key"])
        if key is None:
            tally.ignored_keys += 1
            if on_ignored:
                on_ignored(listed["Key"])
            continue
        if session is None or session.first.session_path != key.session_path:
            if session is not None:
                yield from session.close(older_than, tally)
            session = _Session(key)
        session.add(key, listed)
    if session is not None:
        yield from session.close(older_than, tally)


@dataclass(slots=True)
class _Session:
    """A session while its keys go by. The times are those of the newest object of a kind."""

    first: SessionKey
    audio: dict[str, ListedObject] = field(default_factory=dict)
    transcripts: set[str] = field(default_factory=set)
    newest_audio: datetime = _NEVER
    newest_transcript: datetime = _NEVER
    own_transcript: datetime = _NEVER

    def add(self, key: SessionKey, listed: ListedObject) -> None:
        modified = listed["LastModified"]
        if key.transcript_chunk is not None:
            self.transcripts.add(key.transcript_chunk)
            self.newest_transcript = max(self.newest_transcript, modified)
        elif key.audio_chunk is not None:
            self.newest_audio = max(self.newest_audio, modified)
            # One chunk stored in two formats still is one gap: the larger file is the likelier to be whole.
            other = self.audio.get(key.audio_chunk)
            if other is None or listed["Size"] > other["Size"]:
                self.audio[key.audio_chunk] = listed
        elif listed["Key"].endswith(_OWN_TRANSCRIPT):
            self.own_transcript = modified

    def close(self, older_than: datetime, tally: ScanTally) -> Iterator[SessionGaps]:
        """Count the session, and yield it if it has gaps."""
        tally.sessions += 1
        missing = [chunk for chunk in self.audio if chunk not in self.transcripts]
        ready = [chunk for chunk in missing if self.audio[chunk]["LastModified"] <= older_than]
        tally.gaps += len(ready)
        tally.too_young += len(missing) - len(ready)
        unfinished = self._unfinished(missing, older_than)
        if unfinished and not missing:
            tally.unfinished.add(unfinished)
        if not ready:
            return
        yield SessionGaps(
            session_path=self.first.session_path,
            user_id=self.first.user_id,
            session_id=self.first.session_id,
            gaps=tuple(
                Gap(chunk, self.audio[chunk]["Key"], self.audio[chunk]["Size"])
                for chunk in sorted(ready, key=chunk_order)
            ),
            audio_chunks=len(self.audio),
            transcript_chunks=len(self.audio) - len(missing),
            total_audio_bytes=sum(listed["Size"] for listed in self.audio.values()),
            created_at=min(listed["LastModified"] for listed in self.audio.values()),
            unfinished=unfinished,
        )

    def _unfinished(self, missing: list[str], older_than: datetime) -> UnfinishedSession | None:
        """The session as one that is over and whose own transcript does not tell of everything yet, if it is that."""
        if (self.newest_audio if self.audio else self.newest_transcript) > older_than:
            return None
        newest = max([self.newest_transcript, *(self.audio[chunk]["LastModified"] for chunk in missing)])
        # S3's times are whole seconds. Within the same one it is up to date: who writes it lists the folder again after
        # that, and else each scan would look at every session that was finished in the second of its last chunk.
        if newest <= self.own_transcript:
            return None
        has_older = self.own_transcript != _NEVER
        return UnfinishedSession(has_older, newest, self.first.session_path, given_up=frozenset(missing))


@dataclass(slots=True)
class _UserScan:
    tally: ScanTally
    sessions: list[SessionGaps]
    ignored: list[str]


def _scan_user(s3: "S3Client", bucket: str, older_than: datetime, keep_ignored: bool, prefix: str) -> _UserScan:
    """One user's part of the scan; keeps the ignored keys only when someone wants to hear of them."""
    tally = ScanTally(users=1)
    ignored: list[str] = []
    objects = _listed(s3, bucket, prefix)
    on_ignored = ignored.append if keep_ignored else None
    sessions = list(compare(objects, older_than=older_than, tally=tally, on_ignored=on_ignored))
    return _UserScan(tally, sessions, ignored)


def _listed(s3: "S3Client", bucket: str, prefix: str) -> Iterator[ListedObject]:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in page.get("Contents", ()):
            yield {"Key": item["Key"], "Size": item["Size"], "LastModified": item["LastModified"]}


def _user_prefixes(s3: "S3Client", bucket: str, tally: ScanTally, on_ignored: OnIgnored | None) -> Iterator[str]:
    """`users/{userId}/` of every user; objects that lie directly under `users/` fit nothing and are counted."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=USERS_PREFIX, Delimiter="/"):
        for item in page.get("Contents", ()):
            tally.keys += 1
            tally.ignored_keys += 1
            if on_ignored:
                on_ignored(item["Key"])
        for common in page.get("CommonPrefixes", ()):
            yield common["Prefix"]


def _in_order(
    pool: ThreadPoolExecutor, work: Callable[[str], _UserScan], prefixes: Iterable[str], *, ahead: int
) -> Iterator[_UserScan]:
    """`work` of each prefix in their order, with at most `ahead` begun or waiting: a million users must not pile up."""
    begun: deque[Future[_UserScan]] = deque()
    try:
        for prefix in prefixes:
            begun.append(pool.submit(work, prefix))
            if len(begun) >= ahead:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        for future in begun:
            future.cancel()
