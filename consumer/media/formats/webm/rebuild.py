"""Writes a WebM stream anew from the whole blocks of another one.

It is responsible for bytes only: which blocks, and when they are heard, it is told. FFmpeg's own demuxer gives up a
whole cluster at the first damaged element of it, so what is left of a damaged stream is given to it in this form.
"""

from typing import Final

from consumer.media.formats.webm.ebml import encode, encode_open, encode_unsigned, read_element
from consumer.media.formats.webm.matroska import BLOCK_GROUP, CLUSTER, SEGMENT, SIMPLE_BLOCK, TIMESTAMP
from consumer.media.formats.webm.walk import Block, WebmStructure

# A block's time is a signed 16-bit number of ticks after its cluster's, so a new cluster is due before this.
_CLUSTER_TICKS: Final = 30_000
# The most that a cluster's clock can show (RFC 8794, section 7.2). Only a spoilt one gets there.
_MAX_TICKS: Final = (1 << 64) - 1


def rebuild(data: bytes, found: WebmStructure, begins: list[float]) -> bytes:
    """The head of `data`, and its blocks at the times (s) of `begins`; what stands between them is left out."""
    parts = [open_head(data[: found.head_bytes])]
    cluster_ticks: int | None = None
    for block, begin in zip(found.blocks, begins, strict=True):
        ticks = round(begin * 1e9 / found.scale_ns)
        if cluster_ticks is None or ticks - cluster_ticks > _CLUSTER_TICKS:
            cluster_ticks = ticks
            parts.append(cluster_head(ticks))
        parts.append(_block_at(data, block, ticks - cluster_ticks))
    return b"".join(parts)


def cluster_head(ticks: int) -> bytes:
    """The beginning of a cluster of unknown size whose clock stands at `ticks`."""
    return encode_open(CLUSTER) + encode_unsigned(TIMESTAMP, min(ticks, _MAX_TICKS))


def open_head(head: bytes) -> bytes:
    """The head of a stream with its segment's size set to unknown, for it will hold something else."""
    at = 0
    while at < len(head) and (element := read_element(head, at)) is not None:
        if element.id == SEGMENT:
            return head[:at] + encode_open(SEGMENT) + head[element.payload :]
        at = element.end
    return head


def _block_at(data: bytes, block: Block, offset: int) -> bytes:
    time = offset.to_bytes(2, "big", signed=True)
    if data[block.begin] == BLOCK_GROUP:  # it may say what to discard, so all of it is kept
        return data[block.begin : block.header + 1] + time + data[block.header + 3 : block.end]
    return encode(SIMPLE_BLOCK, data[block.header : block.header + 1] + time + data[block.header + 3 : block.end])
