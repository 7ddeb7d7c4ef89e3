"""Mends the seams between chunks: words heard on both sides, and halves of a word beside the whole one.

Pure. Where a worker noted what it heard beyond the seam, `shared.session.overlap` lays the two hearings together. Else
only what the two chunks have is known: then words are taken away and none are put in. Speech repeats itself ("no, no"),
so equal words alone prove nothing: both copies have to touch the seam, and together they must not last longer than one
word does.
"""

from collections.abc import Sequence
from typing import Final

from shared.formats.transcripts import ParsedTranscript, SpokenWord
from shared.session.overlap import mend_overlap, plain, remove

# How far from the seam a word can still be one that was heard twice.
_NEAR_SECONDS: Final = 1.0
_MAX_WORDS: Final = 8
# Two hearings of the same words differ by less than this. Said twice, two words or more are further apart.
_SAME_SECONDS: Final = 0.4
# A worker cuts a word that crosses the seam to end right there. What heard the chunk alone is less exact.
_TOUCH_SECONDS: Final = {"batch": 0.05, "live": 0.25}
# A slow speaker's word: some time for itself, and some for each letter.
_WORD_SECONDS: Final = 0.2
_LETTER_SECONDS: Final = 0.08
# Shorter pieces are words of their own: "this | is" is no "this" heard twice.
_SHORTEST_PIECE: Final = 3


def mend_seam(before: ParsedTranscript, after: ParsedTranscript, seam: float) -> int:
    """Mend what two neighbouring chunks say where they meet; returns how many words that put in or took out.

    Args:
        before: its times and those of `after` are in seconds from the session's start.
        seam: where the one ends and the other begins.
    """
    mended = mend_overlap(before, after, seam)
    if mended is not None:
        return mended
    tail = [word for segment in before.segments[-2:] for word in segment.words if word.end > seam - _NEAR_SECONDS]
    head = [word for segment in after.segments[:2] for word in segment.words if word.start < seam + _NEAR_SECONDS]
    doubled = _doubled(tail, head)
    if doubled:
        return _take_side(before, after, tail[-doubled:], head[:doubled], seam)
    if not tail or not head or not _touch(before, tail[-1], after, head[0], seam):
        return 0
    return _mend_word(before, after, tail[-1], head[0])


def _doubled(tail: Sequence[SpokenWord], head: Sequence[SpokenWord]) -> int:
    """How many words, two at least, end the one side and begin the other at the same time."""
    for count in range(min(len(tail), len(head), _MAX_WORDS), 1, -1):
        pairs = list(zip(tail[-count:], head[:count], strict=True))
        if all(plain(one.word) and plain(one.word) == plain(other.word) for one, other in pairs) and all(
            abs(_middle(one) - _middle(other)) <= _SAME_SECONDS for one, other in pairs
        ):
            return count
    return 0


def _take_side(
    before: ParsedTranscript,
    after: ParsedTranscript,
    tail: Sequence[SpokenWord],
    head: Sequence[SpokenWord],
    seam: float,
) -> int:
    """Of words that both sides have whole, keep those of the side that lies where they were said."""
    middle = (tail[0].start + head[-1].end) / 2
    if middle < seam:
        remove(after, head)
    else:
        remove(before, tail)
    return len(tail)


def _touch(before: ParsedTranscript, last: SpokenWord, after: ParsedTranscript, first: SpokenWord, seam: float) -> bool:
    return last.end >= seam - _TOUCH_SECONDS[before.source] and first.start <= seam + _TOUCH_SECONDS[after.source]


def _mend_word(before: ParsedTranscript, after: ParsedTranscript, last: SpokenWord, first: SpokenWord) -> int:
    """Of a word heard on both sides keep one, and of a word and a piece of it the word, over the time of both."""
    one, other = plain(last.word), plain(first.word)
    longer = max(one, other, key=len)
    if not one or not other or first.end - last.start > _WORD_SECONDS + _LETTER_SECONDS * len(longer):
        return 0
    if one == other:
        # A worker heard it with what stands around it.
        keep_last = before.source == "batch" or after.source == "live"
    elif before.source == "live" and len(one) >= _SHORTEST_PIECE and other.startswith(one):
        keep_last = False
    elif after.source == "live" and len(other) >= _SHORTEST_PIECE and one.endswith(other):
        keep_last = True
    else:
        return 0
    if keep_last:
        last.end = max(last.end, first.end)
        remove(after, [first])
    else:
        first.start = min(first.start, last.start)
        remove(before, [last])
    return 1


def _middle(word: SpokenWord) -> float:
    return (word.start + word.end) / 2
