"""Turns a chunk's bytes into samples, and sees to it that damage never passes for silence.

It is responsible for bringing the parts together and for the verdict; it must not know where the bytes come from or
what becomes of them. Damaged audio often decodes without an error to less audio, or to none, so what was decoded is
always compared with what the container, its packets and its structure promise.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from consumer.media.containers import Container, declared_bytes, is_cut_short
from consumer.media.ffmpeg import SAMPLE_RATE, Decoded, decode_stream
from consumer.media.formats.webm.coverage import cover
from consumer.media.formats.webm.rebuild import rebuild
from consumer.media.formats.webm.walk import walk
from consumer.media.slices import Source, StreamContext, seam, source_of
from shared.errors import PermanentJobError
from shared.formats.transcripts import PartialAudio

__all__ = ["SAMPLE_RATE", "DecodedAudio", "StreamContext", "decode", "judge"]

LONGEST_SECONDS: Final = 4 * 3600.0
"""More than any meeting, and 0.9 GB of samples: a small file can hold days of silence."""

_USABLE: Final = 0.5
_WHOLE: Final = 0.95
# Encoders declare up to this much that decoders drop (priming and padding: 23 ms of AAC, 26 ms of Opus; of MP3 at
# 16 kHz 1105 samples and a frame). It matters for the shortest chunks only, and is less than the 60 ms of one packet as
# Chromium writes them.
_CODEC_DELAY_SECONDS: Final = 0.05
_MP3_DELAY_SECONDS: Final = 0.11


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
    """Decode one chunk: a whole audio file, or a slice of a stream.

    Args:
        data: the chunk; its format is recognised by these bytes.
        chunk_seconds: what the recorder usually puts into a chunk; expected when `data` is cut off and says no better.
        surroundings: what the chunks around this one tell; a slice needs at least the header.
        max_seconds: how much audio there may be.

    Raises:
        PermanentJobError: `audio-empty`, `audio-not-audio`, `audio-headerless` (a slice without the header of its
            stream), `audio-no-audio-stream`, `audio-too-long`, or `audio-damaged` (less than half of the expected
            audio could be decoded).
    """
    source = source_of(data, surroundings)
    if source.container is Container.WEBM:
        decoded, expected = _decode_webm(source, surroundings, chunk_seconds, max_seconds)
    else:
        decoded = decode_stream(source.data, keep_time=False, max_seconds=max_seconds)
        _require_audio(decoded, cut=is_cut_short(source.data, source.container, sliced=source.sliced))
        expected = expected_seconds(source, decoded, chunk_seconds=chunk_seconds)
    delay = _MP3_DELAY_SECONDS if source.container is Container.MP3 else _CODEC_DELAY_SECONDS
    partial = judge(decoded.heard_seconds, expected, delay)
    seconds = len(decoded.samples) / SAMPLE_RATE
    return DecodedAudio(decoded.samples, seconds, partial, source.header_synthesised)


def judge(decoded: float, expected: float, delay: float = _CODEC_DELAY_SECONDS) -> PartialAudio | None:
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


def expected_seconds(source: Source, decoded: Decoded, *, chunk_seconds: float) -> float:
    """How many seconds of audio a file other than WebM should give: the most that any witness speaks for."""
    promised = [decoded.packet_seconds]
    if not source.sliced:  # the header in front of a slice speaks for the whole stream
        promised.append(decoded.declared_seconds)
    size = declared_bytes(source.data, source.container)
    if size is not None:
        promised.append(decoded.heard_seconds * size / len(source.data))
    elif decoded.corrupt or is_cut_short(source.data, source.container, sliced=source.sliced):
        promised.append(chunk_seconds)
    return max(promised) or chunk_seconds


def _decode_webm(
    source: Source, surroundings: StreamContext, chunk_seconds: float, max_seconds: float
) -> tuple[Decoded, float]:
    """What was decoded and how many seconds should have been.

    FFmpeg's demuxer drops a cluster from its first damaged element on, so it is given the whole blocks alone.
    """
    found = walk(source.data)
    coverage = cover(
        source.data,
        found,
        chunk_seconds=chunk_seconds,
        lost_in_front=source.lost_in_front,
        seam=seam(source, found, surroundings.after),
    )
    rebuilt = source.sliced or found.damaged
    data = rebuild(source.data, found, coverage.begins) if rebuilt else source.data
    decoded = decode_stream(data, keep_time=rebuilt, max_seconds=max_seconds)
    _require_audio(decoded, cut=found.truncated or found.damaged)
    return decoded, coverage.expected_seconds


def _require_audio(decoded: Decoded, *, cut: bool) -> None:
    """A whole file without audio is no damage; one that cannot be opened, or is cut before its audio, is."""
    if decoded.has_audio is False and not cut:
        raise PermanentJobError("audio-no-audio-stream", "the file has no audio stream")
