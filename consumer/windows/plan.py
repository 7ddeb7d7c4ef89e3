"""Plans windows: what the model is given at once, so that every gap is heard whole with as few calls as possible.

A window is at most thirty seconds of a session's neighbouring chunks: a core, from its first gap to its last one, and
context on both sides, which the model hears but whose words are not kept. Everything here is pure. It knows numbers and
seconds, no audio, no jobs and no S3.

Why: Whisper encodes thirty seconds at a time whatever it is given, and a word that a chunk's border cuts in two is
heard on neither side.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import floor, inf
from typing import Final

from consumer.jobs.stages import ChunkWords
from shared.formats.transcripts import ContextWord, ContextWords, Segment, Suppressed, Word

# Durations are sums of floating-point numbers: six chunks of 5 s must not be longer than 30 s.
_ROUNDING: Final = 1e-6
# Enough to align the words with another transcription of the same seconds.
_CONTEXT_WORD_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of a window, in seconds.

    Attributes:
        window: the most that core and context last together.
        context: the most context on either side.
        least_context: what a core leaves room for on a side that has any audio, so that no core fills a window alone
            and words on its borders are heard whole.
    """

    window: float = 30.0
    context: float = 10.0
    least_context: float = 2.0


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk whose audio is at hand: its number, how long it really lasts, and whether it needs a transcript."""

    number: int
    seconds: float
    is_gap: bool


@dataclass(frozen=True, slots=True)
class WindowPart:
    """A stretch of one chunk's audio, in seconds from the chunk's start."""

    number: int
    begin: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class Window:
    """Neighbouring audio in order, and the numbers of the gaps in its core."""

    parts: tuple[WindowPart, ...]
    gaps: tuple[int, ...]

    @property
    def seconds(self) -> float:
        return sum(part.seconds for part in self.parts)

    @property
    def core_seconds(self) -> float:
        """From the begin of the first gap to the end of the last one."""
        return sum(part.seconds for part in self.parts if self.gaps[0] <= part.number <= self.gaps[-1])


def plan(chunks: Iterable[Chunk], limits: Limits) -> list[Window]:
    """The fewest windows that hold every gap in exactly one core, none of them longer than it has to be.

    Chunks may come in any order. Where a number is missing no window goes on, neither its core nor its context. A gap
    that is longer than a window gets one for itself, without context: the model takes it in steps.
    """
    windows: list[Window] = []
    for run in _runs(sorted(chunks, key=lambda chunk: chunk.number)):
        windows += _Strip(run, limits).windows()
    return windows


def _runs(chunks: Sequence[Chunk]) -> list[list[Chunk]]:
    runs: list[list[Chunk]] = [list(chunks[:1])]
    for before, chunk in pairwise(chunks):
        if chunk.number != before.number + 1:
            runs.append([])
        runs[-1].append(chunk)
    return runs


class _Strip:
    """One stretch of audio without a hole. Indices are those of its chunks, times are from its start."""

    def __init__(self, chunks: Sequence[Chunk], limits: Limits) -> None:
        self._chunks = chunks
        self._limits = limits
        self._starts = list(accumulate((chunk.seconds for chunk in chunks), initial=0.0))
        self._gaps = [index for index, chunk in enumerate(chunks) if chunk.is_gap]

    def windows(self) -> list[Window]:
        cores = self._cores(inf)
        # With the same number of windows, shorter cores leave more room for context: 3 and 3 gaps instead of 5 and 1.
        lengths = sorted({self._length(first, last) for first in self._gaps for last in self._gaps if first <= last})
        low, high = 0, len(lengths) - 1
        while low < high:
            middle = (low + high) // 2
            if len(self._cores(lengths[middle])) > len(cores):
                low = middle + 1
            else:
                high = middle
        return [self._window(core) for core in (self._cores(lengths[low]) if lengths else [])]

    def _cores(self, longest: float) -> list[list[int]]:
        """From the left, each core as long as fits. No other choice needs fewer: what fits also fits when shortened."""
        cores: list[list[int]] = []
        for gap in self._gaps:
            if cores and self._length(cores[-1][0], gap) <= longest and self._fits(cores[-1][0], gap):
                cores[-1].append(gap)
            else:
                cores.append([gap])
        return cores

    def _length(self, first: int, last: int) -> float:
        return self._starts[last + 1] - self._starts[first]

    def _fits(self, first: int, last: int) -> bool:
        left, right = self._around(first, last)
        least = self._limits.least_context
        needed = self._length(first, last) + min(least, left) + min(least, right)
        return needed <= self._limits.window + _ROUNDING

    def _around(self, first: int, last: int) -> tuple[float, float]:
        """The seconds of audio on both sides."""
        return self._starts[first], self._starts[-1] - self._starts[last + 1]

    def _window(self, core: Sequence[int]) -> Window:
        left, right = self._context(core[0], core[-1])
        begin, end = self._starts[core[0]] - left, self._starts[core[-1] + 1] + right
        parts = []
        for index, chunk in enumerate(self._chunks):
            start = self._starts[index]
            part = WindowPart(chunk.number, max(0.0, begin - start), min(chunk.seconds, end - start))
            if part.seconds > 0:
                parts.append(part)
        return Window(tuple(parts), tuple(self._chunks[index].number for index in core))

    def _context(self, first: int, last: int) -> tuple[float, float]:
        """As much as there is and as fits, shared evenly unless one side has less than its half."""
        room = max(0.0, self._limits.window - self._length(first, last))
        most_left, most_right = (min(self._limits.context, side) for side in self._around(first, last))
        left = min(most_left, room / 2)
        right = min(most_right, room - left)
        return min(most_left, room - right), right


def split_by_chunk(
    window: Window, segments: Sequence[Segment], suppressed: Sequence[Suppressed] = ()
) -> Mapping[int, ChunkWords]:
    """What of a window's transcription belongs to each gap in its core.

    A word belongs to the chunk that holds its midpoint, so each word of the core is given to exactly one chunk; its
    times are cut to that chunk. A suppressed segment is no text but an explanation, so every chunk that it touches
    gets it.

    Args:
        segments: in order, with times from the window's start and with words that make up their text.
    """
    spans = _spans(window)
    return {
        span.part.number: ChunkWords(
            tuple(cut for segment in segments if (cut := _cut(segment, span, spans))),
            tuple(_clip(each, span) for each in suppressed if each.start < span.end and each.end > span.start),
            _context_words(segments, span, spans, window),
        )
        for span in spans
        if span.part.number in window.gaps
    }


@dataclass(frozen=True, slots=True)
class _Span:
    """Where a part lies in the window, in seconds from the window's start."""

    part: WindowPart
    start: float
    end: float

    def local(self, seconds: float) -> float:
        """A window's time as the chunk's, within the chunk, in milliseconds."""
        inside = min(max(seconds - self.start, 0.0), self.part.seconds)
        return min(round(self.part.begin + inside, 3), floor(self.part.end * 1000) / 1000)


def _spans(window: Window) -> list[_Span]:
    starts = accumulate((part.seconds for part in window.parts), initial=0.0)
    return [_Span(part, start, start + part.seconds) for part, start in zip(window.parts, starts, strict=False)]


def _holder(seconds: float, spans: Sequence[_Span]) -> _Span:
    """Which part holds a time; a time behind the last one, as models give it, belongs to that one."""
    return next((span for span in spans if seconds < span.end), spans[-1])


def _cut(segment: Segment, span: _Span, spans: Sequence[_Span]) -> Segment | None:
    words = tuple(
        Word(word=word.word, start=span.local(word.start), end=span.local(word.end), probability=word.probability)
        for word in segment.words
        if _holder((word.start + word.end) / 2, spans) is span
    )
    return Segment.of_words(words) if words else None


def _context_words(
    segments: Sequence[Segment], span: _Span, spans: Sequence[_Span], window: Window
) -> ContextWords | None:
    """The words next to a chunk, on each side where the neighbour is not a gap of this window."""
    words = [word for segment in segments for word in segment.words]
    held = [(word, _holder((word.start + word.end) / 2, spans).start) for word in words]
    earliest, latest = span.start - _CONTEXT_WORD_SECONDS, span.end + _CONTEXT_WORD_SECONDS
    before = [word for word, holder in held if holder < span.start and word.end > earliest]
    after = [word for word, holder in held if holder > span.start and word.start < latest]
    zero, number = span.start - span.part.begin, span.part.number
    found = ContextWords(
        before=tuple(_moved(word, zero) for word in before if number - 1 not in window.gaps),
        after=tuple(_moved(word, zero) for word in after if number + 1 not in window.gaps),
    )
    return found if found.before or found.after else None


def _moved(word: Word, zero: float) -> ContextWord:
    return ContextWord(word=word.word, start=round(word.start - zero, 3), end=round(word.end - zero, 3))


def _clip(suppressed: Suppressed, span: _Span) -> Suppressed:
    return suppressed.model_copy(update={"start": span.local(suppressed.start), "end": span.local(suppressed.end)})
