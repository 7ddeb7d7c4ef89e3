"""Makes subtitles of a session's transcript: short lines for the screen, as SubRip and as WebVTT.

The lines are decided here, purely; the two formats are written by webvtt-py.
"""

import html
import io
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import webvtt

from shared.formats.transcripts import SpokenSegment, SpokenWord, join_words
from shared.session.paragraphs import ends_sentence

# What broadcasters' guides agree on: two lines of 42 characters, seven seconds at most, a second to be seen at all.
MAX_CHARACTERS: Final = 42
MAX_LINES: Final = 2
MAX_MS: Final = 7000
_MIN_MS: Final = 1000
_PAUSE_SECONDS: Final = 0.8
# A sentence's end makes a new cue only when the one before is worth looking at.
_WORTH_CHARACTERS: Final = 20
# SubRip has no way to write what its readers take for a tag.
_NO_TAGS: Final = str.maketrans("<>", "\u2039\u203a")


@dataclass(frozen=True, slots=True)
class Cue:
    """What is on the screen from `start_ms` to `end_ms`, milliseconds from the session's start."""

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]


def cues(segments: Sequence[SpokenSegment]) -> list[Cue]:
    """The cues of a session: in order, none longer than the limits, no two at the same time."""
    spans = [_span(part) for part in _parts(segments)]
    nexts = [*(start for start, _, _ in spans[1:]), None]
    found: list[Cue] = []
    earliest = 0
    for (start, end, text), following in zip(spans, nexts, strict=False):
        begin = max(start, earliest)
        # A short cue stays until it can be read, if the next one leaves the time.
        shown = max(end, begin + _MIN_MS)
        if following is not None:
            shown = min(shown, max(following, begin + 1))
        earliest = min(max(shown, begin + 1), begin + MAX_MS)
        found.append(Cue(begin, earliest, tuple(_lines(text))))
    return found


def subtitles(found: Sequence[Cue], kind: Literal["srt", "vtt"]) -> str:
    """The cues as a file of one of the two formats."""
    document = webvtt.WebVTT()
    document.captions.extend(
        webvtt.Caption(_timestamp(cue.start_ms), _timestamp(cue.end_ms), "\n".join(_escaped(cue.lines, kind)))
        for cue in found
    )
    target = io.StringIO()
    document.write(target, format=kind)
    return f"{target.getvalue()}\n" if found or kind == "vtt" else ""


def _parts(segments: Sequence[SpokenSegment]) -> Iterator[list[SpokenWord]]:
    """The words of each cue. A segment without words is spread out as if its words were evenly timed."""
    part: list[SpokenWord] = []
    text = ""
    for word in _words(segments):
        if part and _breaks(part, text, word):
            yield part
            part, text = [], ""
        part.append(word)
        text += word.word
    if part:
        yield part


def _words(segments: Sequence[SpokenSegment]) -> Iterator[SpokenWord]:
    for segment in segments:
        texts = ((word.word, word.start, word.end) for word in segment.words) if segment.words else _even(segment)
        for text, start, end in texts:
            # A word that no line can hold, such as an address spelled out, is broken.
            if len(text) <= MAX_CHARACTERS:
                if text.strip():
                    yield SpokenWord(text, start, end)
                continue
            for place, piece in enumerate(_lines(text.strip())):
                space = " " if place == 0 and text[:1].isspace() else ""
                yield SpokenWord(space + piece, start, end)


def _even(segment: SpokenSegment) -> Iterator[tuple[str, float, float]]:
    texts = segment.text.split()
    each = (segment.end - segment.start) / max(1, len(texts))
    for place, text in enumerate(texts):
        yield f" {text}", segment.start + place * each, segment.start + (place + 1) * each


def _breaks(part: Sequence[SpokenWord], text: str, word: SpokenWord) -> bool:
    if word.start - part[-1].end >= _PAUSE_SECONDS or (word.end - part[0].start) * 1000 > MAX_MS:
        return True
    if ends_sentence(text) and len(text) >= _WORTH_CHARACTERS:
        return True
    longer = (text + word.word).strip()
    return len(longer) > MAX_CHARACTERS and len(_lines(longer)) > MAX_LINES


def _lines(text: str) -> list[str]:
    return textwrap.wrap(text, MAX_CHARACTERS) if len(text) > MAX_CHARACTERS else [" ".join(text.split())]


def _span(part: Sequence[SpokenWord]) -> tuple[int, int, str]:
    return round(part[0].start * 1000), round(part[-1].end * 1000), join_words(part)


def _escaped(lines: Sequence[str], kind: Literal["srt", "vtt"]) -> Iterator[str]:
    for line in lines:
        yield html.escape(line, quote=False) if kind == "vtt" else line.translate(_NO_TAGS)


def _timestamp(milliseconds: int) -> str:
    seconds, ms = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}.{ms:03d}"
