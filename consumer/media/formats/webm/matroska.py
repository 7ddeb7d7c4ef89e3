"""The Matroska elements that the fleet knows by meaning, and what the front of a block looks like.

It is responsible for names and shapes only; `resync` finds blocks, `webm` walks streams.

Source: RFC 9559 (ids in section 5, blocks in section 10).
"""

from typing import Final

from consumer.media.formats.webm.ebml import Element, read_element, read_size

MAGIC: Final = b"\x1a\x45\xdf\xa3"

SEGMENT: Final = 0x18538067
INFO: Final = 0x1549A966
TIMESTAMP_SCALE: Final = 0x2AD7B1
DURATION: Final = 0x4489
TRACKS: Final = 0x1654AE6B
TRACK_ENTRY: Final = 0xAE
TRACK_NUMBER: Final = 0xD7
TRACK_TYPE: Final = 0x83
CODEC_ID: Final = 0x86
CLUSTER: Final = 0x1F43B675
TIMESTAMP: Final = 0xE7
SIMPLE_BLOCK: Final = 0xA3
BLOCK_GROUP: Final = 0xA0
BLOCK: Final = 0xA1

AUDIO: Final = 2  # a track type
MASTERS: Final = frozenset({SEGMENT, INFO, TRACKS, TRACK_ENTRY, CLUSTER, BLOCK_GROUP})
BLOCKS: Final = frozenset({SIMPLE_BLOCK, BLOCK})
TAIL: Final = frozenset({0x1C53BB6B, 0x1254C367})  # Cues, Tags: what a muxer adds behind the last cluster
# What may stand in a cluster or behind one. In front of the first cluster every element of a fitting size is taken.
BEHIND_HEAD: Final = frozenset(
    {
        *(SIMPLE_BLOCK, BLOCK_GROUP, BLOCK, CLUSTER, TIMESTAMP, *TAIL),
        *(0x9B, 0xFB, 0xFA, 0x75A1, 0x75A2, 0xA4),  # in a group: duration, references, additions, padding, codec state
        *(0xA7, 0xAB, 0x5854),  # in a cluster: Position, PrevSize, SilentTracks
        *(0x114D9B74, 0x1043A770, 0x1941A469, 0xEC, 0xBF),  # SeekHead, Chapters, Attachments, Void, CRC-32
        *(0x1A45DFA3, SEGMENT, INFO, TRACKS),  # the head of a stream that was appended
    }
)

BLOCK_HEADER_BYTES: Final = 4  # track, time (signed, 16 bits, counted from the cluster's), flags
_LACING: Final = 0x06


def block_in(data: bytes, element: Element) -> Element | None:
    """The block that `element` is, or that its group begins with; None when it is neither."""
    if element.id != BLOCK_GROUP:
        return element if element.id in BLOCKS else None
    child = read_element(data, element.payload)
    return child if child is not None and child.id == BLOCK else None


def is_block(data: bytes, block: Element, tracks: frozenset[int]) -> bool:
    """Whether the bytes can be a whole block: the header fits its size, the size the data, the track is one of ours."""
    return block.size is not None and block.end <= len(data) and has_block_header(data, block, tracks)


def is_cut_block(data: bytes, block: Element | None, tracks: frozenset[int]) -> bool:
    """Whether the bytes can be a block that is longer than what is there."""
    return block is not None and block.end > len(data) and has_block_header(data, block, tracks)


def has_block_header(data: bytes, block: Element, tracks: frozenset[int]) -> bool:
    """Whether a block's header can stand there. With no `tracks` known it may carry a number below 16.

    Audio tracks have small numbers, and a number in more bytes than it needs is allowed but never seen.
    """
    track = read_size(data, block.payload)
    if track is None or track[0] is None or track[1] != block.payload + 1 or track[1] + 3 > block.end:
        return False
    return track[0] in tracks if tracks else 0 < track[0] < 16


def is_laced(data: bytes, header: int) -> bool:
    """Whether the block whose header stands at `header` holds several frames."""
    return bool(data[header + 3] & _LACING)
