"""Finalises sessions: makes a session's transcript anew of all its chunks' transcripts, and writes it to its folder.

Several may do so at the same time. Each file is a compare-and-swap on what the folder's listing showed, and it goes on
until what stands is made of all transcripts that exist. Each file carries the digest of its inputs as S3 metadata, so
that a session with nothing new costs a LIST and a HEAD a file. `transcription.json` comes last of all: who finds it
finds the others and what metadata.json says of them, and a scan takes a session without it for one that is left to do.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import structlog
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from shared.aws.storage import put_if_absent, put_if_unchanged
from shared.clock import Clock, iso
from shared.errors import AWS_ERRORS, TransientError, is_missing, is_retryable
from shared.formats.layout import TRANSCRIPT_NAMES
from shared.session.folder import SessionFolder, list_folder
from shared.session.metadata import add_fields, read_metadata, status_fields
from shared.session.reader import ChangedError, TranscriptReader
from shared.session.subtitles import cues, subtitles
from shared.session.transcript import SessionInputs, SessionTranscript, assemble, plain_text, to_json
from shared.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = structlog.get_logger()

Action = Literal["written", "unchanged", "skipped", "empty"]

_ATTEMPTS: Final = 8
_INPUTS: Final = "inputs"
_TYPES: Final = {
    "json": "application/json",
    "txt": "text/plain; charset=utf-8",
    "srt": "application/x-subrip; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class Finalised:
    """What became of a session.

    Attributes:
        action: `written`, `unchanged` (what stands is up to date), `skipped` (`why` says why), or `empty`: there is
            neither audio nor a transcript.
        transcript: without its words; present when it was written.
    """

    folder: SessionFolder
    action: Action
    why: str = ""
    transcript: "Summary | None" = None


@dataclass(frozen=True, slots=True)
class Summary:
    """What there is to say of a transcript; the duration is in seconds of audio."""

    status: Literal["completed", "partial"]
    duration: float
    word_count: int
    missing_chunks: tuple[str, ...]
    invalid_chunks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Made:
    digest: str
    files: dict[str, bytes]
    fields: dict[str, object]
    summary: Summary


Unless = Callable[[SessionFolder], str]
"""Says of a folder why its session is not to be finalised; empty when it is."""


class SessionFinaliser:
    """Finalises sessions, one at a time.

    Args:
        chunk_seconds: the length of a chunk in sessions of which no transcript says it.
        threads: transcripts read at the same time.
    """

    def __init__(self, s3: "S3Client", bucket: str, clock: Clock, *, chunk_seconds: float, threads: int) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._clock = clock
        self._chunk_seconds = chunk_seconds
        self._reader = TranscriptReader(s3, bucket, threads)

    @classmethod
    def from_settings(cls, s3: "S3Client", settings: Settings, clock: Clock) -> "SessionFinaliser":
        """The finaliser of a fleet."""
        return cls(s3, settings.bucket, clock, chunk_seconds=settings.chunk_seconds, threads=settings.io_threads)

    def finalise(self, session_path: str, unless: Unless = lambda _: "") -> Finalised:
        """Bring a session's transcript up to date.

        Args:
            unless: asked at each look at the folder.

        Raises:
            TransientError: the folder kept changing. Else what boto3 raises, and ValueError for no session's path.
        """
        retrying = Retrying(
            retry=retry_if_exception(is_retryable),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.1, max=5),
            sleep=self._clock.sleep,
            reraise=True,
        )
        made: list[_Made] = []
        return retrying(self._once, session_path, unless, made)

    def is_up_to_date(self, folder: SessionFolder) -> bool:
        """Whether all that stands was made of what the folder holds. Raises what boto3 raises."""
        digest = folder.digest()
        if not all(self._made_of(folder, name) == digest for name in TRANSCRIPT_NAMES):
            return False
        metadata = read_metadata(self._s3, self._bucket, folder.session_path) if folder.has_metadata else None
        return metadata is None or metadata.tells_of(digest)

    def _once(self, session_path: str, unless: Unless, made: list[_Made]) -> Finalised:
        """One look and, where something has changed, one write. `made` keeps what was made for the next attempt."""
        folder = list_folder(self._s3, self._bucket, session_path)
        if not folder.chunks:
            return Finalised(folder, "empty", "there is neither audio nor a transcript")
        if why := unless(folder):
            return Finalised(folder, "skipped", why)
        if self.is_up_to_date(folder):
            return Finalised(folder, "unchanged")
        if not made or made[-1].digest != folder.digest():
            made[:] = [self._make(folder)]
        written = self._write(folder, made[-1])
        # Once more, because metadata.json was read later than the folder was listed, and chunks may have come since.
        if not written or not self.is_up_to_date(list_folder(self._s3, self._bucket, session_path)):
            raise TransientError("another writer changed the session's transcript at the same time")
        log.info("session_finalised", session=folder.session_id, status=made[-1].summary.status)
        return Finalised(folder, "written", transcript=made[-1].summary)

    def _made_of(self, folder: SessionFolder, name: str) -> str:
        """The digest that a file of the transcript carries; empty when it is not there or was made by others."""
        if name not in folder.outputs:
            return ""
        try:
            head = self._s3.head_object(Bucket=self._bucket, Key=f"{folder.session_path}/{name}")
        except AWS_ERRORS as error:
            if is_missing(error):
                return ""
            raise
        return head["Metadata"].get(_INPUTS, "")

    def _make(self, folder: SessionFolder) -> _Made:
        try:
            read = self._reader.read(folder)
        except ChangedError as changed:
            raise TransientError(f"{changed} changed while the session was read") from changed
        last = iso(folder.newest_transcript) if folder.newest_transcript else None
        inputs = SessionInputs(
            session_id=folder.session_id,
            user_id=folder.user_id,
            chunks=folder.chunks,
            speech=read.speech,
            invalid=read.invalid,
            first_stored_at=iso(folder.first_stored) if folder.first_stored else None,
            last_transcript_at=last,
            digest=folder.digest(),
        )
        transcript = assemble(inputs, self._chunk_seconds)
        return _Made(inputs.digest, _files(transcript), status_fields(transcript, last), _summary(transcript))

    def _write(self, folder: SessionFolder, made: _Made) -> bool:
        """Write all files; returns False as soon as one has changed since the folder was listed."""
        *others, last = TRANSCRIPT_NAMES
        return (
            all(self._put(folder, name, made) for name in others)
            and self._tell(folder, made)
            and self._put(folder, last, made)
        )

    def _tell(self, folder: SessionFolder, made: _Made) -> bool:
        """Say in metadata.json, where there is one, how the transcript stands; returns False if it has changed."""
        if not folder.has_metadata:
            return True
        metadata = read_metadata(self._s3, self._bucket, folder.session_path)
        return metadata is None or add_fields(self._s3, self._bucket, folder.session_path, metadata, made.fields)

    def _put(self, folder: SessionFolder, name: str, made: _Made) -> bool:
        key, kind = f"{folder.session_path}/{name}", name.rpartition(".")[2]
        kept = {_INPUTS: made.digest}
        stands = folder.outputs.get(name)
        if stands is None:
            return put_if_absent(self._s3, self._bucket, key, made.files[name], _TYPES[kind], kept)
        return put_if_unchanged(self._s3, self._bucket, key, made.files[name], _TYPES[kind], stands.etag, kept)


def _files(transcript: SessionTranscript) -> dict[str, bytes]:
    found = cues(transcript.segments)
    return {
        "transcription.txt": "".join(plain_text(transcript)).encode(),
        "transcription.srt": subtitles(found, "srt").encode(),
        "transcription.vtt": subtitles(found, "vtt").encode(),
        "transcription.json": to_json(transcript),
    }


def _summary(transcript: SessionTranscript) -> Summary:
    return Summary(
        transcript.status,
        transcript.total_duration,
        transcript.word_count,
        tuple(transcript.missing_chunks),
        tuple(each.chunk for each in transcript.invalid_chunks),
    )
