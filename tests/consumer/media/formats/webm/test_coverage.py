import pytest

from consumer.media.formats.webm.coverage import Coverage, Seam, cover
from consumer.media.formats.webm.walk import Block, WebmStructure

BLOCK_BYTES = 100


def structure(
    *times: float,
    lost: dict[int, int] | None = None,
    declared: float | None = None,
    truncated: bool = False,
    cut: float | None = None,
) -> WebmStructure:
    """Blocks of 100 bytes at the given times, with `lost` bytes in front of some of them."""
    blocks, at = [], 0
    for number, seconds in enumerate(times):
        lost_bytes = (lost or {}).get(number, 0)
        at += lost_bytes
        blocks.append(Block(at, at + 3, at + BLOCK_BYTES, seconds, lost_bytes))
        at += BLOCK_BYTES
    return WebmStructure(
        blocks=blocks,
        declared_seconds=declared,
        truncated=truncated,
        damaged=bool(lost),
        end_bytes=at,
        cut_seconds=cut,
        reached_seconds=max(times, default=0.0),
    )


def coverage(found: WebmStructure, *, lost_in_front: int = 0, seam: Seam | None = None, rubbish: int = 0) -> Coverage:
    data = bytes(found.end_bytes + rubbish)
    return cover(data, found, chunk_seconds=5, lost_in_front=lost_in_front, seam=seam or Seam())


def test_that_blocks_follow_each_other_from_zero_whatever_the_clock_says() -> None:
    result = coverage(structure(7.0, 7.1, 7.2))

    assert result.begins == pytest.approx([0, 0.1, 0.2])
    assert result.expected_seconds == pytest.approx(0.3)


def test_that_a_pause_of_the_recorder_is_no_loss() -> None:
    result = coverage(structure(0, 0.1, 0.2, 60.2, 60.3))

    assert result.begins == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert result.expected_seconds == pytest.approx(0.5)


def test_that_lost_bytes_are_a_hole_as_long_as_the_clock_says() -> None:
    result = coverage(structure(0, 0.1, 0.5, 0.6, lost={2: 300}))

    assert result.begins == pytest.approx([0, 0.1, 0.5, 0.6])
    assert result.expected_seconds == pytest.approx(0.7)


@pytest.mark.parametrize("spoilt", [0.0, 9_000.0])
def test_that_a_hole_is_measured_by_its_bytes_when_the_clock_is_spoilt(spoilt: float) -> None:
    result = coverage(structure(1.0, 1.1, 1.2, spoilt, spoilt + 0.1, lost={3: 200}))

    assert result.begins == pytest.approx([0, 0.1, 0.2, 0.5, 0.6])
    assert result.expected_seconds == pytest.approx(0.7)


def test_that_the_beheaded_block_of_a_slice_belongs_to_the_chunk_before() -> None:
    assert coverage(structure(7.0, 7.1), lost_in_front=90).expected_seconds == pytest.approx(0.2)
    assert coverage(structure(7.0, 7.1), lost_in_front=290).expected_seconds == pytest.approx(0.4)


def test_that_a_stream_with_a_header_counts_from_zero_when_its_first_blocks_are_spoilt() -> None:
    result = coverage(structure(0.3, 0.4, lost={0: 250}))

    assert result.begins == pytest.approx([0.3, 0.4])
    assert result.expected_seconds == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("found", "seam", "rubbish", "expected"),
    [
        (structure(0, 0.1), Seam(), 0, 0.2),
        (structure(0, 0.1, declared=0.2), Seam(), 0, 0.2),
        (structure(0, 0.1, declared=1.0), Seam(), 0, 1.0),
        # Chromium declares the beginning of the last block
        (structure(0, 0.1, declared=0.9, truncated=True), Seam(), 0, 1.0),
        (structure(0, 0.1, truncated=True), Seam(), 0, 5.0),
        (structure(0, 0.1, truncated=True), Seam(whole=True), 0, 0.2),
        (structure(0, 0.1, truncated=True), Seam(next_begins_at=0.4), 0, 0.4),
        (structure(0, 0.1, truncated=True, cut=0.2), Seam(next_begins_at=0.1), 0, 0.3),
        (structure(0, 0.1), Seam(next_begins_at=0.9), 0, 0.9),
        (structure(0, 0.1, 0.2, lost={1: 1}), Seam(), 200, 0.5),
        (structure(), Seam(), 0, 5.0),
    ],
)
def test_that_what_is_missing_at_the_end_is_the_maximum_that_any_witness_reports(
    found: WebmStructure, seam: Seam, rubbish: int, expected: float
) -> None:
    assert coverage(found, seam=seam, rubbish=rubbish).expected_seconds == pytest.approx(expected)
