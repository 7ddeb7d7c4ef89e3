"""Decodes several windows in one call of the model: faster on a GPU, less accurate, and off by default.

faster-whisper's batched pipeline has no fallback temperatures and takes each window in one piece. So a window that
comes out doubtful gets no result here; the caller decodes it alone, with all the care there is.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Final

import numpy as np
from faster_whisper import BatchedInferencePipeline
from faster_whisper.transcribe import Segment as ModelSegment

from consumer.model.decoding import BoundedWhisperModel, decode_options
from consumer.model.suppression import is_doubtful, is_no_speech
from consumer.model.voice import VoicedSpeech

# The pipeline hears no more of a clip than this.
_LONGEST_SECONDS: Final = 30.0


def batches(speeches: Sequence[VoicedSpeech], most: int) -> list[list[int]]:
    """Which of `speeches` can be decoded together, as places: at most `most`, at least two, all heard the same way."""
    alike: defaultdict[tuple[str | None, ...], list[int]] = defaultdict(list)
    for place, (speech, voice) in enumerate(speeches):
        if voice.spans and voice.seconds <= _LONGEST_SECONDS:
            alike[speech.language, speech.hotwords, speech.initial_prompt].append(place)
    cut = (places[first : first + most] for places in alike.values() for first in range(0, len(places), most))
    return [places for places in cut if len(places) > 1]


def decode_together(
    model: BoundedWhisperModel, speeches: Mapping[int, VoicedSpeech], *, beam_size: int
) -> dict[int, list[ModelSegment]]:
    """What is heard in each of `speeches` of which the model is sure; times are from the start of its samples.

    Args:
        model: shared with the decoding of single windows.
        speeches: one batch as `batches` makes them; all have the first one's language and hints.
        beam_size: beams of the only decode.
    """
    voices = {place: voice for place, (_, voice) in speeches.items()}
    ends = list(accumulate(voice.seconds for voice in voices.values()))
    begins = [0.0, *ends[:-1]]
    segments, _ = BatchedInferencePipeline(model).transcribe(
        np.concatenate([voice.samples for voice in voices.values()]),
        beam_size=beam_size,
        batch_size=len(voices),
        clip_timestamps=[{"start": begin, "end": end} for begin, end in zip(begins, ends, strict=True)],
        vad_filter=False,
        **decode_options(next(iter(speeches.values())).speech),
    )
    heard = list(segments)
    found: dict[int, list[ModelSegment]] = {}
    for (place, voice), begin, end in zip(voices.items(), begins, ends, strict=True):
        own = [segment for segment in heard if begin <= (segment.start + segment.end) / 2 < end]
        if own and not any(_is_doubtful(part) for part in own):
            found[place] = voice.restored(_earlier(part, begin) for part in own)
    return found


def _is_doubtful(part: ModelSegment) -> bool:
    doubtful = is_doubtful(part.avg_logprob, part.compression_ratio)
    return doubtful and not is_no_speech(part.no_speech_prob, part.avg_logprob)


def _earlier(segment: ModelSegment, seconds: float) -> ModelSegment:
    words = [replace(word, start=word.start - seconds, end=word.end - seconds) for word in segment.words or ()]
    return replace(segment, start=segment.start - seconds, end=segment.end - seconds, words=words)
