import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.media.formats.webm.resync import continues_a_stream, next_block
from consumer.media.formats.webm.walk import WebmStructure, walk
from tests.faults.fuzz.budget import bounded

SAMPLES = Path(__file__).parents[5] / "samples" / "two_cities"
OPEN_SIZE = b"\x01" + b"\xff" * 7
BLOCK_MS = 60


def element(identity: int, payload: bytes, *, open_size: bool = False) -> bytes:
    size = OPEN_SIZE if open_size else (0x10000000 | len(payload)).to_bytes(4, "big")
    return identity.to_bytes((identity.bit_length() + 7) // 8, "big") + size + payload


def block(milliseconds: int, *, track: int = 1, filling: bytes = b"\x55" * 40) -> bytes:
    return element(0xA3, bytes([0x80 | track]) + struct.pack(">h", milliseconds) + b"\x80" + filling)


def block_group(milliseconds: int) -> bytes:
    body = b"\x81" + struct.pack(">h", milliseconds) + b"\x00" + b"\x55" * 40
    return element(0xA0, element(0xA1, body) + element(0x9B, b"\x3c"))


def cluster(start: int, *blocks: bytes, open_size: bool = False) -> bytes:
    return element(0x1F43B675, element(0xE7, start.to_bytes(4, "big")) + b"".join(blocks), open_size=open_size)


def track(number: int, kind: int) -> bytes:
    codec = element(0x86, b"A_OPUS")
    return element(0xAE, element(0xD7, bytes([number])) + element(0x83, bytes([kind])) + codec)


def stream(
    *clusters: bytes, duration_ms: float | None = None, scale: int = 1_000_000, open_size: bool = False
) -> bytes:
    info = element(0x2AD7B1, scale.to_bytes(4, "big"))
    if duration_ms is not None:
        info += element(0x4489, struct.pack(">d", duration_ms))
    head = element(0x1A45DFA3, element(0x4282, b"webm"))
    tracks = element(0x1654AE6B, track(1, 2) + track(2, 1))
    return head + element(0x18538067, element(0x1549A966, info) + tracks + b"".join(clusters), open_size=open_size)


def blocks(count: int) -> list[bytes]:
    return [block(number * BLOCK_MS) for number in range(count)]


def times(found: WebmStructure) -> tuple[float, float]:
    """When the first and the last block are heard."""
    return found.blocks[0].seconds, found.blocks[-1].seconds


def slice_of(number: int) -> bytes:
    return (SAMPLES / "timeslice" / f"chunk-{number:03d}.webm").read_bytes()


def test_that_a_whole_stream_gives_its_duration_and_the_times_of_its_blocks() -> None:
    found = walk(stream(cluster(0, *blocks(5)), cluster(300, *blocks(5)), duration_ms=600))

    assert (found.declared_seconds, len(found.blocks)) == (0.6, 10)
    assert times(found) == (0.0, 0.54)
    assert found.block_seconds == pytest.approx(0.06)
    assert not found.truncated
    assert not found.damaged


def test_that_times_follow_the_timestamp_scale_of_the_stream() -> None:
    found = walk(stream(cluster(0, *blocks(3)), duration_ms=180, scale=2_000_000))

    assert (found.declared_seconds, found.blocks[-1].seconds) == (0.36, 0.24)


def test_that_segments_and_clusters_of_open_size_are_entered() -> None:
    live = stream(cluster(0, *blocks(4), open_size=True), cluster(5000, *blocks(2), open_size=True), open_size=True)

    found = walk(live)

    assert (len(found.blocks), found.blocks[-1].seconds) == (6, 5.06)
    assert found.declared_seconds is None
    assert not found.truncated


def test_that_blocks_in_groups_count_and_blocks_of_a_video_track_do_not() -> None:
    found = walk(stream(cluster(0, block_group(0), block_group(60), block(9000, track=2))))

    assert (len(found.blocks), found.blocks[-1].seconds) == (2, 0.06)


@pytest.mark.parametrize("duration", [float("nan"), float("inf"), -1.0, 0.0])
def test_that_a_duration_that_is_no_length_of_time_counts_as_none(duration: float) -> None:
    assert walk(stream(cluster(0, *blocks(2)), duration_ms=duration)).declared_seconds is None


def test_that_a_stream_cut_in_a_block_is_truncated_and_reaches_the_time_of_that_block() -> None:
    whole = stream(cluster(0, *blocks(10), open_size=True), open_size=True)

    found = walk(whole[:-10])

    assert found.truncated
    assert not found.damaged
    assert (len(found.blocks), found.cut_seconds) == (9, 0.54)


def test_that_every_cut_of_a_stream_of_known_size_is_seen() -> None:
    whole = stream(cluster(0, *blocks(10)), duration_ms=600)
    head = len(element(0x1A45DFA3, element(0x4282, b"webm")))

    unseen = [at for at in range(1, len(whole)) if at != head and not walk(whole[:at]).truncated]

    assert unseen == []


def test_that_a_slice_of_a_live_stream_may_end_with_the_first_byte_of_the_next_element() -> None:
    live = stream(cluster(0, *blocks(10), open_size=True), open_size=True)

    found = walk(live + b"\xa3")

    assert (found.truncated, found.damaged) == (False, False)


@pytest.mark.parametrize("spoilt", [bytes(60), b"\xff" * 60, bytes(range(100, 160))])
def test_that_the_walk_goes_on_behind_bytes_that_are_no_element(spoilt: bytes) -> None:
    whole = stream(cluster(0, *blocks(20), open_size=True), open_size=True)
    at = len(whole) // 2

    found = walk(whole[:at] + spoilt + whole[at + len(spoilt) :])

    assert found.damaged
    assert not found.truncated
    assert found.blocks[-1].seconds == 19 * BLOCK_MS / 1000
    assert 17 <= len(found.blocks) < 20
    assert sum(block.lost_bytes > 0 for block in found.blocks) == 1


def test_that_spoilt_bytes_that_look_like_a_long_element_do_not_hide_the_blocks_behind_them() -> None:
    whole = stream(cluster(0, *blocks(40), open_size=True), open_size=True)
    at = walk(whole).blocks[10].begin

    for first in range(256):  # an id of one byte, and a size of two that takes twenty blocks
        spoilt = bytes([first, 0x44, 0x00]) + bytes(30)
        found = walk(whole[:at] + spoilt + whole[at + len(spoilt) :])
        assert len(found.blocks) >= 38


def test_that_an_unknown_element_between_blocks_is_skipped_without_taking_it_for_damage() -> None:
    unknown = element(0x7FFF, b"\x00" * 300)

    found = walk(stream(cluster(0, *blocks(3), unknown, block(180), block(240), open_size=True), open_size=True))

    assert (len(found.blocks), found.damaged) == (5, False)


def test_that_audio_that_looks_like_a_block_is_not_taken_for_the_next_one() -> None:
    lure = block(30_000, filling=b"")
    data = b"\x00" * 10 + lure + b"\x00" * 30 + block(60) + block(120)

    assert next_block(data, 0, frozenset({1})) == 10 + len(lure) + 30


@pytest.mark.parametrize("number", range(1, 11))
def test_that_chunks_of_a_restarted_recorder_are_whole(number: int) -> None:
    found = walk((SAMPLES / "restart" / f"chunk-{number:03d}.webm").read_bytes())

    assert (found.truncated, found.damaged) == (False, False)
    assert found.blocks[-1].seconds == found.declared_seconds == (0.9 if number == 10 else 4.92)


@pytest.mark.parametrize("number", range(2, 11))
def test_that_later_timeslices_continue_a_stream_and_keep_its_clock(number: int) -> None:
    data = slice_of(number)

    assert continues_a_stream(data)
    # 84 packets of 60 ms a slice; the first is beheaded, and the walk begins with the one behind it
    assert walk(data).blocks[0].seconds == pytest.approx((number - 1) * 84 * 0.06)


def test_that_a_stream_with_its_header_continues_none() -> None:
    assert not continues_a_stream(slice_of(1))


def test_that_a_slice_cut_anywhere_in_an_element_still_continues_a_stream() -> None:
    following = cluster(5000, *blocks(6), open_size=True)

    unrecognised = [at for at in range(len(following) - 2 * len(block(0))) if not continues_a_stream(following[at:])]

    assert unrecognised == []


def test_that_a_slice_of_a_single_beheaded_block_continues_a_stream() -> None:
    assert continues_a_stream(block(0)[1:])
    assert continues_a_stream(block(0)[1:] + b"\xa3")


@given(st.binary(max_size=400), st.binary(max_size=60), st.integers(0, 400))
def test_that_no_bytes_make_the_walk_fail_or_count_blocks_that_are_not_there(
    noise: bytes, spoilt: bytes, at: int
) -> None:
    whole = stream(cluster(0, *blocks(6)), duration_ms=360)

    found = walk(whole[:at] + spoilt + whole[at + len(spoilt) :])

    assert len(found.blocks) <= 6 + len(spoilt) // 6
    assert len(walk(noise).blocks) <= len(noise) // 6
    assert isinstance(continues_a_stream(noise), bool)


def test_that_a_group_which_reaches_into_the_next_one_gives_up_all_but_its_own_block() -> None:
    first, second = block_group(0), block_group(60)
    too_long = first.replace(first[1:5], (0x10000000 | (len(first) + len(second) - 5)).to_bytes(4, "big"), 1)
    data = stream(cluster(0, too_long, second))

    found = walk(data)

    assert [block.seconds for block in found.blocks] == [0.0, 0.06]
    assert found.blocks[0].end <= found.blocks[1].begin
    assert data[found.blocks[0].begin] == 0xA1
    assert found.damaged


def test_that_a_group_which_ends_within_its_block_is_not_believed() -> None:
    group = block_group(0)
    too_short = group.replace(group[1:5], (0x10000000 | 8).to_bytes(4, "big"), 1)

    found = walk(stream(cluster(0, too_short, *blocks(3))))

    assert found.blocks[0].header < found.blocks[0].end
    assert found.blocks[0].end - found.blocks[0].header == 44


def test_that_a_group_which_ends_within_the_element_behind_it_gives_up_all_but_its_own_block() -> None:
    first, second = block_group(0), block_group(60)
    too_long = first.replace(first[1:5], (0x10000000 | (len(first) + 1 - 5)).to_bytes(4, "big"), 1)
    data = stream(cluster(0, too_long, second))

    found = walk(data)

    assert [block.seconds for block in found.blocks] == [0.0, 0.06]
    assert [data[block.begin] for block in found.blocks] == [0xA1, 0xA0]


def test_that_a_duration_beyond_all_numbers_is_none() -> None:
    found = walk(stream(cluster(0, *blocks(3)), duration_ms=1.7e308))

    assert found.declared_seconds is None


def test_that_clusters_without_blocks_over_and_over_are_not_walked_from_each_of_them() -> None:
    data = element(0x1F43B675, b"\xe7\x80", open_size=True) * 20_000 + b"no element"

    assert bounded(lambda searched: next_block(searched, 0, frozenset()) is None, data)
