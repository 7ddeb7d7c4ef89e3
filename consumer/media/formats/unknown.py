"""Bytes that are no audio, and what they look like."""

from typing import Final

from consumer.media.formats.base import InspectedChunk, Source
from consumer.media.formats.webm.slices import tail_of_slice
from shared.errors import PermanentJobError

_LOOKS: Final = (
    ((b"<!doctype html", b"<html", b"<head", b"<body"), "an HTML page"),
    ((b"<?xml", b"<error", b"<svg"), "an XML document"),
    ((b"{", b"["), "a JSON document"),
    ((b"#extm3u",), "a playlist"),
    ((b"%pdf",), "a PDF document"),
    ((b"pk\x03\x04", b"\x1f\x8b", b"7z\xbc\xaf", b"bzh", b"\xfd7zxz"), "a compressed archive"),
    ((b"\x89png", b"\xff\xd8\xff", b"gif8"), "an image"),
)


class UnknownChunk(InspectedChunk):
    """Bytes of no format that the fleet reads."""

    format = "unknown"

    @classmethod
    def recognise(cls, data: bytes) -> bool:
        """Whatever nothing else recognises."""
        return True

    @property
    def tail(self) -> bytes:
        """A slice of WebM that is too short or too damaged to be recognised still has one."""
        return tail_of_slice(self.data)

    def source(self, header: bytes | None, before: bytes) -> Source:
        """There is none."""
        if not self.data:
            raise PermanentJobError("audio-empty", "the object holds no bytes")
        raise PermanentJobError("audio-not-audio", f"{describe_stranger(self.data)} instead of audio")


def describe_stranger(data: bytes) -> str:
    """What data that is no audio looks like, for people; quotes nothing of it."""
    begin = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for beginnings, name in _LOOKS:
        if begin.startswith(beginnings):
            return name
    text = data[:4096].decode("utf-8", errors="replace")
    legible = sum(character.isprintable() or character.isspace() for character in text) - text.count("\ufffd")
    return "plain text" if legible > 0.95 * len(text) else "data of no known format"
