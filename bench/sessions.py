"""Makes the objects of sessions as recorders leave them in the bucket: audio, and transcripts that are there."""

import json
from collections.abc import Sequence

from shared.formats.layout import session_path, transcript_key

_USER = "bench"


def bench_session(name: str) -> str:
    """The session path of a session of the bench."""
    return session_path(_USER, name)


def audio_objects(session: str, chunks: Sequence[bytes], extension: str) -> dict[str, bytes]:
    """The audio of a session as its recorder uploads it; the chunks are numbered from 001."""
    return {
        f"{session}/chunk-{name}.{extension}": data for name, data in zip(chunk_names(len(chunks)), chunks, strict=True)
    }


def chunk_names(count: int) -> list[str]:
    """The numbers of a session's chunks, as keys spell them."""
    return [f"{number:03d}" for number in range(1, count + 1)]


def existing_transcripts(session: str, chunks: Sequence[str]) -> dict[str, bytes]:
    """Transcripts that are there already, with no more in them than the live recorder writes."""
    content = {"segments": [{"text": "Words of the live path.", "start": 0.0, "end": 1.0, "is_final": True}]}
    body = json.dumps(content).encode()
    return {transcript_key(session, chunk): body for chunk in chunks}
