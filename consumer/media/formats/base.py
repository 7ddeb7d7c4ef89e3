"""What every container answers about a chunk. A new one is a subclass of `InspectedChunk` and a line in `FORMATS`."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Final

from shared.errors import PermanentJobError

# The front of the next chunk says when it begins: two packets of 60 ms at the highest rate that recorders use.
NEXT_BYTES: Final = 4096
MAX_HEADER_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class StreamContext:
    """What the chunks around one tell about it. Each of them may be unknown.

    header: `InspectedChunk.header` of the chunk with which the stream began.
    before: `InspectedChunk.tail` of the chunk before, or its last bytes; empty when it is absent.
    after: the chunk behind, of which `NEXT_BYTES` are enough; empty when it is absent.
    """

    header: bytes | None = None
    before: bytes = b""
    after: bytes = b""


@dataclass(frozen=True, slots=True)
class DecoderInput:
    """What FFmpeg is given, and what the container says about it.

    keep_time: the packets' times are right, so that silence belongs where they leave a hole.
    is_cut: the framing says that the end is missing, or that bytes are damaged.
    expected_seconds: how much audio it should give; None when the decoder's own counts tell.
    """

    data: bytes
    keep_time: bool
    is_cut: bool
    expected_seconds: float | None = None


class InspectedChunk(ABC):
    """A chunk's bytes with what their container says about them, worked out when first asked for and at most once.

    Attributes:
        format: the container's name, for people.
        decoder_delay_seconds: how much audio encoders of this format declare that decoders drop (priming and padding:
            23 ms of AAC, 26 ms of Opus). It matters for the shortest chunks only, and is less than the 60 ms of one
            packet as Chromium writes them.
        data: the bytes.
    """

    format: ClassVar[str]
    decoder_delay_seconds: ClassVar[float] = 0.05

    def __init__(self, data: bytes) -> None:
        self.data: Final = data

    @classmethod
    @abstractmethod
    def recognise(cls, data: bytes) -> bool:
        """Whether `data` begins like this format."""

    @classmethod
    def recognise_slice(cls, data: bytes) -> bool:
        """Whether `data`, which begins like no format, continues a stream of this one."""
        return False

    @property
    def is_slice(self) -> bool:
        """Whether the chunk continues a stream that began in an earlier one, so that it needs that one's header."""
        return False

    @property
    def header(self) -> bytes | None:
        """What stands in front of the audio of a stream's first chunk: all that its later slices lack.

        At most 64 KiB; None when the chunk has no such header, as when it is a slice or a file of its own.
        """
        return None

    @property
    def tail(self) -> bytes:
        """The element that the chunk breaks off within, as far as it is there: for Chromium's slices a single byte."""
        return b""

    @property
    def declared_bytes(self) -> int | None:
        """How many bytes the file says it has, if it says so."""
        return None

    def is_cut(self, *, continues: bool = False) -> bool:
        """Whether the framing says that the end is missing. A stream that `continues` need not end here."""
        return False

    def source(self, header: bytes | None, before: bytes) -> "Source":
        """The chunk as something that begins with a header.

        Args:
            header: that of the stream, if it is known and of this format.
            before: the tail of the chunk before.

        Raises:
            PermanentJobError: `audio-empty`, `audio-not-audio` or `audio-headerless`.
        """
        return Source(self)

    def decoder_input(self, source: "Source", after: bytes, chunk_seconds: float) -> DecoderInput:
        """What the decoder gets of a source whose `stream` is this chunk.

        Args:
            source: how the stream was made.
            after: the front of the next chunk, if that begins like no format.
            chunk_seconds: how long the recorder's chunks usually are.
        """
        return DecoderInput(self.data, keep_time=False, is_cut=self.is_cut(continues=source.sliced))

    def forget_structure(self) -> None:
        """Free what can take several times the memory of the bytes; the header and the tail stay."""
        if "structure" in vars(self):
            _ = self.header, self.tail
            vars(self).pop("structure", None)

    def headerless(self) -> PermanentJobError:
        """The error of a slice that cannot be decoded alone."""
        return PermanentJobError(
            "audio-headerless",
            f"a slice of a longer {self.format} stream, which cannot be decoded without the first chunk of its session",
        )


@dataclass(frozen=True, slots=True)
class Source:
    """Something that begins with a header.

    stream: a whole file, or a slice behind its header.
    sliced: it is the latter.
    lost_in_front: bytes of a slice that had to be left out because they belong to no whole element.
    header_synthesised: the stream's header was missing and made up.
    """

    stream: InspectedChunk
    sliced: bool = False
    lost_in_front: int = 0
    header_synthesised: bool = False
