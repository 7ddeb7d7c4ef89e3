"""Makes chunk transcripts as live recorders and as workers write them."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

Spoken = Sequence[tuple[str, float, float]]
MakeTranscript = Callable[..., bytes]


@pytest.fixture
def batch() -> MakeTranscript:
    """A worker's transcript of words with times; `duration` and other fields by name."""

    def make(words: Spoken, *, duration: float = 5.0, **more: Any) -> bytes:
        fields = {"source": "batch", "duration": duration, "model": "small.en", "segments": _segments(words)}
        return json.dumps(fields | more).encode()

    return make


@pytest.fixture
def live() -> MakeTranscript:
    """A recorder's transcript: no more than segments."""

    def make(words: Spoken, **more: Any) -> bytes:
        return json.dumps({"segments": _segments(words), **more}).encode()

    return make


def _segments(words: Spoken) -> list[dict[str, Any]]:
    if not words:
        return []
    timed = [{"word": f" {word}", "start": start, "end": end, "probability": 0.9} for word, start, end in words]
    text = " ".join(word for word, _, _ in words)
    return [{"text": text, "start": words[0][1], "end": words[-1][2], "is_final": True, "words": timed}]
