"""Makes a WebM stream out of one slice of a longer one and what the chunks around it tell.

`MediaRecorder.start(timeslice)` writes one stream and hands out whatever it has written when the time is up. Only the
first chunk has the header, and Chromium cuts one byte into an element: a slice lacks a header, the front of its first
element, and a clock.
"""

from dataclasses import dataclass
from typing import Final

from consumer.media.formats.base import NEXT_BYTES
from consumer.media.formats.webm.coverage import Seam
from consumer.media.formats.webm.opus_header import opus_header
from consumer.media.formats.webm.rebuild import cluster_head, open_head
from consumer.media.formats.webm.resync import ANY_TRACK, beginning, continues_a_stream, goes_on
from consumer.media.formats.webm.walk import WebmStructure, walk

MAX_TAIL_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class OpenedSlice:
    """A slice behind a header.

    lost_in_front: how many of its bytes were left out because they belong to no whole element.
    """

    data: bytes
    lost_in_front: int
    header_synthesised: bool


def open_slice(data: bytes, header: bytes | None, before: bytes) -> OpenedSlice | None:
    """A slice behind its header, or one that is made up; None without the first when it is not Opus of one track."""
    if header is not None:
        head = open_head(header)
    else:
        opened, _ = _opened(data, before, cluster_head(0), ANY_TRACK)
        made_up = opus_header(opened, walk(opened).blocks)
        if made_up is None:
            return None
        head = made_up
    opened, lost = _opened(data, before, head + cluster_head(0), walk(head).tracks)
    return OpenedSlice(opened, lost, header_synthesised=header is None)


def tail_of_slice(data: bytes) -> bytes:
    """The element that a chunk without a header breaks off within, as far as it is there."""
    opened, lost = _opened(data, b"", cluster_head(0), ANY_TRACK)
    tail = opened[walk(opened).end_bytes :] if lost < len(data) else b""
    return tail if len(tail) <= MAX_TAIL_BYTES else b""


def seam(data: bytes, found: WebmStructure, after: bytes, *, sliced: bool) -> Seam:
    """How a stream that was walked joins the first bytes of the chunk behind it, which begin like no format."""
    after = after[:NEXT_BYTES]
    if not found.blocks or not continues_a_stream(after):
        return Seam()
    if goes_on(data[found.end_bytes :] + after, 0, found.tracks, blocks=2):
        return Seam(whole=True)
    clock = cluster_head(round(found.cluster_seconds * 1e9 / found.scale_ns))
    opened, _ = _opened(after, b"", data[: found.head_bytes] + clock, found.tracks)
    behind = walk(opened)
    # Without a cluster of its own a slice does not know the stream's time, only that of the blocks in one cluster.
    same_clock = behind.clusters == 1 or found.clusters > sliced
    if not behind.blocks or not same_clock or behind.blocks[0].seconds <= found.blocks[-1].seconds:
        return Seam()
    return Seam(next_begins_at=behind.blocks[0].seconds)


def _opened(data: bytes, before: bytes, head: bytes, tracks: frozenset[int]) -> tuple[bytes, int]:
    """A slice behind `head` from its first whole element on, and how many of its bytes that leaves out."""
    front, at = beginning(data, before, tracks)
    return head + front + data[at:], at
