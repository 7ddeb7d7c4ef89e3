"""Tells speech from what Whisper makes up when nobody speaks, by the model's own numbers and by loops in the text.

Pure. It must not know particular phrases: "Thank you." is the commonest invention and also what people say. What is
taken out is handed back with its numbers, so that a reader can see it and judge the judgement.
"""

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import ceil, isfinite
from typing import Final, Literal

from shared.formats.transcripts import Segment, Suppressed, Word, join_words

# Whisper's own thresholds (openai/whisper, transcribe.py).
NO_SPEECH_LIMIT: Final = 0.6
LOG_PROBABILITY_LIMIT: Final = -1.0
COMPRESSION_LIMIT: Final = 2.4

# A loop says up to this many words again and again, at least four times and at least ten words in all, each time
# within so many seconds. People repeat themselves too ("no, no, no", a chant, a refrain), but not so much so fast.
_LONGEST_LOOP_WORDS: Final = 12
_MIN_REPEATS: Final = 4
_MIN_WORDS: Final = 10
_MAX_SECONDS_EACH: Final = 5.0

# Compression alone would condemn real anaphora: the opening of "A Tale of Two Cities" compresses 2.4 to 1, with nine
# in ten of its runs of four words said once. In what a model makes up of such text most come again.
_REPETITIVE_RUN: Final = 4
_MIN_SHARE_OF_NEW_RUNS: Final = 0.5

_LOWEST_LOG_PROBABILITY: Final = -100.0
_NOT_SPOKEN: Final = re.compile(r"[\W_]+")

Reason = Literal["no-speech", "repetitive", "loop"]


@dataclass(frozen=True, slots=True)
class DecodedSegment:
    """A segment and what the model says of the decode that it is from; segments of one decode share `decode`.

    A segment has words, as `consumer.model.cleaning` makes them.
    """

    segment: Segment
    decode: int
    no_speech_probability: float
    average_log_probability: float
    compression_ratio: float


def is_no_speech(no_speech_probability: float, average_log_probability: float) -> bool:
    """Both together: either number alone is often wrong about real speech."""
    return no_speech_probability > NO_SPEECH_LIMIT and average_log_probability < LOG_PROBABILITY_LIMIT


def is_doubtful(average_log_probability: float, compression_ratio: float) -> bool:
    """Whether a decode is worth another try."""
    return average_log_probability < LOG_PROBABILITY_LIMIT or compression_ratio > COMPRESSION_LIMIT


def sift(heard: Sequence[DecodedSegment]) -> tuple[tuple[Segment, ...], tuple[Suppressed, ...]]:
    """The segments that are speech, and what was taken out of them or left out, each in order of time.

    A loop keeps its first saying, which is often real. A decode that is repetitive at all temperatures goes as a whole
    only when it is still repetitive without its loops: thirty seconds of speech can end in one.
    """
    suppressed = [_suppressed(part.segment.words, part, "no-speech") for part in heard if _is_silent(part)]
    spoken = [part for part in heard if not _is_silent(part)]
    spoken, loops = _without_loops(spoken)
    suppressed += loops
    kept: list[Segment] = []
    for _, parts in groupby(spoken, key=lambda part: part.decode):
        decode = list(parts)
        if _is_repetitive(decode):
            words = [word for part in decode for word in part.segment.words]
            suppressed.append(_suppressed(words, decode[0], "repetitive"))
        else:
            kept += (part.segment for part in decode)
    return tuple(kept), tuple(sorted(suppressed, key=lambda part: part.start))


def find_loops(words: Sequence[str], starts: Sequence[float]) -> list[range]:
    """Where the same words come again and again: ranges of indices from the second saying to the last whole one.

    Args:
        words: in order; they are compared without case, and must not be empty.
        starts: when each word begins, in seconds.
    """
    loops: list[range] = []
    place = 0
    while place < len(words):
        loop = _loop_from(place, words, starts)
        if loop is None:
            place += 1
        else:
            loops.append(loop)
            place = loop.stop
    return loops


def _loop_from(first: int, words: Sequence[str], starts: Sequence[float]) -> range | None:
    for length in range(1, _LONGEST_LOOP_WORDS + 1):
        stop = first + length
        while stop < len(words) and words[stop] == words[stop - length]:
            stop += 1
        repeats = (stop - first) // length
        if repeats < max(_MIN_REPEATS, ceil(_MIN_WORDS / length)):
            continue
        last = first + (repeats - 1) * length
        if starts[last] - starts[first] <= (repeats - 1) * _MAX_SECONDS_EACH:
            return range(first + length, last + length)
    return None


def _is_silent(part: DecodedSegment) -> bool:
    return is_no_speech(part.no_speech_probability, part.average_log_probability)


def _is_repetitive(decode: Sequence[DecodedSegment]) -> bool:
    """Whether a decode that the model could do no better is repetitive in what is left of it."""
    if all(part.compression_ratio <= COMPRESSION_LIMIT for part in decode):
        return False
    text = " ".join(part.segment.text for part in decode).encode()
    if len(text) / len(zlib.compress(text)) <= COMPRESSION_LIMIT:
        return False
    keys = [key for part in decode for word in part.segment.words if (key := _key(word))]
    runs = [tuple(keys[first : first + _REPETITIVE_RUN]) for first in range(len(keys) - _REPETITIVE_RUN + 1)]
    return len(set(runs)) < _MIN_SHARE_OF_NEW_RUNS * len(runs)


def _without_loops(heard: Sequence[DecodedSegment]) -> tuple[list[DecodedSegment], list[Suppressed]]:
    words = [word for part in heard for word in part.segment.words]
    said = [place for place, word in enumerate(words) if _key(word)]
    found = find_loops([_key(words[place]) for place in said], [words[place].start for place in said])
    # What stands between the words of a loop, such as a lone dash, goes with them.
    loops = [range(said[loop.start], said[loop.stop - 1] + 1) for loop in found]
    looped = {place for loop in loops for place in loop}
    kept: list[DecodedSegment] = []
    suppressed: list[Suppressed] = []
    first = 0
    for part in heard:
        own = range(first, first + len(part.segment.words))
        suppressed += (_suppressed(words[loop.start : loop.stop], part, "loop") for loop in loops if loop.start in own)
        left = tuple(words[place] for place in own if place not in looped)
        if left:
            kept.append(replace(part, segment=Segment.of_words(left)))
        first = own.stop
    return kept, suppressed


def _key(word: Word) -> str:
    """What makes two words the same; empty for punctuation that stands alone."""
    return _NOT_SPOKEN.sub("", word.word).casefold()


def _suppressed(words: Sequence[Word], part: DecodedSegment, reason: Reason) -> Suppressed:
    log_probability = part.average_log_probability
    return Suppressed(
        text=join_words(words),
        start=words[0].start,
        end=max(word.end for word in words),
        reason=reason,
        no_speech_probability=round(min(1.0, max(0.0, part.no_speech_probability)), 4),
        average_log_probability=round(log_probability, 4) if isfinite(log_probability) else _LOWEST_LOG_PROBABILITY,
        compression_ratio=round(part.compression_ratio, 4),
    )
