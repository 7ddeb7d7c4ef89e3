"""The WebM that the bench writes, against the recordings of a real browser and against an independent reader."""

from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from bench.recorders import CHUNK_SECONDS, mp4, restart, timeslice
from bench.speech import RATE
from bench.webm import Packet, slices_of

SAMPLES = Path(__file__).parents[2] / "samples" / "two_cities"
SECONDS = 16


@pytest.fixture(scope="module")
def tone() -> np.ndarray:
    """A tone that rises, so that every moment is told from every other by its pitch."""
    time = np.arange(SECONDS * RATE) / RATE
    return (8000 * np.sin(2 * np.pi * (200 + 20 * time) * time)).astype(np.int16)


def decoded(data: bytes) -> np.ndarray:
    with av.open(BytesIO(data), "r") as container:
        frames: list[Any] = list(container.decode(audio=0))
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """The correlation of two waveforms, 1 for the same shape, at the best shift of up to 20 ms (encoders are late)."""
    spans = [other[late : late + len(one)] for late in range(RATE // 50)]
    return max(float(np.corrcoef(one[: len(span)], span)[0, 1]) for span in spans)


def test_each_chunk_of_a_restarted_recorder_is_a_file_with_its_own_part_of_the_sound(tone: np.ndarray) -> None:
    chunks = restart(tone)

    assert [round(chunk.start, 2) for chunk in chunks] == [0, 4.98, 9.96, 14.94]
    for chunk in chunks:
        heard = decoded(chunk.data)
        middle = int((chunk.start + chunk.end) / 2 * RATE)
        within = middle - int(chunk.start * RATE)
        assert len(heard) / RATE == pytest.approx(chunk.end - chunk.start, abs=0.06)
        assert likeness(tone[middle : middle + 2400], heard[within:]) > 0.95


def test_the_slices_of_one_recorder_joined_are_the_whole_recording(tone: np.ndarray) -> None:
    heard = decoded(b"".join(chunk.data for chunk in timeslice(tone)))

    assert len(heard) / RATE == pytest.approx(SECONDS, abs=0.06)
    for second in (1, 6, 12):
        at = second * RATE
        assert likeness(tone[at : at + 2400], heard[at:]) > 0.95


def test_slices_are_cut_where_the_browser_cuts_them(tone: np.ndarray) -> None:
    ours = [chunk.data for chunk in timeslice(tone)]
    theirs = [(SAMPLES / "timeslice" / f"chunk-{number:03d}.webm").read_bytes() for number in range(1, 5)]

    for mine, real in zip(ours, theirs, strict=True):
        # The id of a block ends a slice; behind it come a size of two bytes, the track and the time in its cluster.
        assert (mine[-1:] == real[-1:]) or mine is ours[-1]
        assert mine[:4] == real[:4] if mine is ours[0] else mine[2:5] == real[2:5]
        # The cluster that each begins shows the same time.
        assert cluster_time(mine) == cluster_time(real)


def cluster_time(data: bytes) -> bytes:
    at = data.index(b"\x1f\x43\xb6\x75\x01\xff\xff\xff\xff\xff\xff")
    return data[at + 12 : at + 12 + 4]


def test_a_later_slice_is_no_file_of_its_own(tone: np.ndarray) -> None:
    with pytest.raises((av.error.InvalidDataError, av.error.EOFError)):
        decoded(timeslice(tone)[1].data)


def test_a_stream_has_no_duration_and_a_file_has_one(tone: np.ndarray) -> None:
    with av.open(BytesIO(timeslice(tone)[0].data), "r") as stream, av.open(BytesIO(restart(tone)[0].data), "r") as file:
        assert (stream.duration, file.duration) == (None, 4_920_000)


def test_a_packet_that_comes_after_the_time_begins_the_next_slice() -> None:
    packets = [Packet(b"", start_ms, 60) for start_ms in range(0, 12_000, 60)]

    first, second, third = slices_of(packets, CHUNK_SECONDS * 1000)

    assert (len(first), len(second)) == (83, 84)  # what Chromium's recordings have
    assert [*first, *second, *third] == packets


def test_mp4_chunks_are_files_that_hold_all_of_the_sound(tone: np.ndarray) -> None:
    chunks = mp4(tone)

    assert chunks[0].data[4:8] == b"ftyp"
    assert sum(len(decoded(chunk.data)) for chunk in chunks) / RATE == pytest.approx(SECONDS, abs=0.1)
