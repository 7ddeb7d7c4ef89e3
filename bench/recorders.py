"""Cuts a recording into chunks as recorders in browsers do, encoded anew.

Opus as Chromium makes it: 48 kHz, mono, packets of 60 ms, one encoder a recorder. So a chunk holds whole packets,
about five seconds, and nothing is lost between two chunks but what an encoder of its own costs: Opus hears 6.5 ms
late, and Chromium neither says so in the file nor waits for the rest when it stops.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from typing import Any, Final

import av
import numpy as np

from bench.speech import RATE
from bench.webm import Packet, sliced_stream, slices_of, whole_file

CHUNK_SECONDS: Final = 5
_PACKET_MS: Final = 60
_PACKET_SAMPLES: Final = RATE * _PACKET_MS // 1000
_BITS_A_SECOND: Final = 128_000


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk as recorded: its file, and where in the recording it begins and ends, in seconds."""

    data: bytes
    start: float
    end: float


def restart(
    samples: np.ndarray, chunk_seconds: float = CHUNK_SECONDS, bits_a_second: int = _BITS_A_SECOND
) -> list[Chunk]:
    """A recorder that is stopped and started anew for each chunk, which is a WebM file of its own."""
    step = int(chunk_seconds * 1000) // _PACKET_MS * _PACKET_SAMPLES
    pieces = [(at, samples[at : at + step]) for at in range(0, len(samples), step)]
    return [_chunk(whole_file(_opus(piece, bits_a_second)), at, at + len(piece)) for at, piece in pieces]


def timeslice(samples: np.ndarray, chunk_seconds: float = CHUNK_SECONDS) -> list[Chunk]:
    """One recorder with a timeslice: only the first chunk has a header, and later ones begin in mid-element."""
    # A block whose first byte ends a slice is counted to the next one, which has all the rest of it.
    slices = slices_of(_opus(samples), int(chunk_seconds * 1000))
    edges = [*(each[0].start_ms * RATE // 1000 for each in slices), len(samples)]
    spans = zip(sliced_stream(slices), edges, edges[1:], strict=False)
    return [_chunk(data, begin, end) for data, begin, end in spans]


def mp4(samples: np.ndarray, chunk_seconds: float = CHUNK_SECONDS) -> list[Chunk]:
    """A recorder that is stopped and started anew and writes AAC in MP4, as Safari's does."""
    step = int(chunk_seconds * RATE)
    pieces = [(at, samples[at : at + step]) for at in range(0, len(samples), step)]
    return [_chunk(_aac_file(piece), at, at + len(piece)) for at, piece in pieces]


RECORDERS: Final[Mapping[str, Callable[[np.ndarray], list[Chunk]]]] = {
    "restart": restart,
    "timeslice": timeslice,
    "mp4": mp4,
}
EXTENSIONS: Final[Mapping[str, str]] = {"restart": "webm", "timeslice": "webm", "mp4": "mp4"}


def _chunk(data: bytes, begin: int, end: int) -> Chunk:
    return Chunk(data, begin / RATE, end / RATE)


def _opus(samples: np.ndarray, bits_a_second: int = _BITS_A_SECOND) -> list[Packet]:
    """The packets of one encoder. A last packet that speech does not fill is filled with silence."""
    encoder: Any = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = RATE, "mono", "s16"
    encoder.bit_rate = bits_a_second
    encoder.options = {"frame_duration": str(_PACKET_MS), "application": "audio"}
    encoder.open()
    missing = -len(samples) % _PACKET_SAMPLES
    padded = np.concatenate([samples, np.zeros(missing, dtype=samples.dtype)])
    made = []
    for at in range(0, len(padded), _PACKET_SAMPLES):
        # Not flushed at the end: see the module's docstring.
        made += encoder.encode(_frame(padded[at : at + _PACKET_SAMPLES], at))
    return [Packet(bytes(packet), index * _PACKET_MS, _PACKET_MS) for index, packet in enumerate(made)]


def _aac_file(samples: np.ndarray) -> bytes:
    target = BytesIO()
    with av.open(target, "w", format="mp4") as container:
        stream: Any = container.add_stream("aac", rate=RATE, layout="mono")
        stream.bit_rate = _BITS_A_SECOND
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=RATE, frame_size=1024)
        frames: Sequence[Any] = [*resampler.resample(_frame(samples, 0)), *resampler.resample(None)]
        for frame in [*frames, None]:
            container.mux(stream.encode(frame))
    return target.getvalue()


def _frame(samples: np.ndarray, at: int) -> Any:
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[np.newaxis, :]), format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = RATE, at, Fraction(1, RATE)
    return frame
