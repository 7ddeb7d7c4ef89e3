"""The containers that recorders write, one module or package each.

Names and content types lie too often to be asked (Safari records MP4 under a .webm name), so bytes decide. Only what is
recognised here may be given to FFmpeg, whose playlist formats (HLS, concat) open whatever files and addresses a text
names.
"""

from typing import Final

from consumer.media.formats.adts import AdtsChunk
from consumer.media.formats.base import InspectedChunk
from consumer.media.formats.flac import FlacChunk
from consumer.media.formats.mp3 import Mp3Chunk
from consumer.media.formats.mp4 import Mp4Chunk
from consumer.media.formats.ogg import OggChunk
from consumer.media.formats.riff import RiffChunk
from consumer.media.formats.webm.chunk import WebmChunk

FORMATS: Final[tuple[type[InspectedChunk], ...]] = (
    WebmChunk,
    OggChunk,
    RiffChunk,
    Mp4Chunk,
    FlacChunk,
    AdtsChunk,
    Mp3Chunk,
)
"""In the order in which they are tried: those with a clear magic number first."""


def recognise(data: bytes) -> type[InspectedChunk] | None:
    """The format that `data` begins like; None when it is none that the fleet reads."""
    return next((each for each in FORMATS if each.recognise(data)), None)
