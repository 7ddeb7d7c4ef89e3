"""Parts a session's words into paragraphs at the pauses between them. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import ConfigDict, with_config

from shared.formats.transcripts import SpokenWord, join_words

_PAUSE_SECONDS: Final = 2.0
# From here on the end of a sentence will do, and after twice as long any small pause.
_LONG_SECONDS: Final = 45.0
_SMALL_PAUSE_SECONDS: Final = 0.5
_SENTENCE_ENDS: Final = (
    ".",
    "?",
    "!",
    "\u2026",
    "\u3002",
    "\uff1f",
    "\uff01",
)  # the last three as East Asian scripts write them


@with_config(ConfigDict())
@dataclass(slots=True)
class Paragraph:
    """Some sentences; times are seconds from the session's start."""

    start: float
    end: float
    text: str


def paragraphs(words: Sequence[SpokenWord]) -> list[Paragraph]:
    """The paragraphs that `words`, which are in order, make up."""
    return [Paragraph(part[0].start, part[-1].end, " ".join(join_words(part).split())) for part in _parts(words)]


def ends_sentence(word: str) -> bool:
    """Whether a sentence ends with this word."""
    return word.rstrip("\"'\u201d\u2019)").endswith(_SENTENCE_ENDS)


def _parts(words: Sequence[SpokenWord]) -> Iterator[list[SpokenWord]]:
    part: list[SpokenWord] = []
    for word in words:
        if part and _breaks(part, word):
            yield part
            part = []
        part.append(word)
    if part:
        yield part


def _breaks(part: Sequence[SpokenWord], word: SpokenWord) -> bool:
    pause = word.start - part[-1].end
    seconds = part[-1].end - part[0].start
    if pause >= _PAUSE_SECONDS:
        return True
    if seconds >= _LONG_SECONDS and ends_sentence(part[-1].word):
        return True
    return seconds >= 2 * _LONG_SECONDS and pause >= _SMALL_PAUSE_SECONDS
