"""Decodes what FFmpeg can read to mono samples, packet by packet, so that a bad packet costs no more than itself.

It is responsible for decoding and counting; whether the result is enough is for `audio` to say.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from io import BytesIO
from typing import Final

import av
import av.logging
import numpy as np

from shared.errors import PermanentJobError

SAMPLE_RATE: Final = 16_000

# What FFmpeg's wrappers raise on bad bytes: its own errors (which include an EOFError), IndexError for a missing
# stream, ValueError for frames that change their format midway or a tag that is no text, ArithmeticError for a time
# base of zero.
_BAD_BYTES: Final = (av.error.FFmpegError, EOFError, IndexError, ValueError, ArithmeticError)
# A demuxer that fails this often in a row without a packet in between has nothing more to give.
_DEMUXER_FAILURES: Final = 16
# Times are in milliseconds or worse, and the shortest packet that recorders write is 20 ms long.
_SHORTEST_HOLE_SECONDS: Final = 0.015
# Frames are joined to parts of about a minute: as single arrays, those of hours would be a burden of their own.
_PART_SAMPLES: Final = 1 << 20


@dataclass(slots=True)
class Decoded:
    """What came out of one file.

    samples: mono at `SAMPLE_RATE`, float32, -1 to 1.
    silence_seconds: how much of them stands in for packets that are missing or could not be decoded.
    has_audio: whether the file could be opened and has an audio stream; None when it could not be opened.
    declared_seconds: the length by the file's header; 0 when it says none.
    packet_seconds: from the beginning of the first packet to the end of the last one.
    corrupt: the demuxer met bytes that it could not read.
    """

    samples: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))
    silence_seconds: float = 0.0
    has_audio: bool | None = None
    declared_seconds: float = 0.0
    packet_seconds: float = 0.0
    corrupt: bool = False

    @property
    def heard_seconds(self) -> float:
        """Seconds that were really decoded."""
        return len(self.samples) / SAMPLE_RATE - self.silence_seconds


def decode_stream(data: bytes, *, keep_time: bool, max_seconds: float) -> Decoded:
    """Decode the first audio stream of a whole file; bad bytes give fewer samples, never an exception.

    Args:
        data: the file, of a container that was recognised before.
        keep_time: fill with silence where the times of the packets leave a hole.
        max_seconds: how much audio there may be.

    Raises:
        PermanentJobError: `audio-too-long`.
    """
    # FFmpeg writes to stderr by itself, past our log; its errors reach us as exceptions.
    av.logging.set_level(None)
    decoded = Decoded()
    sink = _Sink(max_seconds)
    try:
        with av.open(BytesIO(data), mode="r", metadata_errors="ignore") as container:
            decoded.has_audio = bool(container.streams.audio)
            if decoded.has_audio:
                decoded.declared_seconds = _declared_seconds(container)
                _run(container, decoded, sink, keep_time=keep_time)
    except _BAD_BYTES:
        decoded.corrupt = True
    decoded.samples, decoded.silence_seconds = sink.finish()
    return decoded


def _run(container: "av.container.InputContainer", decoded: Decoded, sink: "_Sink", *, keep_time: bool) -> None:
    begin: Fraction | None = None
    end = Fraction(0)
    for packet in _packets(container, decoded):
        decoded.corrupt |= packet.is_corrupt
        if packet.pts is not None and packet.time_base is not None:
            begin = packet.pts * packet.time_base if begin is None else begin
            end = (packet.pts + (packet.duration or 0)) * packet.time_base
            decoded.packet_seconds = max(0.0, float(end - begin))
        try:
            for frame in packet.decode():
                sink.take(frame, keep_time=keep_time)
        except _BAD_BYTES:
            sink.miss(float((packet.duration or 0) * (packet.time_base or 0)))


def _packets(container: "av.container.InputContainer", decoded: Decoded) -> Iterator["av.Packet[av.AudioStream]"]:
    """All packets and the empty one that flushes the decoder.

    PyAV's generator ends with its first error, so that going on behind bad bytes takes a new one.
    """
    failures = 0
    while failures < _DEMUXER_FAILURES:
        try:
            for packet in container.demux(container.streams.audio[0]):
                failures = 0
                yield packet
        except _BAD_BYTES:
            decoded.corrupt = True
            failures += 1
        else:
            return


def _declared_seconds(container: "av.container.InputContainer") -> float:
    """The stream's duration; where it has none the container's, unless that may be a picture's longer one."""
    stream = container.streams.audio[0]
    if stream.duration is not None and stream.time_base is not None:
        return max(0.0, float(stream.duration * stream.time_base))
    if container.duration is None or container.streams.video:
        return 0.0
    return max(0.0, container.duration / av.time_base)


@dataclass(slots=True)
class _Sink:
    """Brings frames to one format and keeps them, in half the size of the samples that they become."""

    max_seconds: float
    parts: list[np.ndarray] = field(default_factory=list)
    loose: list[np.ndarray] = field(default_factory=list)
    loose_count: int = 0
    count: int = 0
    silent: float = 0.0
    missed: float = 0.0
    heard_until: float = 0.0
    resampler: "av.AudioResampler | None" = None
    format: tuple[str, str, int] | None = None

    def take(self, frame: "av.AudioFrame", *, keep_time: bool) -> None:
        if keep_time and frame.time is not None:
            self.missed = max(0.0, frame.time - self.heard_until)
            self.heard_until = max(self.heard_until, frame.time)
        if self.missed >= _SHORTEST_HOLE_SECONDS:
            self._resample(_silence(frame, self.missed))
            self.silent += self.missed
        self.missed = 0.0
        self.heard_until += frame.samples / frame.sample_rate
        self._resample(frame)

    def miss(self, seconds: float) -> None:
        """Remember that `seconds` could not be decoded, so that what follows is heard at its time."""
        self.missed += seconds

    def finish(self) -> tuple[np.ndarray, float]:
        """All samples and the seconds of silence among them."""
        self._flush()
        self._join()
        samples = np.empty(self.count, np.float32)
        at = self.count
        while self.parts:  # each part is let go of as soon as it is converted: hours of audio are held once, not twice
            part = self.parts.pop()
            at -= len(part)
            np.multiply(part, np.float32(1 / 32768), out=samples[at : at + len(part)])
        return samples, self.silent

    def _resample(self, frame: "av.AudioFrame") -> None:
        # Frames that change their format midway need a resampler of their own.
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self.format != kind:
            self._flush()
            self.resampler, self.format = av.AudioResampler("s16", "mono", SAMPLE_RATE), kind
        frame.pts = None  # the resampler would fill or drop by it
        self._keep(frame)

    def _flush(self) -> None:
        if self.resampler is not None:
            self._keep(None)
            self.resampler = None

    def _keep(self, frame: "av.AudioFrame | None") -> None:
        if self.resampler is None:
            return
        for part in self.resampler.resample(frame):
            self.loose.append(part.to_ndarray()[0])
            self.loose_count += part.samples
            self.count += part.samples
        if self.loose_count >= _PART_SAMPLES:
            self._join()
        if self.count > self.max_seconds * SAMPLE_RATE:
            raise PermanentJobError("audio-too-long", f"more than {self.max_seconds:.0f} s of audio")

    def _join(self) -> None:
        if self.loose:
            self.parts.append(np.concatenate(self.loose))
            self.loose, self.loose_count = [], 0


def _silence(like: "av.AudioFrame", seconds: float) -> "av.AudioFrame":
    frame = av.AudioFrame(like.format.name, like.layout.name, round(seconds * like.sample_rate))
    frame.sample_rate = like.sample_rate
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    return frame
