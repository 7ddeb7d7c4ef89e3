"""MP4 (ISO base media file format, ISO/IEC 14496-12, section 4.2), which Safari slices between two fragments."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

from consumer.media.formats.base import MAX_HEADER_BYTES, InspectedChunk, Source

_FIRST_BOXES: Final = frozenset({b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"wide", b"free", b"skip", b"pnot"})


@dataclass(frozen=True, slots=True)
class Boxes:
    """The top-level boxes: where the first one of each kind begins, and where the last one should end."""

    first: dict[bytes, int]
    end: int


class Mp4Chunk(InspectedChunk):
    """An MP4, M4A or MOV file, or fragments of one."""

    format = "MP4"

    @classmethod
    def recognise(cls, data: bytes) -> bool:
        """By the kind of the first box."""
        return data[4:8] in _FIRST_BOXES

    @cached_property
    def structure(self) -> Boxes:
        """The top-level boxes."""
        return boxes_of(self.data)

    @property
    def is_slice(self) -> bool:
        """Whether there are fragments without the movie's header."""
        return b"moof" in self.structure.first and b"moov" not in self.structure.first

    @cached_property
    def header(self) -> bytes | None:
        """What stands in front of the first fragment.

        A file whose audio comes before a fragment, or without one, is no stream: its head lists its samples.
        """
        boxes = self.structure.first
        fragment = boxes.get(b"moof", len(self.data))
        is_stream = b"moov" in boxes and boxes.get(b"mdat", fragment) >= fragment
        return self.data[:fragment] if is_stream and 0 < fragment <= MAX_HEADER_BYTES else None

    def is_cut(self, *, continues: bool = False) -> bool:
        """Whether a top-level box ends behind the data."""
        return self.structure.end > len(self.data)

    def source(self, header: bytes | None, before: bytes) -> Source:
        """A slice needs no more than the header in front."""
        if not self.is_slice:
            return Source(self)
        if header is None:
            raise self.headerless()
        return Source(Mp4Chunk(header + self.data), sliced=True)


def boxes_of(data: bytes) -> Boxes:
    """The top-level boxes of `data`."""
    first: dict[bytes, int] = {}
    at = 0
    while at < len(data):
        if at + 8 <= len(data):
            first.setdefault(data[at + 4 : at + 8], at)
        at = _box_end(data, at)
    return Boxes(first, at)


def _box_end(data: bytes, at: int) -> int:
    """Where the box at `at` ends. Size 1 means that 64 bits follow, 0 that it takes the rest."""
    size = int.from_bytes(data[at : at + 4], "big")
    if size == 1:
        size = int.from_bytes(data[at + 8 : at + 16], "big")
    return len(data) if size == 0 else at + max(size, 8)
