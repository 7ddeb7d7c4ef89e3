"""Where each chunk lies in its session, and what the times in its transcript count from.

Pure. A session's time is the sum of its chunks' audio: a chunk that is missing adds none, because nothing is known of
it. Batch times count from the chunk's start. Live ones may count from the session's, and no field says which; that is
decided once for the whole session, by where the times lie.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import median
from typing import Final, Literal

from shared.formats.transcripts import ParsedTranscript

LiveTimes = Literal["chunk", "session"]

# No recording has more chunks; a number above this is no count of them, and may be too large to calculate with.
_MAX_CHUNKS: Final = 10**9
# How far times may overshoot a chunk and still be only imprecise; beyond it they are on another clock.
_OVERSHOOT_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Timeline:
    """Times in seconds from the session's start, an entry a chunk.

    Attributes:
        origins: what the times in each chunk's transcript count from.
        estimated: chunks whose duration nobody measured.
    """

    starts: tuple[float, ...]
    seconds: tuple[float, ...]
    origins: tuple[float, ...]
    live_times: LiveTimes
    estimated: int

    @property
    def total(self) -> float:
        return self.starts[-1] + self.seconds[-1] if self.starts else 0.0


def lay_out(chunks: Sequence[str], speech: Sequence[ParsedTranscript | None], chunk_seconds: float) -> Timeline:
    """The timeline of a session.

    Args:
        chunks: the numbers as spelled, in order.
        speech: what was heard in each; `None` where there is no usable transcript.
        chunk_seconds: the length of a chunk when not one of the session's is known.
    """
    known = [each.seconds if each else None for each in speech]
    usual = _usual(known, chunk_seconds)
    seconds = tuple(each or usual for each in known)
    starts = tuple(accumulate(seconds, initial=0.0))[: len(seconds)]
    live_times, live_origins = _live_clock(chunks, speech, starts, seconds, chunk_seconds)
    origins = tuple(
        start if each is None or each.source == "batch" else live
        for each, start, live in zip(speech, starts, live_origins, strict=True)
    )
    fitted = tuple(
        _fitted(each, origin, start, length)
        for each, origin, start, length in zip(speech, origins, starts, seconds, strict=True)
    )
    return Timeline(starts, seconds, fitted, live_times, sum(each is None for each in known))


def _usual(known: Sequence[float | None], chunk_seconds: float) -> float:
    """The session's usual length of a chunk. A recording's last one is shorter than the others, so it has no say."""
    measured = [each for each in known[:-1] if each] or [each for each in known if each]
    return median(measured) if measured else chunk_seconds


def _live_clock(
    chunks: Sequence[str],
    speech: Sequence[ParsedTranscript | None],
    starts: Sequence[float],
    seconds: Sequence[float],
    chunk_seconds: float,
) -> tuple[LiveTimes, Sequence[float]]:
    """What live times count from: the clock by which the words lie nearest to the chunks that they came in.

    A recorder that counts from the session's start goes by the audio so far or by the number of chunks. No transcript
    counts for more than a chunk's length, so that a few with odd times do not decide; without evidence it is the
    chunk's start, as in batch.
    """
    first = int(chunks[0]) if chunks else 0
    counted = [min(int(chunk) - first, _MAX_CHUNKS) * chunk_seconds for chunk in chunks]
    clocks: list[tuple[LiveTimes, Sequence[float], Sequence[float]]] = [
        ("chunk", starts, [0.0] * len(chunks)),
        ("session", [0.0] * len(chunks), starts),
        # The last chunks of a long session are minutes off by the other clock: what counts is the chunk's own place.
        ("session", [start - count for start, count in zip(starts, counted, strict=True)], counted),
    ]
    live = [at for at, each in enumerate(speech) if each and each.source == "live" and each.segments]

    def distance(expected: Sequence[float]) -> float:
        return sum(min(seconds[at], _outside(speech[at], expected[at], seconds[at])) for at in live)

    name, origins, _ = min(clocks, key=lambda clock: distance(clock[2]))
    return name, origins


def _span(speech: ParsedTranscript) -> tuple[float, float]:
    return speech.segments[0].start, max(segment.end for segment in speech.segments)


def _outside(speech: ParsedTranscript | None, begin: float, seconds: float) -> float:
    """How far a chunk's words lie outside of the span of `seconds` from `begin`; 0 when within."""
    if speech is None:
        return 0.0
    first, last = _span(speech)
    return max(0.0, begin - first, last - (begin + seconds))


def _fitted(speech: ParsedTranscript | None, origin: float, start: float, seconds: float) -> float:
    """The origin moved so far that the words lie in their chunk, when they are not merely imprecise."""
    if speech is None or not speech.segments:
        return origin
    first, last = (origin + time for time in _span(speech))
    early, late = start - first, last - (start + seconds)
    if max(early, late) <= _OVERSHOOT_SECONDS:
        return origin
    return origin + (early if early > 0 else -min(late, first - start))
