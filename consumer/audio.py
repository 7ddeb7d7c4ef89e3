"""Turns a chunk's bytes into samples, and sees to it that damage never passes for silence.

It is responsible for recognising, decoding and measuring; it must not know where the bytes come from or what becomes
of them. Damaged audio often decodes without an error to less audio, or to none, so what was decoded is always
compared with what the container, its packets and its structure promise.
"""

from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from typing import Final

import av
import av.logging
import numpy as np
from faster_whisper.audio import decode_audio

from consumer.containers import Container, declared_bytes, describe_stranger, is_cut_short, recognise
from consumer.webm import continues_a_stream, walk
from shared.errors import PermanentJobError
from shared.transcripts import PartialAudio

SAMPLE_RATE: Final = 16_000

_USABLE: Final = 0.5
_WHOLE: Final = 0.95
# Encoders declare up to this much that decoders drop (priming and padding: 23 ms of AAC, 26 ms of MP3, 6 ms of Opus).
# It matters for the shortest chunks only, and is less than the 60 ms of one packet as Chromium writes them.
_CODEC_DELAY_SECONDS: Final = 0.05

# What FFmpeg's wrappers raise on bad bytes: its own errors (which include an EOFError), IndexError for a missing
# stream, ValueError for frames that change their format midway or a tag that is no text, ArithmeticError for a time
# base of zero.
_BAD_BYTES: Final = (av.error.FFmpegError, EOFError, IndexError, ValueError, ArithmeticError)


@dataclass(frozen=True, slots=True)
class DecodedAudio:
    """Mono samples at `SAMPLE_RATE` (float32, -1 to 1), their length, and what is missing when much of it is."""

    samples: np.ndarray
    seconds: float
    partial: PartialAudio | None


@dataclass(frozen=True, slots=True)
class Packets:
    """What FFmpeg's demuxer says of the audio: seconds declared and seconds of packets, before anything is decoded."""

    declared_seconds: float = 0.0
    seconds: float = 0.0
    corrupt: bool = False


def decode(data: bytes, *, chunk_seconds: float) -> DecodedAudio:
    """Decode one whole audio file.

    Args:
        data: the file; its format is recognised by these bytes.
        chunk_seconds: what the recorder usually puts into a chunk; expected when `data` is cut off and says no better.

    Raises:
        PermanentJobError: `audio-empty`, `audio-not-audio`, `audio-headerless` (a later slice of a WebM stream),
            `audio-no-audio-stream`, or `audio-damaged` (less than half of the expected audio could be decoded).
    """
    container = _recognised(data)
    # FFmpeg writes to stderr by itself, past our log; its errors reach us as exceptions.
    av.logging.set_level(None)
    packets = _demux(data, container)
    samples = _samples(data)
    seconds = len(samples) / SAMPLE_RATE
    expected = expected_seconds(data, container, packets, decoded=seconds, chunk_seconds=chunk_seconds)
    return DecodedAudio(samples, seconds, judge(seconds, expected))


def judge(decoded: float, expected: float) -> PartialAudio | None:
    """What the share of audio that was decoded means; both in seconds.

    Returns:
        None when all of it is there, else both numbers.

    Raises:
        PermanentJobError: `audio-damaged`: nothing or less than half was decoded.
    """
    if decoded <= 0 or decoded < _USABLE * expected:
        raise PermanentJobError("audio-damaged", f"decoded {decoded:.2f} s of the {expected:.2f} s expected")
    if decoded >= min(_WHOLE * expected, expected - _CODEC_DELAY_SECONDS):
        return None
    return PartialAudio(expected_seconds=round(expected, 3), decoded_seconds=round(decoded, 3))


def expected_seconds(
    data: bytes, container: Container, packets: Packets, *, decoded: float, chunk_seconds: float
) -> float:
    """How many seconds of audio there should be: the most that any witness speaks for."""
    if container is Container.WEBM:
        return _expected_of_webm(data, packets, chunk_seconds)
    promised = [packets.declared_seconds, packets.seconds]
    size = declared_bytes(data, container)
    if size is not None:
        promised.append(decoded * size / len(data))
    elif packets.corrupt or is_cut_short(data, container):
        promised.append(chunk_seconds)
    return max(promised) or chunk_seconds


def _expected_of_webm(data: bytes, packets: Packets, chunk_seconds: float) -> float:
    """FFmpeg gives up at the first damaged element of a cluster, so the walker's last block is a witness of its own.

    A declared duration stands at the front and survives a cut, so `chunk_seconds` is only for streams without one.
    """
    structure = walk(data)
    declared = structure.declared_seconds or 0.0
    promised = [packets.declared_seconds, packets.seconds, declared]
    if structure.last_block_seconds is not None and structure.first_block_seconds is not None:
        # Behind damage the first block found need not be the first one, so a stream counts from zero there.
        begin = 0.0 if structure.damaged else structure.first_block_seconds
        promised.append(structure.last_block_seconds - begin + structure.block_seconds)
    if structure.truncated:
        # Chromium declares the time at which the last block begins, so a lost one would not be missed.
        promised.append(declared + structure.block_seconds if declared else chunk_seconds)
    return max(promised) or chunk_seconds


def _recognised(data: bytes) -> Container:
    if not data:
        raise PermanentJobError("audio-empty", "the object holds no bytes")
    container = recognise(data)
    if container is not None:
        return container
    looks_like = describe_stranger(data)
    if looks_like == "data of no known format" and continues_a_stream(data):
        raise PermanentJobError(
            "audio-headerless",
            "a slice of a longer WebM stream, which cannot be decoded without the first chunk of its session",
        )
    raise PermanentJobError("audio-not-audio", f"{looks_like} instead of audio")


def _demux(data: bytes, container: Container) -> Packets:
    """Read all audio packets. A file that cannot be opened has none, nor has one that is cut before its audio.

    Raises:
        PermanentJobError: `audio-no-audio-stream`: a whole file, but without audio.
    """
    try:
        with av.open(BytesIO(data), mode="r", metadata_errors="ignore") as opened:
            if opened.streams.audio:
                return _read_packets(opened)
    except _BAD_BYTES:
        return Packets()
    if is_cut_short(data, container):
        return Packets()
    raise PermanentJobError("audio-no-audio-stream", "the file has no audio stream")


def _read_packets(container: "av.container.InputContainer") -> Packets:
    stream = container.streams.audio[0]
    declared = _declared_seconds(container)
    begin: Fraction | None = None
    end = Fraction(0)
    corrupt = False
    try:
        for packet in container.demux(stream):
            corrupt |= packet.is_corrupt
            if packet.pts is None or packet.time_base is None:
                continue
            begin = packet.pts * packet.time_base if begin is None else begin
            end = (packet.pts + (packet.duration or 0)) * packet.time_base
    except _BAD_BYTES:
        corrupt = True
    return Packets(declared, max(0.0, float(end - (begin or 0))), corrupt)


def _declared_seconds(container: "av.container.InputContainer") -> float:
    """The stream's duration; where it has none the container's, unless that may be a picture's longer one."""
    stream = container.streams.audio[0]
    if stream.duration is not None and stream.time_base is not None:
        return max(0.0, float(stream.duration * stream.time_base))
    if container.duration is None or container.streams.video:
        return 0.0
    return max(0.0, container.duration / av.time_base)


def _samples(data: bytes) -> np.ndarray:
    """All that can be decoded; none when nothing can. What that means is for `judge` to say."""
    try:
        samples: np.ndarray = decode_audio(BytesIO(data), sampling_rate=SAMPLE_RATE)
    except _BAD_BYTES:
        return np.empty(0, np.float32)
    return samples
