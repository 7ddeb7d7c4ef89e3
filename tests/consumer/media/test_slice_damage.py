"""What is missing of a slice is seen, by its own bytes or by those of the next one; what is not is not flagged."""

import functools
import struct
from pathlib import Path

import numpy as np
import pytest

from consumer.media.decode import SAMPLE_RATE, DecodedAudio, decode
from consumer.media.formats.base import StreamContext
from consumer.media.formats.webm.walk import Block, walk
from consumer.media.inspect import inspect
from shared.errors import PermanentJobError

SAMPLES = Path(__file__).parents[3] / "samples" / "two_cities"
PACKET_SECONDS = 0.06


def chunk(number: int, kind: str = "timeslice") -> bytes:
    return (SAMPLES / kind / f"chunk-{number:03d}.webm").read_bytes()


@functools.cache
def real_header() -> bytes:
    header = inspect(chunk(1)).header
    assert header is not None
    return header


def outcome(data: bytes, surroundings: StreamContext) -> DecodedAudio | str:
    try:
        return decode(data, chunk_seconds=5, surroundings=surroundings)
    except PermanentJobError as error:
        return error.reason


def blocks_of(number: int) -> list[Block]:
    """The blocks of a slice from the second on, as offsets into it."""
    return walk(chunk(number)).blocks


@pytest.mark.parametrize(("kept", "verdict"), [(80, "whole"), (60, "partial"), (30, "audio-damaged")])
def test_given_a_slice_cut_between_two_blocks_when_the_next_chunk_begins_later_then_what_is_missing_is_seen(
    kept: int, verdict: str
) -> None:
    data = chunk(4)[: blocks_of(4)[kept - 1].begin]

    alone = decode(data, chunk_seconds=5, surroundings=StreamContext(header=real_header()))
    result = outcome(data, StreamContext(header=real_header(), after=chunk(5)))

    # Nothing in the slice itself tells it from that of a recorder that was stopped.
    assert alone.partial is None
    assert alone.seconds == pytest.approx(kept * PACKET_SECONDS)
    if isinstance(result, str):
        assert result == verdict
    elif result.partial is None:
        assert verdict == "whole"
    else:
        assert verdict == "partial"
        assert result.partial.decoded_seconds == pytest.approx(kept * PACKET_SECONDS)
        assert result.partial.expected_seconds == pytest.approx(5.04, abs=0.061)


@pytest.mark.parametrize(("share", "verdict"), [(0.7, "partial"), (0.3, "audio-damaged")])
def test_given_a_slice_cut_within_a_block_then_it_does_not_pass_for_whole(share: float, verdict: str) -> None:
    data = chunk(4)[: int(len(chunk(4)) * share)]

    for after in (b"", chunk(5)):
        result = outcome(data, StreamContext(header=real_header(), after=after))
        assert (result if isinstance(result, str) else "partial" if result.partial else "whole") == verdict


def test_given_a_short_slice_that_ends_properly_then_it_is_not_flagged_for_its_length() -> None:
    """A recorder that is stopped or reconnects leaves one, so a length unlike the neighbours' is no damage."""
    audio = decode(chunk(10), chunk_seconds=5, surroundings=StreamContext(header=real_header(), after=chunk(1)))

    assert audio.seconds == pytest.approx(0.66)
    assert audio.partial is None


def test_given_a_clock_that_jumps_between_whole_blocks_then_the_pause_is_neither_damage_nor_silence() -> None:
    data = bytearray(chunk(4))
    for block in blocks_of(4)[40:]:
        (offset,) = struct.unpack_from(">h", data, block.header + 1)
        struct.pack_into(">h", data, block.header + 1, offset + 20_000)

    audio = decode(bytes(data), chunk_seconds=5, surroundings=StreamContext(header=real_header()))

    assert audio.seconds == pytest.approx(5.04)
    assert audio.partial is None


@pytest.mark.parametrize("place", [0.1, 0.37, 0.5, 0.8])
@pytest.mark.parametrize("kind", ["restart", "timeslice"])
def test_given_200_spoilt_bytes_then_no_more_than_two_packets_are_lost_and_the_rest_is_heard_at_its_time(
    kind: str, place: float
) -> None:
    data = chunk(4, kind)
    around = StreamContext(header=real_header())
    good = decode(data, chunk_seconds=5, surroundings=around)
    block = next(block for block in walk(data).blocks if block.begin > place * len(data))
    at = block.begin - 20  # the end of a block and the header of the next one, where FFmpeg's demuxer gives up

    audio = decode(data[:at] + b"\x55" * 200 + data[at + 200 :], chunk_seconds=5, surroundings=around)

    assert audio.partial is None
    assert audio.seconds == pytest.approx(good.seconds, abs=0.01)  # silence stands in for what is lost
    behind = round((block.seconds - walk(data).blocks[0].seconds + 0.4) * SAMPLE_RATE)
    assert np.corrcoef(audio.samples[behind:], good.samples[behind:])[0, 1] > 0.99
