"""Brings the model's segments into the format's bounds: times in order and within the audio, words in every segment.

Pure. It must not judge whether the text is speech; that is `consumer.model.suppression`'s business.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

from faster_whisper.transcribe import Segment as ModelSegment
from faster_whisper.transcribe import Word as ModelWord

from shared.formats.transcripts import Segment, Word


class Clean(NamedTuple):
    """A segment within bounds, beside the one that it was made of."""

    segment: Segment
    model: ModelSegment


def clean_segments(heard: Iterable[ModelSegment], seconds: float) -> list[Clean]:
    """The model's segments with times in [0, `seconds`], in order, in milliseconds; those without text are left out.

    Whisper's times may end behind the audio and, with voice activity detection, run backwards
    (SYSTRAN/faster-whisper#1334). Every segment has words and they join to its text: where alignment found none, one
    word stands for the whole text and spans the segment, with the segment's mean probability.
    """
    line = _TimeLine(math.floor(seconds * 1000) / 1000)
    return [Clean(_clean_segment(segment, line), segment) for segment in heard if _has_text(segment)]


class _TimeLine:
    """Gives out spans that begin no earlier than the one before and lie within the audio."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._earliest = 0.0

    def span(self, start: float, end: float) -> tuple[float, float]:
        begin = min(max(self._earliest, round(float(start), 3)), self._limit)
        self._earliest = begin
        return begin, min(max(round(float(end), 3), begin), self._limit)


def _has_text(segment: ModelSegment) -> bool:
    """Punctuation alone is no text, unless it came with words.

    Alignment gives a mark to the word before it, which may be in the segment before; the mark's own segment is then
    without words.
    """
    if segment.words:
        return any(word.word.strip() for word in segment.words)
    return any(character.isalnum() for character in segment.text)


def _clean_segment(segment: ModelSegment, line: _TimeLine) -> Segment:
    heard = segment.words or [_whole(segment)]
    return Segment.of_words([_clean_word(word, line) for word in heard])


def _whole(segment: ModelSegment) -> ModelWord:
    # A mean log probability is of tokens, not words, but it is the only witness.
    probability = math.exp(min(0.0, segment.avg_logprob))
    return ModelWord(segment.start, segment.end, f" {segment.text.strip()}", probability)


def _clean_word(word: ModelWord, line: _TimeLine) -> Word:
    start, end = line.span(word.start, word.end)
    return Word(word=word.word, start=start, end=end, probability=_probability(word.probability))


def _probability(value: float) -> float:
    """`value` within [0, 1], rounded; the model's arithmetic may overshoot by a rounding error."""
    return round(min(1.0, max(0.0, float(value))), 4)
