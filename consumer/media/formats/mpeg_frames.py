"""Rows of frames without a container, as MP3 and ADTS have them, and the ID3v2 tag in front.

Source: id3.org/id3v2.4.0-structure.
"""

from collections.abc import Callable

# The length of the frame at an offset, None when there is none.
FrameBytes = Callable[[bytes, int], int | None]


def id3_bytes(data: bytes) -> int:
    """Length of a leading ID3v2 tag: its size has seven bits a byte, and leaves out the header of ten bytes."""
    if not data.startswith(b"ID3") or len(data) < 10:
        return 0
    return 10 + sum((byte & 0x7F) << 7 * (3 - place) for place, byte in enumerate(data[6:10]))


def begins_with_frames(data: bytes, frame_bytes: FrameBytes) -> bool:
    """Whether two frames follow each other, or one is all there is: a lone header occurs by chance in any data."""
    at = id3_bytes(data)
    first = frame_bytes(data, at)
    if first is None:
        return False
    return at + first >= len(data) or frame_bytes(data, at + first) is not None


def frames_are_cut(data: bytes, frame_bytes: FrameBytes) -> bool:
    """Whether the last frame of an unbroken row is longer than what is there. Damage and tags just end the row."""
    at = min(id3_bytes(data), len(data))
    while at < len(data):
        length = frame_bytes(data, at)
        if length is None:
            return False
        at += length
    return at > len(data)
