"""Ogg, which Firefox slices between two pages."""

import struct
from collections.abc import Iterable

from consumer.media.formats import ogg_pages, opus
from consumer.media.formats.base import MAX_HEADER_BYTES, InspectedChunk, Source
from consumer.media.formats.ogg_pages import Page


class OggChunk(InspectedChunk):
    """An Ogg file, or pages of one."""

    format = "Ogg"

    @classmethod
    def recognise(cls, data: bytes) -> bool:
        """By the first page's magic number."""
        return data.startswith(ogg_pages.MAGIC)

    @property
    def is_slice(self) -> bool:
        """Whether the first page is not marked as a stream's first one."""
        return not ogg_pages.begins_a_stream(self.data)

    @property
    def header(self) -> bytes | None:
        """The pages in front of the audio."""
        header = ogg_pages.header(self.data)
        return header if 0 < len(header) <= MAX_HEADER_BYTES else None

    def is_cut(self, *, continues: bool = False) -> bool:
        """Whether the last page is incomplete or should be marked as the last."""
        return ogg_pages.is_cut(self.data, sliced=continues)

    def source(self, header: bytes | None, before: bytes) -> Source:
        """A slice needs no more than the header in front, and Opus can do with one that is made up."""
        if not self.is_slice:
            return Source(self)
        if header is not None:
            return Source(OggChunk(header + self.data), sliced=True)
        made_up = opus_header(ogg_pages.pages(self.data))
        if made_up is None:
            raise self.headerless()
        return Source(OggChunk(made_up + self.data), sliced=True, header_synthesised=True)


def opus_header(pages: Iterable[Page]) -> bytes | None:
    """A header for the pages of a headerless stream; None when they do not look like Opus of one track.

    Source: RFC 7845, section 5.
    """
    pages = list(pages)
    packets = [packet for page in pages for packet in page.packets]
    serials = {page.serial for page in pages}
    # A page's clock stands at its end, and a step leads to it.
    groups = [list(page.packets) for page in pages[1:]] + [[]] if len(pages) > 1 else [packets]
    if len(serials) != 1 or not opus.looks_like_opus(groups, [page.granule / opus.SAMPLE_RATE for page in pages]):
        return None
    serial = serials.pop()
    tags = b"OpusTags" + struct.pack("<II", 0, 0)  # no vendor, no comments
    front = ogg_pages.header_page(serial, 0, opus.identification_header(opus.channels(packets)))
    return front + ogg_pages.header_page(serial, 1, tags)
