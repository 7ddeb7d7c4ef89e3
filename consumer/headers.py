"""Makes up the header of a stream whose first chunk is missing. Only for Opus, which needs none to be decoded.

It is responsible for seeing that packets are Opus, and for the header's bytes. A made-up header can be wrong about
what the packets do not tell (gain, how many samples to skip at the start), so those who use it must say so.

Sources: Opus in Matroska (wiki.xiph.org/MatroskaOpus), its private data (RFC 7845, section 5.1).
"""

import struct
from itertools import pairwise
from typing import Final

from consumer import opus
from consumer.ebml import encode, encode_open, encode_unsigned
from consumer.matroska import (
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
from consumer.webm import Block

_TRACK_UID: Final = 0x73C5
_CODEC_PRIVATE: Final = 0x63A2
_AUDIO_SETTINGS: Final = 0xE1
_SAMPLING_FREQUENCY: Final = 0xB5
_CHANNELS: Final = 0x9F
_DOC_TYPE: Final = 0x4282
_RATE: Final = 48_000
# Times are rounded to milliseconds.
_ROUNDING_SECONDS: Final = 0.002
# Noise passes for an Opus packet of the right length about once in twenty times, so most must fit.
_MOST: Final = 0.8


def opus_in_webm(data: bytes, blocks: list[Block]) -> bytes | None:
    """A header for the blocks of a headerless WebM stream; None when they do not look like Opus of one track.

    The channels are those of most packets: Opus says them in each packet's first byte.
    """
    packets = [block.payload(data) for block in blocks if data[block.begin] != BLOCK_GROUP]
    tracks = {data[block.header] & 0x7F for block in blocks}
    if not packets or len(tracks) != 1 or not _looks_like_opus(packets, [block.seconds for block in blocks]):
        return None
    stereo = sum(opus.is_stereo(packet) for packet in packets)
    return _header(tracks.pop(), channels=2 if 2 * stereo > len(packets) else 1)


def _looks_like_opus(packets: list[bytes], times: list[float]) -> bool:
    """Whether the packets are as long, by their own word, as the stream's clock says."""
    lengths = [opus.packet_seconds(packet) for packet in packets]
    if len(packets) != len(times) or len(packets) == 1:
        return None not in lengths
    steps = [after - before for before, after in pairwise(times)]
    fitting = [
        length is not None and abs(step - length) <= _ROUNDING_SECONDS
        for length, step in zip(lengths, steps, strict=False)
    ]
    return sum(fitting) >= _MOST * len(fitting) or _all_but_one(fitting)


def _all_but_one(fitting: list[bool]) -> bool:
    """Of few steps a single one may be that to the first cluster, whose clock the slice does not share."""
    return len(fitting) - sum(fitting) <= 1


def _header(track: int, *, channels: int) -> bytes:
    private = b"OpusHead" + struct.pack("<BBHIhB", 1, channels, 0, _RATE, 0, 0)
    entry = b"".join(
        (
            encode_unsigned(TRACK_NUMBER, track),
            encode_unsigned(_TRACK_UID, track),
            encode_unsigned(TRACK_TYPE, AUDIO),
            encode(CODEC_ID, b"A_OPUS"),
            encode(_CODEC_PRIVATE, private),
            encode(
                _AUDIO_SETTINGS,
                encode(_SAMPLING_FREQUENCY, struct.pack(">d", _RATE)) + encode_unsigned(_CHANNELS, channels),
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
