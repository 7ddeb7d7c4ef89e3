"""Turns a chunk into samples, and makes sure that damage never passes for silence.

Damaged audio often decodes without an error to less audio, or to none, so what was decoded is always compared with what
the container, its packets and its structure promise.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from consumer.media.ffmpeg import SAMPLE_RATE, Decoded, decode_stream
from consumer.media.formats import recognise
from consumer.media.formats.base import NEXT_BYTES, InspectedChunk, Source, StreamContext
from consumer.media.inspect import inspect
from shared.errors import PermanentJobError
from shared.formats.transcripts import PartialAudio

__all__ = ["SAMPLE_RATE", "DecodedAudio", "StreamContext", "decode", "decode_chunk", "judge", "source_of"]

LONGEST_SECONDS: Final = 4 * 3600.0
"""More than any meeting, and 0.9 GB of samples: a small file can hold days of silence."""

_USABLE: Final = 0.5
_WHOLE: Final = 0.95


@dataclass(frozen=True, slots=True)
class DecodedAudio:
    """Mono samples at `SAMPLE_RATE` (float32, -1 to 1), their length, and what is missing when much of it is.

    Within damaged WebM, silence takes the place of what is lost, so that the rest is heard at its time.
    header_synthesised: the header of the stream was missing and made up.
    """

    samples: np.ndarray
    seconds: float
    partial: PartialAudio | None
    header_synthesised: bool = False


_ALONE: Final = StreamContext()


def decode(
    data: bytes, *, chunk_seconds: float, surroundings: StreamContext = _ALONE, max_seconds: float = LONGEST_SECONDS
) -> DecodedAudio:
    """Decode the bytes of one chunk: `decode_chunk` for those that nobody has inspected."""
    return decode_chunk(inspect(data), chunk_seconds=chunk_seconds, surroundings=surroundings, max_seconds=max_seconds)


def decode_chunk(
    chunk: InspectedChunk,
    *,
    chunk_seconds: float,
    surroundings: StreamContext = _ALONE,
    max_seconds: float = LONGEST_SECONDS,
) -> DecodedAudio:
    """Decode one chunk: a whole audio file, or a slice of a stream.

    Args:
        chunk: the chunk.
        chunk_seconds: what the recorder usually puts into a chunk; expected when one is cut off and says no better.
        surroundings: what the chunks around this one tell; a slice needs at least the header.
        max_seconds: how much audio there may be.

    Raises:
        PermanentJobError: `audio-empty`, `audio-not-audio`, `audio-headerless` (a slice without the header of its
            stream), `audio-no-audio-stream`, `audio-too-long`, or `audio-damaged` (less than half of the expected
            audio could be decoded).
    """
    source = source_of(chunk, surroundings)
    given = source.stream.decoder_input(source, _headless_front(surroundings.after), chunk_seconds)
    decoded = decode_stream(given.data, keep_time=given.keep_time, max_seconds=max_seconds)
    # A whole file without audio is no damage; one that cannot be opened, or is cut before its audio, is.
    if decoded.has_audio is False and not given.is_cut:
        raise PermanentJobError("audio-no-audio-stream", "the file has no audio stream")
    expected = given.expected_seconds
    if expected is None:
        expected = _expected_seconds(source, decoded, is_cut=given.is_cut, chunk_seconds=chunk_seconds)
    partial = judge(decoded.heard_seconds, expected, source.stream.decoder_delay_seconds)
    seconds = len(decoded.samples) / SAMPLE_RATE
    return DecodedAudio(decoded.samples, seconds, partial, source.header_synthesised)


def source_of(chunk: InspectedChunk, surroundings: StreamContext) -> Source:
    """A chunk as something that begins with a header: the stream's, if that is known and of the chunk's format.

    Raises:
        PermanentJobError: `audio-empty`, `audio-not-audio`, or `audio-headerless` (a slice without the header of its
            stream, and not one of the Opus packets for which a header can be made up).
    """
    header = surroundings.header
    fits = header is not None and recognise(header) is type(chunk)
    return chunk.source(header if fits else None, surroundings.before)


def judge(decoded: float, expected: float, delay: float = InspectedChunk.decoder_delay_seconds) -> PartialAudio | None:
    """What the share of audio that was decoded means; all in seconds.

    Args:
        decoded: what was heard.
        expected: what was promised.
        delay: how much of that a decoder may drop in any case.

    Returns:
        None when all of it is there, else both numbers.

    Raises:
        PermanentJobError: `audio-damaged`: nothing or less than half was decoded.
    """
    if decoded <= 0 or decoded < min(_USABLE * expected, expected - delay):
        raise PermanentJobError("audio-damaged", f"decoded {decoded:.2f} s of the {expected:.2f} s expected")
    if decoded >= min(_WHOLE * expected, expected - delay):
        return None
    return PartialAudio(expected_seconds=round(expected, 3), decoded_seconds=round(decoded, 3))


def _expected_seconds(source: Source, decoded: Decoded, *, is_cut: bool, chunk_seconds: float) -> float:
    """How many seconds the decoder's counts promise: the most that any witness speaks for."""
    promised = [decoded.packet_seconds]
    if not source.sliced:  # the header in front of a slice speaks for the whole stream
        promised.append(decoded.declared_seconds)
    size = source.stream.declared_bytes
    if size is not None:
        promised.append(decoded.heard_seconds * size / len(source.stream.data))
    elif decoded.corrupt or is_cut:
        promised.append(chunk_seconds)
    return max(promised) or chunk_seconds


def _headless_front(after: bytes) -> bytes:
    """The first bytes of the next chunk, unless it begins a file of its own."""
    front = after[:NEXT_BYTES]
    return b"" if recognise(front) is not None else front
