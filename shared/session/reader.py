"""Reads thousands of chunk transcripts from S3 at little cost.

boto3 takes a millisecond of processor time for each GET, which for a session of 20,000 chunks is longer than all the
rest. So each is asked for by a presigned URL over a plain connection, at a third of the cost. Whatever that does not
answer plainly (redirects, throttling, a proxy that has to be passed) is asked for once more through boto3, which knows
what to do about it.
"""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import structlog

from shared.errors import AWS_ERRORS, is_missing
from shared.formats.transcripts import MAX_TRANSCRIPT_BYTES, InvalidTranscriptError, ParsedTranscript, parse_transcript
from shared.session.folder import SessionFolder, StoredObject

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = structlog.get_logger()

_SECONDS_VALID: Final = 300
_OK: Final = 200
_SECONDS: Final = 10


class ChangedError(Exception):
    """A transcript is not the one that the listing showed any more: list again."""


@dataclass(slots=True)
class ReadTranscripts:
    """What the transcripts of a session say, by chunk; `invalid` has why one cannot be read."""

    speech: dict[str, ParsedTranscript] = field(default_factory=dict)
    invalid: dict[str, str] = field(default_factory=dict)


class TranscriptReader:
    """Reads the transcripts of sessions.

    Args:
        threads: transcripts read at the same time.
    """

    def __init__(self, s3: "S3Client", bucket: str, threads: int) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._threads = threads
        self._own = threading.local()  # a connection for each thread
        self._direct = True

    def read(self, folder: SessionFolder) -> ReadTranscripts:
        """Every transcript of a session.

        Raises:
            ChangedError: one was replaced or deleted since the folder was listed. Else what boto3 raises.
        """
        chunks = sorted(folder.transcripts)
        found = ReadTranscripts()

        def read_some(some: Sequence[str]) -> None:
            for chunk in some:
                self._read_one(chunk, folder.transcripts[chunk], found)

        # A part for each thread and not a task for each chunk: futures would cost more than the words.
        parts = [chunks[first :: self._threads] for first in range(min(self._threads, len(chunks)))]
        with ThreadPoolExecutor(self._threads, "read") as pool:
            for done in [pool.submit(read_some, part) for part in parts]:
                done.result()
        return found

    def _read_one(self, chunk: str, stored: StoredObject, found: ReadTranscripts) -> None:
        if stored.size > MAX_TRANSCRIPT_BYTES:
            found.invalid[chunk] = "it is too large to be a transcript"
            return
        try:
            found.speech[chunk] = parse_transcript(chunk, self._bytes(stored))
        except InvalidTranscriptError as error:
            found.invalid[chunk] = error.reason

    def _bytes(self, stored: StoredObject) -> bytes:
        body = self._directly(stored) if self._direct else None
        return self._through_boto3(stored) if body is None else body

    def _directly(self, stored: StoredObject) -> bytes | None:
        """The bytes of the version listed; `None` when boto3 has to be asked."""
        wanted = {"Bucket": self._bucket, "Key": stored.key}
        url = self._s3.generate_presigned_url("get_object", Params=wanted, ExpiresIn=_SECONDS_VALID)
        try:
            connection = self._connection(url)
            connection.request("GET", url[url.index("/", len("https://")) :])
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, HTTPException) as error:
            self._own.connection = None
            log.info("direct_reads_given_up", error=type(error).__name__)
            self._direct = False
            return None
        return body if answer.status == _OK and answer.headers["ETag"] == stored.etag else None

    def _connection(self, url: str) -> HTTPConnection:
        connection: HTTPConnection | None = getattr(self._own, "connection", None)
        if connection is None:
            parts = urlsplit(url)
            kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
            connection = self._own.connection = kind(parts.netloc, timeout=_SECONDS)
        return connection

    def _through_boto3(self, stored: StoredObject) -> bytes:
        try:
            answer = self._s3.get_object(Bucket=self._bucket, Key=stored.key)
        except AWS_ERRORS as error:
            if is_missing(error):
                raise ChangedError(stored.key) from error
            raise
        if answer["ETag"] != stored.etag:
            raise ChangedError(stored.key)
        return answer["Body"].read()
