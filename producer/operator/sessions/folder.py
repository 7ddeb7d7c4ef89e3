"""What lies in a session's folder, by listing it once: audio, transcripts, and the history that re-runs keep."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from producer.operator.sessions.history import parse_history_key
from shared.formats.layout import chunk_order, parse_key

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True, slots=True)
class Stored:
    """One object; `size` in bytes."""

    key: str
    size: int
    etag: str
    modified: datetime


@dataclass(slots=True)
class SessionFolder:
    """A session's chunks.

    Attributes:
        audio: chunk number as spelled -> its audio, the larger one where there are two.
        transcripts: chunk number as spelled -> its transcript.
        history: transcripts that a re-run replaces, by their chunk; a chunk can have several.
    """

    audio: dict[str, Stored] = field(default_factory=dict)
    transcripts: dict[str, Stored] = field(default_factory=dict)
    history: list[tuple[str, Stored]] = field(default_factory=list)

    @property
    def chunks(self) -> list[str]:
        """The chunks that have audio, in the order of the recording."""
        return sorted(self.audio, key=chunk_order)

    @property
    def gaps(self) -> list[str]:
        """Of these, those without a transcript."""
        return [chunk for chunk in self.chunks if chunk not in self.transcripts]

    @property
    def settled(self) -> list[str]:
        """The keys of the history whose chunks have a newer transcript by now; a tie, in whole seconds, is none."""
        written = self.transcripts
        return [old.key for chunk, old in self.history if chunk in written and written[chunk].modified > old.modified]

    def add(self, found: Stored) -> None:
        """Put one object where it belongs; what does not fit the layout is left out."""
        if chunk := parse_history_key(found.key):
            self.history.append((chunk, found))
            return
        key = parse_key(found.key)
        if key is None:
            return
        if key.transcript_chunk is not None:
            self.transcripts[key.transcript_chunk] = found
        elif key.audio_chunk is not None:
            other = self.audio.get(key.audio_chunk)
            if other is None or found.size > other.size:
                self.audio[key.audio_chunk] = found


def list_session(s3: "S3Client", bucket: str, session_path: str) -> SessionFolder:
    """What lies in a session's folder; one LIST for a thousand objects. Raises what boto3 raises."""
    folder = SessionFolder()
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{session_path}/"):
        for item in page.get("Contents", ()):
            folder.add(Stored(item["Key"], item["Size"], item["ETag"], item["LastModified"]))
    return folder
