"""FLAC (RFC 9639), whose framing does not say when the end is missing."""

from consumer.media.formats.base import InspectedChunk
from consumer.media.formats.mpeg_frames import id3_bytes


class FlacChunk(InspectedChunk):
    """A FLAC file."""

    format = "FLAC"

    @classmethod
    def recognise(cls, data: bytes) -> bool:
        """FFmpeg looks behind an ID3 tag, so this must look there too."""
        return data.startswith(b"fLaC", id3_bytes(data))
