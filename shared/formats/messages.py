"""Job messages: what travels on the queues, and the checks that an untrusted body must pass.

A message crosses a trust boundary: the worker reads and writes the keys that it names. So keys must agree with each
other and with the layout, and a body that fails any check becomes a `PermanentJobError` with a reason.
"""

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from shared.errors import PermanentJobError
from shared.formats.layout import parse_key, session_path, transcript_key
from shared.formats.wire import WireModel

MESSAGE_VERSION: Final = 1
# More than any object of S3 has, and few enough digits for the ledger: DynamoDB takes 38.
_MAX_BYTES: Final = 10**15


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:  # the first and the last day there are, in a zone far from UTC
        raise ValueError("no moment in UTC") from None


class ChunkJob(WireModel):
    """One chunk to transcribe. `audio_size` is in bytes; `chunk` is the number as its key spells it.

    `model` and `language` (ISO 639) are for this job alone; without them it is the fleet's.
    """

    version: Literal[1] = MESSAGE_VERSION
    kind: Literal["chunk"] = "chunk"
    bucket: Annotated[str, Field(min_length=3)]
    user_id: str
    session_id: str
    session_path: str
    chunk: Annotated[str, Field(pattern=r"^[0-9]+$")]
    audio_key: str
    audio_size: Annotated[int, Field(ge=0, le=_MAX_BYTES)]
    transcript_key: str
    reason: Literal["scan", "rerun", "upload"] = "scan"
    force: bool = False
    scan_id: str | None = None
    enqueued_at: Annotated[AwareDatetime, AfterValidator(_in_utc)]
    model: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    language: Annotated[str, Field(pattern=r"^[a-z]{2,3}$")] | None = None

    @model_serializer(mode="wrap")
    def _without_what_it_does_not_ask_for(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        asks = serialize(self)
        return {name: value for name, value in asks.items() if value is not None or name not in {"model", "language"}}

    @model_validator(mode="after")
    def _keys_agree(self) -> Self:
        # JSON can spell half a surrogate pair; no key in S3 holds one, and sending it anywhere would raise.
        (self.audio_key + (self.scan_id or "")).encode()
        audio = parse_key(self.audio_key)
        if audio is None or audio.audio_chunk != self.chunk:
            raise ValueError("audioKey is not the audio of the chunk")
        if self.session_path != session_path(self.user_id, self.session_id) or self.session_path != audio.session_path:
            raise ValueError("sessionPath, userId, sessionId and audioKey name different sessions")
        if self.transcript_key != transcript_key(self.session_path, self.chunk):
            raise ValueError("transcriptKey is not the transcript of the chunk")
        return self


def chunk_job(
    *, bucket: str, audio_key: str, audio_size: int, enqueued_at: datetime, scan_id: str | None = None
) -> ChunkJob:
    """The job for the gap behind `audio_key`.

    Raises:
        ValueError: `audio_key` is not the key of a chunk's audio.
    """
    key = parse_key(audio_key)
    if key is None or key.audio_chunk is None:
        raise ValueError(f"not the key of a chunk's audio: {audio_key!r}")
    return ChunkJob(
        bucket=bucket,
        user_id=key.user_id,
        session_id=key.session_id,
        session_path=key.session_path,
        chunk=key.audio_chunk,
        audio_key=audio_key,
        audio_size=audio_size,
        transcript_key=transcript_key(key.session_path, key.audio_chunk),
        scan_id=scan_id,
        enqueued_at=enqueued_at,
    )


def parse_job(body: str, *, bucket: str) -> ChunkJob:
    """The job in a message's body.

    Args:
        body: the message as received.
        bucket: the fleet's bucket; a job for any other one is refused.

    Raises:
        PermanentJobError: with reason `message-not-json`, `message-unknown-version`, `message-unknown-kind`,
            `message-invalid` or `message-foreign-bucket`.
    """
    raw = _json_object(body)
    if ("kind" not in raw and {"jobId", "s3Key"} <= raw.keys()) or raw.get("kind") == "file":
        raise PermanentJobError("message-unknown-kind", "file jobs are not handled by this version")
    if raw.get("version") != MESSAGE_VERSION:
        raise PermanentJobError("message-unknown-version", f"version must be {MESSAGE_VERSION}")
    if raw.get("kind") != "chunk":
        raise PermanentJobError("message-unknown-kind", "kind must be 'chunk'")
    try:
        job = ChunkJob.model_validate(raw)
    except ValidationError as error:
        raise PermanentJobError("message-invalid", _first_problem(error)) from None
    if job.bucket != bucket:
        raise PermanentJobError("message-foreign-bucket", "the job names a bucket that is not the fleet's")
    return job


def _json_object(body: str) -> dict[str, Any]:
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError):
        raise PermanentJobError("message-not-json", "the body is not JSON") from None
    if not isinstance(raw, dict):
        raise PermanentJobError("message-not-json", "the body is JSON but not an object")
    return raw


def _first_problem(error: ValidationError) -> str:
    """The first problem without the input, which could hold personal data."""
    problem = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(str(part) for part in problem["loc"]) or "message"
    return f"{where}: {problem['msg']}"
