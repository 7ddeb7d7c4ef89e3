"""Recognises what a chunk's bytes are, once for all who ask about them."""

from consumer.media.formats import FORMATS, recognise
from consumer.media.formats.base import InspectedChunk
from consumer.media.formats.unknown import UnknownChunk


def inspect(data: bytes) -> InspectedChunk:
    """A chunk by what its bytes are, never by its name."""
    found = recognise(data) or next((each for each in FORMATS if each.recognise_slice(data)), UnknownChunk)
    return found(data)
