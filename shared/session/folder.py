"""The objects of a session's folder, as LIST shows them; nothing is read."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

from shared.formats.layout import METADATA_NAME, TRANSCRIPT_NAMES, SessionKey, chunk_order, metadata_key, parse_key

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectTypeDef

# Part of the digest: a new way to assemble makes every older transcript out of date.
ASSEMBLER: Final = "1"


class StoredObject(NamedTuple):
    """One object as LIST shows it; `size` in bytes. A tuple, since a scan makes millions."""

    key: str
    size: int
    etag: str
    modified: datetime


@dataclass(slots=True)
class SessionFolder:
    """A session as LIST shows it. Chunks are numbers as spelled in their keys.

    Attributes:
        audio: each chunk's audio; the larger file where a chunk is stored in two formats.
        transcripts: each chunk's transcript.
        outputs: the session's own transcript files, by name.
        others: objects that do not fit the layout; only `list_folder` collects them.
        newest_audio: when the last audio was stored, in whichever format.
    """

    session_path: str
    user_id: str
    session_id: str
    audio: dict[str, StoredObject] = field(default_factory=dict)
    transcripts: dict[str, StoredObject] = field(default_factory=dict)
    outputs: dict[str, StoredObject] = field(default_factory=dict)
    others: list[StoredObject] = field(default_factory=list)
    has_metadata: bool = False
    first_stored: datetime | None = None
    newest_audio: datetime | None = None
    newest_transcript: datetime | None = None

    @property
    def chunks(self) -> frozenset[str]:
        """Chunks that have audio or a transcript."""
        return frozenset(self.audio.keys() | self.transcripts.keys())

    @property
    def gaps(self) -> list[str]:
        """Chunks with audio and no transcript, in the order of the recording."""
        return sorted(self.audio.keys() - self.transcripts.keys(), key=chunk_order)

    def is_over(self, now: datetime, quiet_for: timedelta) -> bool:
        """Whether the recording has ended: nothing has been recorded for `quiet_for`.

        Audio decides. A session without any is judged by its transcripts: the live path may still be writing them.
        A transcript says nothing beside audio, since it may have been filled in much later.
        """
        return self.seconds_until_over(now, quiet_for) <= 0

    def seconds_until_over(self, now: datetime, quiet_for: timedelta) -> float:
        """How long until the session is over if nothing more is stored; 0 or less once it is.

        With a `quiet_for` of zero every session is over, also where this machine's clock is behind S3's.
        """
        newest = self.newest_audio or self.newest_transcript
        return (newest + quiet_for - now).total_seconds() if newest and quiet_for else 0.0

    def digest(self) -> str:
        """Names everything that the session's transcript depends on: 64 hexadecimal digits."""
        parts = [ASSEMBLER, *sorted(self.audio)]
        parts += [f"{chunk} {self.transcripts[chunk].etag}" for chunk in sorted(self.transcripts)]
        return sha256("\n".join(parts).encode()).hexdigest()

    def add(self, key: SessionKey, listed: "ObjectTypeDef") -> None:
        """Count one object of the folder."""
        stored = _stored(listed)
        modified = stored.modified
        if key.transcript_chunk is not None:
            self.transcripts[key.transcript_chunk] = stored
            self.newest_transcript = max(self.newest_transcript or modified, modified)
        elif key.audio_chunk is not None:
            # One chunk stored in two formats still is one gap: the larger file is the likelier to be whole.
            other = self.audio.get(key.audio_chunk)
            if other is None or stored.size > other.size:
                self.audio[key.audio_chunk] = stored
            self.newest_audio = max(self.newest_audio or modified, modified)
            self.first_stored = min(self.first_stored or modified, modified)
        elif (name := stored.key.rpartition("/")[2]) in TRANSCRIPT_NAMES:
            self.outputs[name] = stored
        elif name == METADATA_NAME:
            self.has_metadata = True


def folders(
    objects: "Iterable[ObjectTypeDef]", on_other: "Callable[[ObjectTypeDef], None]" = lambda _: None
) -> Iterator[SessionFolder]:
    """The sessions among `objects`, which must be sorted by key; it holds one session at a time.

    Args:
        on_other: called with each object that does not fit the layout.
    """
    folder: SessionFolder | None = None
    for listed in objects:
        key = parse_key(listed["Key"])
        if key is None:
            on_other(listed)
            continue
        if folder is None or folder.session_path != key.session_path:
            if folder is not None:
                yield folder
            folder = SessionFolder(key.session_path, key.user_id, key.session_id)
        folder.add(key, listed)
    if folder is not None:
        yield folder


def list_objects(s3: "S3Client", bucket: str, prefix: str) -> "Iterator[ObjectTypeDef]":
    """The objects below `prefix`, in the order of keys. Raises what boto3 raises."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield from page.get("Contents", ())


def list_folder(s3: "S3Client", bucket: str, session_path: str) -> SessionFolder:
    """One session's folder, with one LIST for a thousand objects; empty when there is none.

    Raises:
        ValueError: `session_path` is not a session's path. Otherwise what boto3 raises.
    """
    key = parse_key(metadata_key(session_path))
    if key is None:
        raise ValueError(f"not the path of a session: {session_path!r}")
    folder = SessionFolder(key.session_path, key.user_id, key.session_id)
    for listed in list_objects(s3, bucket, f"{session_path}/"):
        found = parse_key(listed["Key"])
        if found is None:
            folder.others.append(_stored(listed))
        else:
            folder.add(found, listed)
    return folder


def _stored(listed: "ObjectTypeDef") -> StoredObject:
    return StoredObject(listed["Key"], listed["Size"], listed["ETag"], listed["LastModified"])
