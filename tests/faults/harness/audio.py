"""Coded audio: recordings that say by themselves, sample by sample, which session, chunk and slot they are.

A chunk lasts five seconds and has ten slots of half a second. Each slot begins with its code, a few exact samples, and
goes on with a constant. The file is FLAC, which loses nothing, so that decoding gives back the codes whatever windows
were cut. What a slot says is known from its code alone: a transcript that holds a word of another chunk shows it.

It makes and reads audio. It must not know the fleet.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import Final

import av
import numpy as np

SAMPLE_RATE: Final = 16_000
SLOT_SECONDS: Final = 0.5
SLOTS: Final = 10
CHUNK_SECONDS: Final = SLOTS * SLOT_SECONDS

_SLOT_SAMPLES: Final = int(SLOT_SECONDS * SAMPLE_RATE)
_MARK: Final = (-21_555, 21_555, -10_923)
_CODE_SAMPLES: Final = len(_MARK) + 4
# Neither silence nor a value of any code: what a decoder fills in for lost audio is not taken for a whole slot.
_REST: Final = 1000
_MOST: Final = 32_767  # what a sample can hold
# Only the block with the code needs more than a constant, so short blocks keep the file at about 2 KB.
_BLOCK_SAMPLES: Final = 800


@dataclass(frozen=True, slots=True)
class Slot:
    """One whole slot, and where it begins in the samples that were read, in seconds."""

    session: int
    chunk: int
    number: int
    start: float

    @property
    def word(self) -> str:
        return word_of(self.session, self.chunk, self.number)


def word_of(session: int, chunk: int, slot: int) -> str:
    """What a slot says, such as `s3c17w4`."""
    return f"s{session}c{chunk}w{slot}"


def words_of(session: int, chunk: int) -> tuple[str, ...]:
    """What a chunk says: its right transcript."""
    return tuple(word_of(session, chunk, slot) for slot in range(SLOTS))


@cache
def coded_chunk(session: int, chunk: int) -> bytes:
    """A chunk's file: mono FLAC of 5.0 s at 16 kHz.

    Raises:
        ValueError: a number is none from 0 to 32767.
    """
    file = BytesIO()
    # FFmpeg would leave 8 KB of room for tags.
    with av.open(file, "w", format="flac", options={"metadata_header_padding": "0"}) as container:
        stream = container.add_stream(
            "flac", rate=SAMPLE_RATE, layout="mono", options={"frame_size": str(_BLOCK_SAMPLES)}
        )
        samples = coded_samples(session, chunk)
        for start in range(0, len(samples), _BLOCK_SAMPLES):
            frame = av.AudioFrame.from_ndarray(samples[None, start : start + _BLOCK_SAMPLES], "s16", "mono")
            frame.sample_rate = SAMPLE_RATE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def coded_samples(session: int, chunk: int) -> "np.ndarray":
    """A chunk's samples as int16."""
    if not (0 <= session <= _MOST and 0 <= chunk <= _MOST):
        raise ValueError(f"a sample cannot hold session {session} or chunk {chunk}")
    samples = np.full(SLOTS * _SLOT_SAMPLES, _REST, np.int16)
    for slot in range(SLOTS):
        code = (*_MARK, session, chunk, slot, _check(session, chunk, slot))
        samples[slot * _SLOT_SAMPLES :][:_CODE_SAMPLES] = code
    return samples


def is_coded(samples: "np.ndarray") -> bool:
    """Whether there is a code in the audio (float32, -1 to 1)."""
    return bool(len(_marks(_integers(samples))))


def read_slots(samples: "np.ndarray") -> tuple[Slot, ...]:
    """The whole slots in the audio (float32, -1 to 1, 16 kHz), in order; what is cut or damaged is left out."""
    return tuple(_slots(_integers(samples)))


def _slots(values: "np.ndarray") -> Iterator[Slot]:
    for start in _marks(values):
        slot = values[start : start + _SLOT_SAMPLES]
        if len(slot) < _SLOT_SAMPLES or np.any(slot[_CODE_SAMPLES:] != _REST):
            continue
        session, chunk, number, check = (int(value) for value in slot[len(_MARK) : _CODE_SAMPLES])
        if check == _check(session, chunk, number):
            yield Slot(session, chunk, number, int(start) / SAMPLE_RATE)


def _marks(values: "np.ndarray") -> "np.ndarray":
    """Where a code begins."""
    last = max(0, len(values) - len(_MARK) + 1)
    found = np.ones(last, bool)
    for offset, value in enumerate(_MARK):
        found &= values[offset : offset + last] == value
    return np.flatnonzero(found)


def _integers(samples: "np.ndarray") -> "np.ndarray":
    exact: np.ndarray = np.rint(samples * 32_768).astype(np.int32)
    return exact


def _check(session: int, chunk: int, slot: int) -> int:
    return (session * 31 + chunk * 7 + slot) % _MOST
