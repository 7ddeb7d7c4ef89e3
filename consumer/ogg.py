"""Reads the pages of an Ogg stream: where they are, where its header ends, whether the end is missing (RFC 3533).

It knows no codec and never raises on bad bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MAGIC: Final = b"OggS"

_FIRST_OF_STREAM: Final = 0x02
_LAST_OF_STREAM: Final = 0x04
_HEADER_BYTES: Final = 27


@dataclass(frozen=True, slots=True)
class Page:
    """One page. `granule` is the codec's clock at the end of the page, 0 in a header, -1 where no packet ends."""

    begin: int
    end: int
    flags: int
    granule: int


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


def _page(data: bytes, at: int) -> Page | None:
    header = data[at : at + _HEADER_BYTES]
    if len(header) < _HEADER_BYTES or not header.startswith(MAGIC):
        return None
    segments = header[26]
    lacing = data[at + _HEADER_BYTES : at + _HEADER_BYTES + segments]
    end = at + _HEADER_BYTES + segments + sum(lacing)
    if len(lacing) < segments or end > len(data):
        return None
    return Page(at, end, header[5], int.from_bytes(header[6:14], "little", signed=True))
