"""What a session's metadata says to the model: words that are likely to occur, and text as it could stand before.

The metadata is the recorder's and may hold anything or be absent. Nothing of it may keep a job from being done.
"""

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import structlog
from cachetools import LRUCache, cached
from pydantic import BeforeValidator, ValidationError

from shared.aws.retrying import Retrier
from shared.aws.storage import read_if_there
from shared.errors import AWS_ERRORS, cause_of
from shared.formats.layout import metadata_key
from shared.formats.messages import ChunkJob
from shared.formats.wire import WireModel

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = structlog.get_logger()

_SESSIONS_KEPT: Final = 1024
# Whisper takes 223 tokens of prompt, about a thousand characters; the rest of a longer text would be thrown away.
_LONGEST: Final = 1000
_BIGGEST_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Hints:
    """For the model; `None` where the metadata has none."""

    hotwords: str | None = None
    initial_prompt: str | None = None


def _joined(value: object) -> object:
    if not isinstance(value, list):
        return value
    # What is no text in it is no word that could be said.
    words = (each.strip() for each in value if isinstance(each, str))
    return ", ".join(word for word in words if word)


class _Metadata(WireModel):
    """`hotwords`: a list of words or one text. `initialPrompt`: a text."""

    hotwords: Annotated[str | None, BeforeValidator(_joined)] = None
    initial_prompt: str | None = None


class SessionHints:
    """The hints of sessions, each read once. Safe to share by threads."""

    def __init__(self, s3: "S3Client", bucket: str, retrier: Retrier) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._retrier = retrier
        kept = LRUCache[str, Hints](_SESSIONS_KEPT)
        self._of_session = cached(kept, condition=threading.Condition())(self._read)

    def of(self, job: ChunkJob) -> Hints:
        """The hints for the job's session; none when the metadata is absent or makes no sense."""
        return self._of_session(job.session_path)

    def _read(self, session_path: str) -> Hints:
        try:
            body = self._retrier(read_if_there, self._s3, self._bucket, metadata_key(session_path), _BIGGEST_BYTES + 1)
            if body is None or len(body) > _BIGGEST_BYTES:
                return Hints()
            metadata = _Metadata.model_validate_json(body)
        except (ValidationError, *AWS_ERRORS) as error:
            log.warning("metadata_not_usable", error=cause_of(error))
            return Hints()
        return Hints(_bounded(metadata.hotwords), _bounded(metadata.initial_prompt))


def _bounded(text: str | None) -> str | None:
    return (text or "").strip()[:_LONGEST] or None
