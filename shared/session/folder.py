"""What lies in a session's folder, as far as its transcript is concerned. Seen by listing alone, never by reading."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from shared.formats.layout import METADATA_NAME, TRANSCRIPT_NAMES, SessionKey, chunk_order, metadata_key, parse_key

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectTypeDef

# Part of the digest: a new way to assemble makes every older transcript out of date.
ASSEMBLER: Final = "1"


@dataclass(frozen=True, slots=True)
class StoredTranscript:
    """One chunk's transcript; `size` in bytes."""

    key: str
    etag: str
    size: int


@dataclass(slots=True)
class SessionFolder:
    """A session as its listing shows it.

    Attributes:
        audio: chunks that have audio, as spelled.
        transcripts: those that have a transcript.
        outputs: the ETags of the session's own transcript files, by name.
        newest_audio: when the last chunk was stored: a session with a young one may still be going on.
    """

    session_path: str
    user_id: str
    session_id: str
    audio: set[str] = field(default_factory=set)
    transcripts: dict[str, StoredTranscript] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    has_metadata: bool = False
    first_stored: datetime | None = None
    newest_audio: datetime | None = None
    newest_transcript: datetime | None = None

    @property
    def chunks(self) -> frozenset[str]:
        """Chunks that have audio or a transcript."""
        return frozenset(self.audio | self.transcripts.keys())

    @property
    def gaps(self) -> list[str]:
        """Chunks with audio and no transcript, in order."""
        return sorted(self.audio - self.transcripts.keys(), key=chunk_order)

    def is_over(self, older_than: datetime) -> bool:
        """Whether nothing was recorded later than `older_than`, after which a session may still be going on."""
        newest = self.newest_audio or self.newest_transcript
        return newest is None or newest <= older_than

    def digest(self) -> str:
        """Names everything that the session's transcript depends on: 64 hexadecimal digits."""
        parts = [ASSEMBLER, *sorted(self.audio)]
        parts += [f"{chunk} {self.transcripts[chunk].etag}" for chunk in sorted(self.transcripts)]
        return sha256("\n".join(parts).encode()).hexdigest()

    def add(self, key: SessionKey, stored: "ObjectTypeDef") -> None:
        """Count one object of the folder."""
        name, modified = stored["Key"].rpartition("/")[2], stored["LastModified"]
        if key.transcript_chunk is not None:
            found = StoredTranscript(stored["Key"], stored["ETag"], stored["Size"])
            self.transcripts[key.transcript_chunk] = found
            self.newest_transcript = max(self.newest_transcript or modified, modified)
        elif key.audio_chunk is not None:
            self.audio.add(key.audio_chunk)
            self.newest_audio = max(self.newest_audio or modified, modified)
            self.first_stored = min(self.first_stored or modified, modified)
        elif name in TRANSCRIPT_NAMES:
            self.outputs[name] = stored["ETag"]
        elif name == METADATA_NAME:
            self.has_metadata = True


def folders(objects: "Iterable[ObjectTypeDef]") -> Iterator[SessionFolder]:
    """The sessions among `objects`, whose keys must be sorted; one at a time is kept."""
    folder: SessionFolder | None = None
    for stored in objects:
        key = parse_key(stored["Key"])
        if key is None:
            continue
        if folder is None or folder.session_path != key.session_path:
            if folder is not None:
                yield folder
            folder = SessionFolder(key.session_path, key.user_id, key.session_id)
        folder.add(key, stored)
    if folder is not None:
        yield folder


def list_objects(s3: "S3Client", bucket: str, prefix: str) -> "Iterator[ObjectTypeDef]":
    """The objects below `prefix`, in the order of keys. Raises what boto3 raises."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield from page.get("Contents", ())


def list_folder(s3: "S3Client", bucket: str, session_path: str) -> SessionFolder:
    """One session's folder; empty when there is none.

    Raises:
        ValueError: `session_path` is no session's path. Else what boto3 raises.
    """
    key = parse_key(metadata_key(session_path))
    if key is None:
        raise ValueError(f"not the path of a session: {session_path!r}")
    found = folders(list_objects(s3, bucket, f"{session_path}/"))
    return next(found, SessionFolder(key.session_path, key.user_id, key.session_id))
