"""The audio of sessions: fetched once, decoded once, and kept for a while for the gaps next to it.

It knows which chunks stand beside a chunk and what they say about it. It must not know windows, messages or models.
Safe to share by threads.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import structlog
from cachetools import LRUCache, cached

from consumer.media.decode import DecodedAudio, StreamContext, decode_chunk
from consumer.media.formats.base import InspectedChunk
from consumer.media.inspect import inspect
from shared.aws.retrying import Retrier
from shared.aws.storage import read_if_there
from shared.errors import AWS_ERRORS, PermanentJobError, ScribefleetError, cause_of
from shared.formats.layout import parse_key, sibling_audio_keys
from shared.formats.messages import ChunkJob
from shared.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = structlog.get_logger()

Made = TypeVar("Made")

_MEGABYTE: Final = 1024 * 1024
_SESSIONS_KEPT: Final = 256
# Recorders begin to count with 1, a few with 0.
_FIRST_NUMBERS: Final = (1, 0)


class _MissingError(ScribefleetError):
    """The object is not there. Raised through the caches, so that they do not keep it: it may still come."""


@dataclass(frozen=True, slots=True)
class _Decoded:
    audio: DecodedAudio
    stored_bytes: int


class SessionAudio:
    """Chunks as samples.

    Args:
        retrier: makes the calls to S3.
    """

    def __init__(self, s3: "S3Client", settings: Settings, retrier: Retrier) -> None:
        self._s3 = s3
        self._bucket = settings.bucket
        self._chunk_seconds = settings.chunk_seconds
        self._max_seconds = settings.max_audio_seconds
        self._retrier = retrier
        half = settings.audio_cache_mb * _MEGABYTE // 2
        self._stored: _Once[InspectedChunk] = _Once(
            LRUCache(half, getsizeof=lambda chunk: len(chunk.data)), self._fetch
        )
        decoded = LRUCache[str, _Decoded](half, getsizeof=lambda made: made.audio.samples.nbytes)
        self._decoded: _Once[_Decoded] = _Once(decoded, self._decode)
        self._headers: _Once[bytes] = _Once(LRUCache(_SESSIONS_KEPT), self._first_header, by=_folder)

    def of(self, job: ChunkJob) -> DecodedAudio:
        """The job's own chunk.

        Raises:
            PermanentJobError: `audio-gone`: it was deleted after it was queued; or why it cannot be decoded. Else what
                boto3 raises.
        """
        if self._known_bytes(job.audio_key) not in (None, job.audio_size):
            # What is kept is older than the chunk as it is now.
            self._decoded.forget(job.audio_key)
            self._stored.forget(job.audio_key)
        try:
            return self._decoded(job.audio_key).audio
        except _MissingError:
            raise PermanentJobError("audio-gone", "the chunk was deleted after it was queued") from None

    def beside(self, job: ChunkJob, numbers: set[int], executor: Executor) -> dict[int, DecodedAudio]:
        """Those of the chunks `numbers` of the job's session that can be used, fetched at the same time.

        They are only context: what is wrong with one of them must not keep the gap beside it from being filled.
        """
        wanted = sorted(number for number in numbers if number >= 0)
        found = executor.map(lambda number: self._context(job, number), wanted)
        return {number: audio for number, audio in zip(wanted, found, strict=True) if audio is not None}

    def _context(self, job: ChunkJob, number: int) -> DecodedAudio | None:
        try:
            return self._first_there(self._decoded, job.audio_key, number).audio
        except _MissingError:
            return None
        except (PermanentJobError, *AWS_ERRORS) as error:
            what = error.reason if isinstance(error, PermanentJobError) else cause_of(error)
            log.info("context_not_usable", session=job.session_id, chunk=number, error=what)
            return None

    def _first_there(self, get: "Callable[[str], Made]", key: str, number: int) -> Made:
        """What `get` makes of chunk `number` in the session of `key`."""
        for sibling in sibling_audio_keys(key, number):
            try:
                return get(sibling)
            except _MissingError:
                continue
        raise _MissingError

    def _known_bytes(self, key: str) -> int | None:
        """The size of the chunk that would be made use of, if one is kept. Neighbours keep some that nobody decoded."""
        decoded = self._decoded.kept(key)
        if decoded is not None:
            return decoded.stored_bytes
        stored = self._stored.kept(key)
        return None if stored is None else len(stored.data)

    # --- how what is kept is made

    def _fetch(self, key: str) -> InspectedChunk:
        data = self._retrier(read_if_there, self._s3, self._bucket, key)
        if data is None:
            raise _MissingError
        return inspect(data)

    def _decode(self, key: str) -> _Decoded:
        chunk = self._stored(key)
        try:
            audio = decode_chunk(
                chunk,
                chunk_seconds=self._chunk_seconds,
                surroundings=self._surroundings(key, chunk),
                max_seconds=self._max_seconds,
            )
        except PermanentJobError:
            # The recorder may store it again, and that one must not be judged by these bytes.
            self._stored.forget(key)
            raise
        chunk.forget_structure()  # its neighbours ask for no more than the header and the tail
        return _Decoded(audio, len(chunk.data))

    def _surroundings(self, key: str, chunk: InspectedChunk) -> StreamContext:
        number = _number(key)
        if chunk.is_slice:
            before, after = self._neighbour(key, number - 1), self._neighbour(key, number + 1)
            return StreamContext(
                header=self._header(key), before=before.tail if before else b"", after=after.data if after else b""
            )
        if number in _FIRST_NUMBERS:  # perhaps the first slice of a stream
            after = self._neighbour(key, number + 1)
            return StreamContext(after=after.data if after else b"")
        return StreamContext()

    def _neighbour(self, key: str, number: int) -> InspectedChunk | None:
        """A neighbour; None when it cannot be had, which costs a slice a packet or two at most."""
        try:
            return self._first_there(self._stored, key, number)
        except _MissingError:
            return None
        except AWS_ERRORS as error:
            log.info("neighbour_not_usable", chunk=number, error=cause_of(error))
            return None

    def _header(self, key: str) -> bytes | None:
        try:
            return self._headers(key)
        except _MissingError:
            return None

    def _first_header(self, key: str) -> bytes:
        """The header of the session's stream, which its first chunk begins with.

        When S3 does not give it now that is raised: only for one that is not there is a header made up.
        """
        for number in _FIRST_NUMBERS:
            try:
                header = self._first_there(self._stored, key, number).header
            except _MissingError:
                continue
            if header is not None:
                return header
        raise _MissingError


class _Once(Generic[Made]):
    """Makes a value for a key once, and keeps it as long as the cache does.

    Args:
        by: what of the argument is the key.
    """

    def __init__(
        self, cache: "LRUCache[str, Made]", make: Callable[[str], Made], by: Callable[[str], str] = lambda key: key
    ) -> None:
        self._cache = cache
        self._by = by
        self._changing = threading.Condition()
        # With a condition, while one thread makes a value the others that want it wait.
        self._get = cached(cache, key=by, condition=self._changing)(make)

    def __call__(self, key: str) -> Made:
        return self._get(key)

    def kept(self, key: str) -> Made | None:
        """The value for a key, if it was made and is still there."""
        with self._changing:
            return self._cache.get(self._by(key))

    def forget(self, key: str) -> None:
        with self._changing:
            self._cache.pop(self._by(key), None)


def _number(key: str) -> int:
    parsed = parse_key(key)
    return int(parsed.audio_chunk or 0) if parsed else 0


def _folder(key: str) -> str:
    return key.rpartition("/")[0]
