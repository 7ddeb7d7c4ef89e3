"""Finds gaps, audio chunks without a transcript, and sessions without their own, by listing the bucket once.

LIST only, never GET or HEAD. Keys arrive in order, so a session is compared as soon as it has gone by, and memory
grows with the gaps found, not with the bucket. What is done about either is not decided here.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from producer.scan.unfinished import Unfinished, UnfinishedSession
from shared.formats.layout import TRANSCRIPT_NAMES, USERS_PREFIX
from shared.session.folder import SessionFolder, folders, list_objects

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectTypeDef

_NEVER: Final = datetime.min.replace(tzinfo=UTC)


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
    now: datetime,
    quiet_for: timedelta,
    threads: int,
    tally: ScanTally,
    on_listed: Callable[[], None] = lambda: None,
    on_ignored: OnIgnored | None = None,
) -> Iterator[SessionGaps]:
    """Every session of the bucket that has gaps, user by user in the order of keys.

    Args:
        quiet_for: chunks stored less than this before `now` are left to the live path.
        threads: user prefixes listed at the same time.
        tally: grows while the result is consumed.
        on_listed: called whenever the tally has grown.
        on_ignored: told each key that does not fit, from the thread that consumes the result.

    Raises what boto3 raises.
    """
    scan_user = partial(_scan_user, s3, bucket, now, quiet_for, on_ignored is not None)
    with ThreadPoolExecutor(threads, thread_name_prefix="scan") as pool:
        for found in _in_order(pool, scan_user, _user_prefixes(s3, bucket, tally, on_ignored), ahead=2 * threads):
            tally.add(found.tally)
            on_listed()
            for key in found.ignored:
                if on_ignored:
                    on_ignored(key)
            yield from found.sessions


def compare(
    objects: "Iterable[ObjectTypeDef]",
    *,
    now: datetime,
    quiet_for: timedelta,
    tally: ScanTally,
    on_ignored: OnIgnored | None = None,
) -> Iterator[SessionGaps]:
    """The sessions with gaps among `objects`, which must be sorted by key."""

    def counted() -> "Iterator[ObjectTypeDef]":
        for listed in objects:
            tally.keys += 1
            yield listed

    def ignore(listed: "ObjectTypeDef") -> None:
        tally.ignored_keys += 1
        if on_ignored:
            on_ignored(listed["Key"])

    for folder in folders(counted(), ignore):
        gaps = folder.gaps
        ready = [(chunk, audio) for chunk in gaps if (audio := folder.audio[chunk]).modified <= now - quiet_for]
        unfinished = _unfinished(folder, gaps, now, quiet_for)
        tally.sessions += 1
        tally.gaps += len(ready)
        tally.too_young += len(gaps) - len(ready)
        if unfinished and not gaps:
            tally.unfinished.add(unfinished)
        if ready:
            yield SessionGaps(
                session_path=folder.session_path,
                user_id=folder.user_id,
                session_id=folder.session_id,
                gaps=tuple(Gap(chunk, audio.key, audio.size) for chunk, audio in ready),
                audio_chunks=len(folder.audio),
                transcript_chunks=len(folder.audio) - len(gaps),
                total_audio_bytes=sum(audio.size for audio in folder.audio.values()),
                created_at=min(audio.modified for audio in folder.audio.values()),
                unfinished=unfinished,
            )


def _unfinished(
    folder: SessionFolder, gaps: list[str], now: datetime, quiet_for: timedelta
) -> UnfinishedSession | None:
    """The session, if it is over and its own transcript is missing or older than its newest chunk."""
    if not folder.is_over(now, quiet_for):
        return None
    newest = max([folder.newest_transcript or _NEVER, *(folder.audio[chunk].modified for chunk in gaps)])
    own = folder.outputs.get(TRANSCRIPT_NAMES[-1])  # written last: where it is, the others are
    written = own.modified if own else _NEVER
    # S3's times are whole seconds. Within the same one it is up to date: who writes it lists the folder again after
    # that, and else each scan would look at every session that was finalised in the second of its last chunk.
    if newest <= written:
        return None
    return UnfinishedSession(bool(own), newest, folder.session_path, given_up=frozenset(gaps))


@dataclass(slots=True)
class _UserScan:
    tally: ScanTally
    sessions: list[SessionGaps]
    ignored: list[str]


def _scan_user(
    s3: "S3Client", bucket: str, now: datetime, quiet_for: timedelta, keep_ignored: bool, prefix: str
) -> _UserScan:
    """One user's part of the scan; keeps the ignored keys only when someone wants to hear of them."""
    tally = ScanTally(users=1)
    ignored: list[str] = []
    objects = list_objects(s3, bucket, prefix)
    on_ignored = ignored.append if keep_ignored else None
    sessions = list(compare(objects, now=now, quiet_for=quiet_for, tally=tally, on_ignored=on_ignored))
    return _UserScan(tally, sessions, ignored)


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
