"""RIFF: WAV and AVI (Multimedia Programming Interface and Data Specifications 1.0)."""

from consumer.media.formats.base import InspectedChunk


class RiffChunk(InspectedChunk):
    """A WAV or AVI file."""

    format = "RIFF"

    @classmethod
    def recognise(cls, data: bytes) -> bool:
        """By the form's type, as other RIFF files hold no audio stream."""
        return data[:4] in {b"RIFF", b"RF64"} and data[8:12] in {b"WAVE", b"AVI "}

    @property
    def declared_bytes(self) -> int | None:
        """The size in the header. A size of 0 or all ones is a live writer's placeholder."""
        if self.data[:4] != b"RIFF":
            return None
        size = int.from_bytes(self.data[4:8], "little")
        return None if size in {0, 0xFFFFFFFF} else 8 + size
