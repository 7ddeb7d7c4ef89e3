"""Reads and writes the pages of an Ogg stream (RFC 3533): where they are, where its header ends, whether it is cut.

It knows no codec and never raises on bad bytes.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MAGIC: Final = b"OggS"

_CONTINUED: Final = 0x01
_FIRST_OF_STREAM: Final = 0x02
_LAST_OF_STREAM: Final = 0x04
_HEADER_BYTES: Final = 27
_POLYNOMIAL: Final = 0x04C11DB7


@dataclass(frozen=True, slots=True)
class Page:
    """One page. `granule` is the codec's clock at the end of the page, 0 in a header, -1 where no packet ends.

    packets: the packets that begin and end in it.
    """

    begin: int
    end: int
    flags: int
    granule: int
    serial: int
    packets: tuple[bytes, ...]


def pages(data: bytes) -> Iterator[Page]:
    """The whole pages at the beginning of `data`, up to the first one that is cut or damaged."""
    at = 0
    while (page := _page(data, at)) is not None:
        yield page
        at = page.end


def begins_a_stream(data: bytes) -> bool:
    """Whether the first page is marked as a stream's first one; a page too short to say counts as such."""
    return len(data) < 6 or bool(data[5] & _FIRST_OF_STREAM)


def header(data: bytes) -> bytes:
    """The leading pages that hold no audio: their clock has not begun (RFC 7845, section 3; Vorbis I, A.2)."""
    end = 0
    for page in pages(data):
        if page.granule > 0:
            return data[:end]
        end = page.end
    return data[:end]


def is_cut(data: bytes, *, sliced: bool) -> bool:
    """Whether the last page is incomplete or, unless the stream goes on in a later slice, not marked as the last."""
    at = data.rfind(MAGIC)
    page = _page(data, at) if at >= 0 else None
    return page is None or not (sliced or page.flags & _LAST_OF_STREAM)


def header_page(serial: int, sequence: int, packet: bytes) -> bytes:
    """A page of a stream's header, with the one packet that it holds: the first page is marked as such."""
    lacing = bytes([255] * (len(packet) // 255) + [len(packet) % 255])
    flags = 0 if sequence else _FIRST_OF_STREAM
    front = struct.pack("<4sBBqII", MAGIC, 0, flags, 0, serial, sequence)
    behind = bytes([len(lacing)]) + lacing + packet
    return front + struct.pack("<I", checksum(front + bytes(4) + behind)) + behind


def checksum(page: bytes) -> int:
    """The CRC of a page whose own field is zero: polynomial 04c11db7, neither reflected nor inverted."""
    crc = 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ _POLYNOMIAL) & 0xFFFFFFFF if crc & 0x80000000 else crc << 1
    return crc


def _page(data: bytes, at: int) -> Page | None:
    header = data[at : at + _HEADER_BYTES]
    if len(header) < _HEADER_BYTES or not header.startswith(MAGIC):
        return None
    segments = header[26]
    lacing = data[at + _HEADER_BYTES : at + _HEADER_BYTES + segments]
    end = at + _HEADER_BYTES + segments + sum(lacing)
    if len(lacing) < segments or end > len(data):
        return None
    return Page(
        begin=at,
        end=end,
        flags=header[5],
        granule=int.from_bytes(header[6:14], "little", signed=True),
        serial=int.from_bytes(header[14:18], "little"),
        packets=tuple(_packets(data, at + _HEADER_BYTES + segments, lacing, continued=bool(header[5] & _CONTINUED))),
    )


def _packets(data: bytes, at: int, lacing: bytes, *, continued: bool) -> Iterator[bytes]:
    """A packet is cut into segments of 255 bytes and a shorter one; one that ends here may have begun before."""
    begin = at
    for size in lacing:
        at += size
        if size < 255:
            if not continued:
                yield data[begin:at]
            begin, continued = at, False
