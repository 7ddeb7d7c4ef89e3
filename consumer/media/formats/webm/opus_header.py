"""Makes up the header of a WebM stream whose first chunk is missing, for Opus alone (wiki.xiph.org/MatroskaOpus)."""

import struct
from typing import Final

from consumer.media.formats import opus
from consumer.media.formats.webm.ebml import encode, encode_open, encode_unsigned
from consumer.media.formats.webm.matroska import (
    AUDIO,
    BLOCK_GROUP,
    CODEC_ID,
    INFO,
    MAGIC,
    SEGMENT,
    TIMESTAMP_SCALE,
    TRACK_ENTRY,
    TRACK_NUMBER,
    TRACK_TYPE,
    TRACKS,
)
from consumer.media.formats.webm.walk import Block

_TRACK_UID: Final = 0x73C5
_CODEC_PRIVATE: Final = 0x63A2
_AUDIO_SETTINGS: Final = 0xE1
_SAMPLING_FREQUENCY: Final = 0xB5
_CHANNELS: Final = 0x9F
_DOC_TYPE: Final = 0x4282


def opus_header(data: bytes, blocks: list[Block]) -> bytes | None:
    """A header for the blocks of a headerless WebM stream; None when they do not look like Opus of one track."""
    simple = [block for block in blocks if data[block.begin] != BLOCK_GROUP]
    packets = [block.payload(data) for block in simple]
    tracks = {data[block.header] & 0x7F for block in blocks}
    if len(tracks) != 1 or not opus.looks_like_opus(
        [[packet] for packet in packets], [block.seconds for block in simple]
    ):
        return None
    return _webm_header(tracks.pop(), channels=opus.channels(packets))


def _webm_header(track: int, *, channels: int) -> bytes:
    entry = b"".join(
        (
            encode_unsigned(TRACK_NUMBER, track),
            encode_unsigned(_TRACK_UID, track),
            encode_unsigned(TRACK_TYPE, AUDIO),
            encode(CODEC_ID, b"A_OPUS"),
            encode(_CODEC_PRIVATE, opus.identification_header(channels)),
            encode(
                _AUDIO_SETTINGS,
                encode(_SAMPLING_FREQUENCY, struct.pack(">d", opus.SAMPLE_RATE)) + encode_unsigned(_CHANNELS, channels),
            ),
        )
    )
    info = encode(INFO, encode_unsigned(TIMESTAMP_SCALE, 1_000_000))
    return (
        encode(int.from_bytes(MAGIC, "big"), encode(_DOC_TYPE, b"webm"))
        + encode_open(SEGMENT)
        + info
        + encode(TRACKS, encode(TRACK_ENTRY, entry))
    )
