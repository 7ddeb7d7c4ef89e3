"""A WebM chunk: a whole file, a stream's first slice, or a later one."""

from functools import cached_property

from consumer.media.formats.base import MAX_HEADER_BYTES, DecoderInput, InspectedChunk, Source
from consumer.media.formats.webm.coverage import cover
from consumer.media.formats.webm.matroska import MAGIC
from consumer.media.formats.webm.rebuild import rebuild
from consumer.media.formats.webm.resync import continues_a_stream
from consumer.media.formats.webm.slices import MAX_TAIL_BYTES, open_slice, seam, tail_of_slice
from consumer.media.formats.webm.walk import WebmStructure, walk


class WebmChunk(InspectedChunk):
    """WebM or Matroska."""

    format = "WebM"

    @classmethod
    def recognise(cls, data: bytes) -> bool:
        """By the magic number of EBML."""
        return data.startswith(MAGIC)

    @classmethod
    def recognise_slice(cls, data: bytes) -> bool:
        """By a chain of blocks: Chromium's cuts leave no magic number."""
        return continues_a_stream(data)

    @cached_property
    def structure(self) -> WebmStructure:
        """What a walk finds. Of a slice it has little worth until `source` has put a header in front."""
        return walk(self.data)

    @property
    def is_slice(self) -> bool:
        """Whether there is no magic number."""
        return not self.recognise(self.data)

    @cached_property
    def header(self) -> bytes | None:
        """What stands in front of the first cluster."""
        if self.is_slice or self.structure.audio_track is None:
            return None
        end = self.structure.end_bytes if self.structure.head_bytes is None else self.structure.head_bytes
        return self.data[:end] if 0 < end <= MAX_HEADER_BYTES else None

    @cached_property
    def tail(self) -> bytes:
        """What follows the last whole element."""
        if self.is_slice:
            return tail_of_slice(self.data)
        tail = self.data[self.structure.end_bytes :]
        return tail if len(tail) <= MAX_TAIL_BYTES else b""

    def source(self, header: bytes | None, before: bytes) -> Source:
        """A slice needs a header and the front of its first element, and Opus can do with a header that is made up."""
        if not self.is_slice:
            return Source(self)
        opened = open_slice(self.data, header, before)
        if opened is None:
            raise self.headerless()
        return Source(
            WebmChunk(opened.data),
            sliced=True,
            lost_in_front=opened.lost_in_front,
            header_synthesised=opened.header_synthesised,
        )

    def decoder_input(self, source: Source, after: bytes, chunk_seconds: float) -> DecoderInput:
        """The whole blocks alone: FFmpeg's demuxer drops a cluster from its first damaged element on."""
        found = self.structure
        coverage = cover(
            self.data,
            found,
            chunk_seconds=chunk_seconds,
            lost_in_front=source.lost_in_front,
            seam=seam(self.data, found, after, sliced=source.sliced),
        )
        rebuilt = source.sliced or found.damaged
        return DecoderInput(
            rebuild(self.data, found, coverage.begins) if rebuilt else self.data,
            keep_time=rebuilt,
            is_cut=found.truncated or found.damaged,
            expected_seconds=coverage.expected_seconds,
        )
