"""Finds where someone speaks before the model is asked, and brings times back from the speech to the whole audio.

It must not load the speech model: silence costs no model call. The detector is the one that comes with faster-whisper
(Silero), used as its `vad_filter` does, so that the results are the same.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from faster_whisper.transcribe import Segment as ModelSegment
from faster_whisper.transcribe import restore_speech_timestamps
from faster_whisper.vad import VadOptions, collect_chunks, get_speech_timestamps

from consumer.media.decode import SAMPLE_RATE
from consumer.model.transcriber import Speech


@dataclass(frozen=True, slots=True)
class Voice:
    """The parts of some audio in which someone speaks.

    Attributes:
        samples: those parts, one behind the other; empty when nobody speaks.
        spans: where each part was: `start` and `end` as places of samples, as faster-whisper has them.
    """

    samples: np.ndarray
    spans: list[dict[str, int]]

    @property
    def seconds(self) -> float:
        return len(self.samples) / SAMPLE_RATE

    def restored(self, segments: Iterable[ModelSegment]) -> list[ModelSegment]:
        """Segments of `samples` with the times that they have in the whole audio."""
        return list(restore_speech_timestamps(segments, self.spans, SAMPLE_RATE))


class VoicedSpeech(NamedTuple):
    """One window's speech, its hints fit for the model, and where in it someone speaks."""

    speech: Speech
    voice: Voice


def find_voice(samples: np.ndarray, *, min_silence_ms: int) -> Voice:
    """Where someone speaks in mono float32 `samples` at 16 kHz; `min_silence_ms` of silence end a part."""
    if not len(samples):
        return Voice(samples, [])
    spans = get_speech_timestamps(samples, VadOptions(min_silence_duration_ms=min_silence_ms))
    parts, _ = collect_chunks(samples, spans)
    return Voice(np.concatenate(parts), spans)
