"""Lays two hearings of the same seconds over each other, where one of them goes on beyond the seam.

Pure. Two hearings differ by a few tenths of a second about when a word is said. At a seam between them each may give a
word to the other's side, so that it is lost, or keep it on its own, so that it stands twice. What a worker heard beyond
its chunk shows which: the words there are found again in the neighbour's, and what lies between is lost or doubled.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from shared.formats.transcripts import ParsedTranscript, SpokenSegment, SpokenWord, join_words

# How much of a chunk at its seam is laid over the other hearing.
_NEAR_SECONDS: Final = 3.0
# How far apart the same words may be in the two: for one, and more for each further one that they share.
_APART_SECONDS: Final = 1.0
_APART_SECONDS_MORE: Final = 1.5
# One equal word is chance, unless nothing more is there to compare.
_MIN_RUN: Final = 2
_MAX_MENDED: Final = 4
_NO_LETTERS: Final = re.compile(r"[^\w]+")


class _Fit(NamedTuple):
    """Where the other side's first word stands in what was heard: the longer the run of equal words, the surer."""

    run: int
    apart: float
    place: int


def mend_overlap(before: ParsedTranscript, after: ParsedTranscript, seam: float) -> int | None:
    """Put in words that both sides left to the other, and take out of the one what the other has.

    Args:
        before: its times and those of `after` are in seconds from the session's start.

    Returns:
        How many words that were; `None` when neither side heard beyond the seam, or the two cannot be laid together.
    """
    tail = [word for segment in before.segments[-3:] for word in segment.words if word.end > seam - _NEAR_SECONDS]
    head = [word for segment in after.segments[:3] for word in segment.words if word.start < seam + _NEAR_SECONDS]
    if before.after:
        shift = _shift(tail, before.after, head)
        if shift is not None:
            _append(before, before.after[: max(0, shift)])
            remove(after, head[: max(0, -shift)])
            return abs(shift)
    if after.before:
        shift = _shift(head[::-1], after.before[::-1], tail[::-1])
        if shift is not None:
            _prepend(after, after.before[len(after.before) - max(0, shift) :])
            remove(before, tail[len(tail) - max(0, -shift) :])
            return abs(shift)
    return None


def plain(word: str) -> str:
    """A word's letters and digits, for comparing."""
    return _NO_LETTERS.sub("", word).casefold()


def remove(speech: ParsedTranscript, words: Sequence[SpokenWord]) -> None:
    """Take words out of a chunk; a segment that has none left goes with them."""
    gone = {id(word) for word in words}
    kept: list[SpokenSegment] = []
    for segment in speech.segments:
        if any(id(word) in gone for word in segment.words):
            segment.words = [word for word in segment.words if id(word) not in gone]
            segment.text = join_words(segment.words)
        if segment.words:
            kept.append(segment)
    speech.segments = kept


def _shift(own: Sequence[SpokenWord], beyond: Sequence[SpokenWord], other: Sequence[SpokenWord]) -> int | None:
    """By how many words the other side begins later (they are lost) or earlier (they are doubled) than it should.

    All three count from the seam outwards or towards it, so that `own` is followed by `beyond`.
    """
    if not other:
        return None
    heard = [*own, *beyond]
    fits = [fit for place in range(len(heard)) if (fit := _fit(heard, place, other))]
    if not fits:
        return None
    best = max(fits, key=lambda fit: (fit.run, -fit.apart))
    shift = best.place - len(own)
    return shift if abs(shift) <= _MAX_MENDED else None


def _fit(heard: Sequence[SpokenWord], place: int, other: Sequence[SpokenWord]) -> _Fit | None:
    apart = abs(_middle(heard[place]) - _middle(other[0]))
    run = 0
    for one, two in zip(heard[place:], other, strict=False):
        if not plain(one.word) or plain(one.word) != plain(two.word):
            break
        run += 1
    needed = min(_MIN_RUN, len(other), len(heard) - place)
    most_apart = _APART_SECONDS + _APART_SECONDS_MORE * (run - 1)
    return _Fit(run, apart, place) if run >= max(1, needed) and apart <= most_apart else None


def _append(speech: ParsedTranscript, words: Sequence[SpokenWord]) -> None:
    if not words:
        return
    if not speech.segments:
        speech.segments.append(SpokenSegment(words[0].start, words[-1].end))
    segment = speech.segments[-1]
    segment.words = [*segment.words, *words]
    segment.text = join_words(segment.words)


def _prepend(speech: ParsedTranscript, words: Sequence[SpokenWord]) -> None:
    if not words:
        return
    if not speech.segments:
        speech.segments.append(SpokenSegment(words[0].start, words[-1].end))
    segment = speech.segments[0]
    segment.words = [*words, *segment.words]
    segment.text = join_words(segment.words)


def _middle(word: SpokenWord) -> float:
    return (word.start + word.end) / 2
