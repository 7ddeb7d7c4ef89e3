"""Finds where a WebM stream goes on: behind damaged bytes, and at the beginning of a slice.

It is responsible for places only: what stands there is for `webm` to read. It never raises on bad bytes.

A single block is no proof, because audio is noise to this parser: in 80 kB of it every short pattern occurs by
chance. So a place counts when a chain of blocks follows, one right behind the other.
"""

import re
from typing import Final

from consumer.media.formats.webm.ebml import Element, read_element, read_size
from consumer.media.formats.webm.matroska import (
    BLOCK_GROUP,
    CLUSTER,
    MAGIC,
    SIMPLE_BLOCK,
    TAIL,
    TIMESTAMP,
    block_in,
    is_block,
    is_cut_block,
)

ANY_TRACK: Final[frozenset[int]] = frozenset()

# A live muxer writes ids byte by byte and a recorder slices after any write: one of these alone ends such a slice.
_LONE_ID_BYTES: Final = (SIMPLE_BLOCK, CLUSTER >> 24, BLOCK_GROUP)
_MAY_BEGIN: Final = re.compile(rb"[\xa3\xa0]|\x1f\x43\xb6\x75")
# A slice begins within one block of its first whole one, so nothing is gained by reading on for longer than this.
_SEARCHED_BYTES: Final = 1 << 20
# Clusters in a row that hold no block. Without a bound, bytes that repeat such a cluster would be walked to their end
# from each of them.
_MAX_EMPTY: Final = 4
# How much of the chunk before is tried as the front of an element that `tail_of` did not measure.
_SHORT_TAIL: Final = 16


def continues_a_stream(data: bytes) -> bool:
    """Whether `data` is a later slice of a WebM stream: blocks, but not the beginning of a stream.

    `MediaRecorder.start(timeslice)` cuts wherever its muxer happens to be, for audio one byte into the next element:
    a slice begins with what follows that id, which is a block's size or the rest of a cluster's id.
    """
    if data.startswith(MAGIC):
        return False
    size = read_size(data, 0)
    if size is not None:
        opening = Element(SIMPLE_BLOCK, size[1], size[0])
        if is_block(data, opening, ANY_TRACK) and goes_on(data, opening.end, ANY_TRACK, blocks=1):
            return True
    return next_block(data[:_SEARCHED_BYTES], 0, ANY_TRACK, blocks=3) is not None


def beginning(data: bytes, before: bytes, tracks: frozenset[int]) -> tuple[bytes, int]:
    """The bytes in front of `data` that make its first element whole, and where in `data` to begin.

    `before` is the end of the chunk before. Where it is absent or no help, the id byte that a recorder leaves behind
    is tried: a block's size with a chain of blocks behind it can have followed no other. Without either, the slice
    begins at its first whole element, and what was beheaded is lost.
    """
    tails = [before[len(before) - length :] for length in range(min(len(before), _SHORT_TAIL) + 1)]
    for front in (*tails, before, *(bytes([lone]) for lone in _LONE_ID_BYTES)):
        if goes_on(front + data, 0, tracks, blocks=2):
            return front, 0
    return b"", next_block(data, 0, tracks) or 0


def next_block(data: bytes, at: int, tracks: frozenset[int], *, blocks: int = 2) -> int | None:
    """Where, from `at` on, a block or cluster begins after which the stream goes on for `blocks` blocks or ends."""
    for candidate in _MAY_BEGIN.finditer(data, at):
        if not ends(data, candidate.start()) and goes_on(data, candidate.start(), tracks, blocks=blocks):
            return candidate.start()
    return None


def goes_on(data: bytes, at: int, tracks: frozenset[int], *, blocks: int) -> bool:
    """Whether `blocks` blocks stand at `at` one behind the other, or fewer up to the end of the data."""
    seen = empty = 0
    while seen < blocks and empty <= _MAX_EMPTY:
        if ends(data, at):
            return True
        element = read_element(data, at)
        if element is None:
            return False
        if element.id == CLUSTER:
            element = read_element(data, element.payload)
            if element is None or element.id != TIMESTAMP:
                return False
        if element.id == TIMESTAMP:
            at, empty = element.end, empty + 1
            continue
        block = block_in(data, element)
        if block is None or not is_block(data, block, tracks):
            return seen > 0 and (element.id in TAIL or is_cut_block(data, block, tracks))
        seen, empty = seen + 1, 0
        at = element.end
    return seen >= blocks


def ends(data: bytes, at: int) -> bool:
    """Whether nothing more stands at `at`, or only the id byte that ends a recorder's slice."""
    return at == len(data) or (at == len(data) - 1 and data[at] in _LONE_ID_BYTES)
