"""Works out how much audio a WebM stream should give, and when each of its blocks is heard.

It is responsible for the sum only: `webm` finds the blocks, `audio` judges what the decoder made of them.

Only lost bytes are lost audio. Where the clock jumps although every byte belongs to an element, the recorder paused
(a laptop that slept, a tab that was frozen): nothing is missing there, and no silence belongs there.
"""

from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Final

from consumer.media.formats.webm.walk import Block, WebmStructure

# The smallest block there is: an id, a size, four bytes of header, two of Opus. It bounds what can be lost with a
# number of bytes, so that a spoilt clock does not make an hour of a hole.
_MIN_BLOCK_BYTES: Final = 8
_CLOCK_TICK_SECONDS: Final = 0.005  # recorders round to milliseconds, and some drift a little


@dataclass(frozen=True, slots=True)
class Seam:
    """How a chunk joins the one behind it.

    whole: the two make a whole element together, so that nothing is missing between them.
    next_begins_at: the stream's time at which the next chunk begins, in seconds, where it is known.
    """

    whole: bool = False
    next_begins_at: float | None = None


@dataclass(frozen=True, slots=True)
class Coverage:
    """The seconds that all blocks and holes come to, and when each block begins, counted from the chunk's beginning."""

    expected_seconds: float
    begins: list[float]


def cover(data: bytes, found: WebmStructure, *, chunk_seconds: float, lost_in_front: int, seam: Seam) -> Coverage:
    """What the blocks and holes of `data` come to.

    Args:
        data: the stream that was walked.
        found: what the walk found.
        chunk_seconds: how long the recorder's chunks usually are. It is asked only when the stream breaks off within
            an element: a short chunk that ends properly is what a recorder leaves that stops or reconnects.
        lost_in_front: bytes of a slice in front of its first whole element.
        seam: how the chunk joins the next one.
    """
    if not found.blocks:
        return Coverage(chunk_seconds, [])
    durations = found.durations(data)
    holes = _holes(found, durations, lost_in_front)
    begins = list(accumulate(chain.from_iterable(zip(holes, durations, strict=True))))[::2]
    covered = begins[-1] + durations[-1]
    missing = _missing_at_the_end(data, found, durations[-1], covered, chunk_seconds, seam)
    return Coverage(covered + missing, begins)


def _holes(found: WebmStructure, durations: list[float], lost_in_front: int) -> list[float]:
    """The seconds that are lost in front of each block."""
    mean_bytes = _mean_bytes(found)
    # A slice that begins within a block has lost that one to the chunk before it, so only whole ones count.
    front = lost_in_front // mean_bytes * durations[0] if lost_in_front else 0.0
    previous_end = 0.0 if not lost_in_front else found.blocks[0].seconds
    holes = []
    for block, duration in zip(found.blocks, durations, strict=True):
        holes.append(_hole(block, previous_end, duration, mean_bytes) if block.lost_bytes else 0.0)
        previous_end = block.seconds + duration
    return [front + holes[0], *holes[1:]]


def _hole(block: Block, previous_end: float, duration: float, mean_bytes: int) -> float:
    """By the clock, unless it cannot be right: a lost cluster header takes the time of its blocks with it."""
    gap = block.seconds - previous_end
    if -_CLOCK_TICK_SECONDS <= gap <= (block.lost_bytes // _MIN_BLOCK_BYTES + 1) * duration:
        return max(0.0, gap)
    return block.lost_bytes / mean_bytes * duration


def _missing_at_the_end(
    data: bytes, found: WebmStructure, duration: float, covered: float, chunk_seconds: float, seam: Seam
) -> float:
    """The most that any witness speaks for."""
    if seam.whole:
        return 0.0
    ends_at = found.blocks[-1].seconds + duration
    missing = [0.0]
    if found.cut_seconds is not None:
        missing.append(found.cut_seconds + duration - ends_at)
    if found.declared_seconds is not None:
        # Chromium declares the time at which the last block begins, so a lost one would not be missed.
        missing.append(found.declared_seconds + duration * found.truncated - max(ends_at, found.reached_seconds))
    if seam.next_begins_at is not None:
        missing.append(seam.next_begins_at - ends_at)
    elif found.truncated and found.declared_seconds is None:
        missing.append(chunk_seconds - covered)
    elif not found.truncated and found.damaged:
        missing.append((len(data) - found.end_bytes) / _mean_bytes(found) * duration)
    return max(missing)


def _mean_bytes(found: WebmStructure) -> int:
    return sum(block.end - block.begin for block in found.blocks) // len(found.blocks)
