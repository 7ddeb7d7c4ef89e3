"""Says in a session's metadata.json how its transcript stands, without losing what the recorder wrote there.

The file is the recorder's. It is never created here, because others take its being there for the recorder's word; one
that cannot be understood is left as it is.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import structlog

from shared.aws.storage import put_if_unchanged
from shared.errors import AWS_ERRORS, is_missing
from shared.formats.layout import metadata_key
from shared.session.transcript import SessionTranscript

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = structlog.get_logger()

_MAX_BYTES: Final = 1024 * 1024
# Each level is indented, so what is nested without end would grow beyond all measure when it is written.
_MAX_LEVELS: Final = 32
_INPUTS: Final = "transcriptionInputs"


@dataclass(frozen=True, slots=True)
class Metadata:
    """metadata.json as it was read, and what S3 keeps beside it."""

    content: Mapping[str, Any]
    etag: str
    content_type: str
    kept: Mapping[str, str]

    def tells_of(self, digest: str) -> bool:
        """Whether it says how the transcript made of these inputs stands."""
        return self.content.get(_INPUTS) == digest


def status_fields(transcript: SessionTranscript, transcribed_at: str | None) -> dict[str, Any]:
    """What metadata.json says of a transcript. `transcribed_at` is when the newest chunk's transcript was stored."""
    return {
        "transcriptionStatus": transcript.status,
        "transcribedAt": transcribed_at,
        "missingChunks": transcript.missing_chunks,
        "invalidChunks": [each.chunk for each in transcript.invalid_chunks],
        _INPUTS: transcript.metadata.inputs,
    }


def read_metadata(s3: "S3Client", bucket: str, session_path: str) -> Metadata | None:
    """A session's metadata; `None` when there is none, or none that can be added to. Raises what boto3 raises."""
    key = metadata_key(session_path)
    try:
        answer = s3.get_object(Bucket=bucket, Key=key)
    except AWS_ERRORS as error:
        if is_missing(error):
            return None
        raise
    body = answer["Body"].read(_MAX_BYTES + 1)
    content = _object(body) if len(body) <= _MAX_BYTES else None
    if content is None:
        log.warning("metadata_left_alone", key=key, why="it is not a JSON object, or a very large or deep one")
        return None
    return Metadata(content, answer["ETag"], answer["ContentType"], answer["Metadata"])


def add_fields(s3: "S3Client", bucket: str, session_path: str, found: Metadata, fields: Mapping[str, Any]) -> bool:
    """Add to metadata.json as it was found; returns False, changing nothing, when it has changed since."""
    body = json.dumps({**found.content, **fields}, indent=2).encode()
    key = metadata_key(session_path)
    return put_if_unchanged(s3, bucket, key, body, found.content_type, found.etag, found.kept)


def _object(body: bytes) -> dict[str, Any] | None:
    """The object in `body`; `None` when it would not come out again as it went in."""
    try:
        content = json.loads(body, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) and _is_shallow(content, _MAX_LEVELS) else None


def _finite(text: str) -> float:
    """Numbers beyond a float's, such as 1e400, would be written as `Infinity`, which is no JSON."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no number that can be written")
    return value


def _is_shallow(value: object, levels: int) -> bool:
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return not members or (levels > 0 and all(_is_shallow(member, levels - 1) for member in members))
