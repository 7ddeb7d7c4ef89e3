"""Makes up the header of a stream whose first chunk is missing. Only for Opus, which needs none to be decoded.

It is responsible for seeing that packets are Opus, and for the header's bytes. A made-up header can be wrong about
what the packets do not tell (gain, how many samples to skip at the start), so those who use it must say so.

Sources: Opus in Matroska (wiki.xiph.org/MatroskaOpus), in Ogg (RFC 7845; its header packets in section 5).
"""

import struct
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from consumer.media.formats import opus
from consumer.media.formats.ogg_pages import Page, header_page
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
_RATE: Final = 48_000
# Times are rounded to milliseconds.
_ROUNDING_SECONDS: Final = 0.002
# Noise passes for an Opus packet of the right length about once in twenty times, so most must fit.
_MOST: Final = 0.8


def opus_in_webm(data: bytes, blocks: list[Block]) -> bytes | None:
    """A header for the blocks of a headerless WebM stream; None when they do not look like Opus of one track."""
    simple = [block for block in blocks if data[block.begin] != BLOCK_GROUP]
    packets = [block.payload(data) for block in simple]
    tracks = {data[block.header] & 0x7F for block in blocks}
    if len(tracks) != 1 or not _looks_like_opus([[packet] for packet in packets], [block.seconds for block in simple]):
        return None
    return _webm_header(tracks.pop(), channels=_channels(packets))


def opus_in_ogg(pages: Iterable[Page]) -> bytes | None:
    """A header for the pages of a headerless Ogg stream; None when they do not look like Opus of one track."""
    pages = list(pages)
    packets = [packet for page in pages for packet in page.packets]
    serials = {page.serial for page in pages}
    # A page's clock stands at its end, and a step leads to it.
    groups = [list(page.packets) for page in pages[1:]] + [[]] if len(pages) > 1 else [packets]
    if len(serials) != 1 or not _looks_like_opus(groups, [page.granule / _RATE for page in pages]):
        return None
    serial = serials.pop()
    tags = b"OpusTags" + bytes(8)  # no vendor, no comments
    return header_page(serial, 0, _private(_channels(packets))) + header_page(serial, 1, tags)


def _looks_like_opus(groups: list[list[bytes]], times: list[float]) -> bool:
    """Whether packets are as long, by their own word, as the stream's clock says.

    Args:
        groups: the packets from each time of the stream's clock to the next one.
        times: these times in seconds.
    """
    lengths = [_seconds(packets) for packets in groups]
    if len(times) < 2:
        return bool(groups and groups[0]) and None not in lengths
    fitting = [
        length is not None and abs(after - before - length) <= _ROUNDING_SECONDS
        for length, (before, after) in zip(lengths, pairwise(times), strict=False)
    ]
    # One step may lead to the first cluster, whose clock the blocks in front of it do not share.
    return sum(fitting) >= min(_MOST * len(fitting), len(fitting) - 1)


def _seconds(packets: list[bytes]) -> float | None:
    lengths = [opus.packet_seconds(packet) for packet in packets]
    return None if None in lengths else sum(length or 0.0 for length in lengths)


def _channels(packets: list[bytes]) -> int:
    """Those of most packets: Opus says them in each packet's first byte."""
    return 2 if 2 * sum(opus.is_stereo(packet) for packet in packets if packet) > len(packets) else 1


def _private(channels: int) -> bytes:
    return b"OpusHead" + struct.pack("<BBHIhB", 1, channels, 0, _RATE, 0, 0)


def _webm_header(track: int, *, channels: int) -> bytes:
    entry = b"".join(
        (
            encode_unsigned(TRACK_NUMBER, track),
            encode_unsigned(_TRACK_UID, track),
            encode_unsigned(TRACK_TYPE, AUDIO),
            encode(CODEC_ID, b"A_OPUS"),
            encode(_CODEC_PRIVATE, _private(channels)),
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
